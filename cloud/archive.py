"""A folder as bytes, to go to another machine and back."""

import io
import os
import tarfile
from pathlib import Path, PurePosixPath

from models.errors import PackageError


def pack(folder: Path) -> bytes:
    """A tar archive of the folder's files; hidden ones stay."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in files_below(folder):
            tar.add(path.resolve(), arcname=path.relative_to(folder).as_posix())
    return archive.getvalue()


def files_below(folder: Path) -> list[Path]:
    """A folder's files in order of their names, also those in folders that are links; hidden ones are left out."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".") and not _leads_back(Path(place) / name)]
        found += [Path(place) / name for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def _leads_back(path: Path) -> bool:
    """Whether it is a link to a folder that it lies in, which would be followed round and round."""
    return path.is_symlink() and path.resolve() in {above.resolve() for above in path.parents}


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
