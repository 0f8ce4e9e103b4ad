"""Releases of models, by name and number, on an object store. A number is never used twice.

models/<name>/<release>/run.zip       the whole run folder: fp32, report, plots; claims the number
models/<name>/<release>/package.zip   the signed package; written last, so a release is there or is not
"""

import io
import re
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from greengrass.component import zip_bytes
from greengrass.objects import ObjectStore
from models.durable import sync_folder
from models.errors import StoreError, UsageError
from models.manifest import MANIFEST, NAME, Manifest, parse_manifest, read_manifest

PACKAGE = "package.zip"
RUN = "run.zip"
MAX_UNPACKED_BYTES = 4 << 30
_RELEASE = re.compile(rf"({NAME.pattern})@([1-9][0-9]{{0,8}})")
_KEY = re.compile(rf"models/{NAME.pattern}/([1-9][0-9]{{0,8}})/({re.escape(PACKAGE)}|{re.escape(RUN)})")


@dataclass(frozen=True, slots=True)
class ReleaseId:
    """`name@release`, as people write it."""

    name: str
    release: int

    def __str__(self) -> str:
        return f"{self.name}@{self.release}"


def parse_release(text: str) -> ReleaseId:
    """The release that `NAME@RELEASE` names; UsageError for anything else."""
    match = _RELEASE.fullmatch(text)
    if match is None:
        raise UsageError(f"expected a release as NAME@RELEASE, such as coco@7, got {text!r}")
    return ReleaseId(match[1], int(match[2]))


def publish(store: ObjectStore, package: Path, run: Path) -> ReleaseId:
    """Put a signed package, and the run folder it was made of, into the registry under its own name and number.

    StoreError when the number is taken, also by somebody else at this very moment.
    """
    manifest = read_manifest(package)
    release = ReleaseId(manifest.name, manifest.release)
    if release.release < next_release(store, release.name):
        raise StoreError(f"release {release} was published before, and a number is never used again: sign anew")
    store.put_new(_key(release, RUN), zip_folder(run))
    store.put_new(_key(release, PACKAGE), zip_folder(package))
    return release


def model_names(store: ObjectStore) -> list[str]:
    """The models of which there is at least one release."""
    matches = (_KEY.fullmatch(key) for key in store.list("models/"))
    return sorted({match[0].split("/")[1] for match in matches if match and match[2] == PACKAGE})


def releases(store: ObjectStore, name: str) -> list[int]:
    """The numbers of the releases that can be fetched, lowest first."""
    return sorted(number for number, file in _numbers(store, name) if file == PACKAGE)


def next_release(store: ObjectStore, name: str) -> int:
    """The lowest number above all that were ever used; those of publishers that died half-way count too."""
    return max((number for number, _ in _numbers(store, name)), default=0) + 1


def read_release(store: ObjectStore, release: ReleaseId) -> Manifest:
    """The manifest of a release."""
    data = _get(store, release, PACKAGE)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            manifest = archive.read(MANIFEST)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise StoreError(f"release {release} in the registry is damaged: {exc}") from exc
    return parse_manifest(manifest, where=f"release {release}")


def fetch_package(store: ObjectStore, release: ReleaseId, into: Path) -> Path:
    """Unpack the signed package of a release into the new folder `into`. Who uses it verifies it (models/trust.py)."""
    return _fetch(store, release, PACKAGE, into)


def fetch_run(store: ObjectStore, release: ReleaseId, into: Path) -> Path:
    """Unpack the run folder that a release was made of into the new folder `into`."""
    return _fetch(store, release, RUN, into)


def zip_folder(folder: Path) -> bytes:
    """A ZIP of a folder's files, the same bytes for the same files."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return zip_bytes({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


def _fetch(store: ObjectStore, release: ReleaseId, file: str, into: Path) -> Path:
    if into.exists():
        raise UsageError(f"{into} exists already: a release is fetched into a new folder")
    data = _get(store, release, file)
    into.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=into.parent, prefix=f".{into.name}."))
    try:
        draft.chmod(0o755)
        _unzip(data, draft, release)
        draft.rename(into)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(into.parent)
    return into


def _unzip(data: bytes, into: Path, release: ReleaseId) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # extract() itself keeps names inside the folder
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise StoreError(f"release {release} in the registry unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            archive.extractall(into)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as exc:
        raise StoreError(f"release {release} in the registry is damaged: {exc}") from exc


def _get(store: ObjectStore, release: ReleaseId, file: str) -> bytes:
    if release.release not in releases(store, release.name):
        have = ", ".join(map(str, releases(store, release.name))) or "none"
        raise StoreError(f"release {release} is not in the registry; releases of {release.name!r} there: {have}")
    return store.get(_key(release, file))


def _numbers(store: ObjectStore, name: str) -> list[tuple[int, str]]:
    matches = (_KEY.fullmatch(key) for key in store.list(f"models/{name}/"))
    return [(int(match[1]), match[2]) for match in matches if match]


def _key(release: ReleaseId, file: str) -> str:
    return f"models/{release.name}/{release.release}/{file}"
