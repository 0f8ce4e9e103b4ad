"""A folder as bytes, to go to another machine and back."""

import io
import tarfile
from pathlib import Path, PurePosixPath

from models.errors import PackageError


def pack(folder: Path) -> bytes:
    """A tar archive of the folder's files; hidden ones stay."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                tar.add(path.resolve(), arcname=name.as_posix())
    return archive.getvalue()


def unpack(data: bytes, into: Path, *, where: str) -> None:
    """Put a tar archive's files into a folder; PackageError, which names it as `where`, for one that is damaged or
    reaches outside. Compressed ones will do."""
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if member.isdir():
                    continue
                if not member.isreg() or path.is_absolute() or ".." in path.parts:
                    raise PackageError(f"{where} holds {member.name!r}, which is no plain file below it")
                content = archive.extractfile(member)
                assert content is not None  # it is a regular file
                (into / path).parent.mkdir(parents=True, exist_ok=True)
                (into / path).write_bytes(content.read())
    except (tarfile.TarError, EOFError) as exc:
        raise PackageError(f"{where} is no whole tar archive: {exc}") from exc
