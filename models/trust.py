"""Opening a model package only through its signatures (TUF, https://theupdateframework.github.io/specification/).

A package carries its own TUF metadata in `tuf/`; its other files are the targets. Everything is checked before
onnxruntime sees a byte. TUF's roll-back check needs remembered metadata, which a revert must be able to pass;
so each package is opened with a fresh metadata folder, and `floor` in the signed manifest refuses what is too old.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from tuf.api.exceptions import DownloadError, DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from models.durable import sync_folder, sync_tree, write_atomic
from models.errors import PackageError
from models.manifest import MANIFEST, Manifest, read_manifest, sha256_file

METADATA = "tuf"
ACCEPTED = "accepted.json"
MAX_TARGET_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


def accept(package: Path, *, root: bytes, into: Path) -> Manifest:
    """Verify `package` against the trusted `root` and copy what is signed to the new folder `into`.

    Raises PackageError when anything is unsigned, touched, truncated or expired; `into` then does not exist.
    """
    if into.exists():
        raise PackageError(f"{into} exists already: an accepted release is never overwritten")
    into.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=into.parent, prefix=f".{into.name}."))
    try:
        digests = _copy_verified(package, root, staging)
        manifest = read_manifest(staging)
        for variant in manifest.variants:
            if digests.get(variant.file) != variant.sha256:
                raise PackageError(f"{package}: variant {variant.name!r} is not the file that the manifest describes")
        write_atomic(staging / ACCEPTED, json.dumps(digests, indent=1, sort_keys=True).encode())
        # or a power cut after the rename leaves an accepted release of empty files
        sync_tree(staging)
        staging.rename(into)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    sync_folder(into.parent)
    return manifest


def check_whole(package: Path) -> Manifest:
    """The manifest of a package in which every signed file is as it was signed, by whomever.

    Judged by the root that the package itself brings: this finds damage and no forgery. PackageError as for `accept`.
    """
    roots = sorted((package / METADATA).glob("*.root.json"))
    if not roots:
        raise PackageError(f"{package} is not signed: expected {METADATA}/1.root.json (sign with `tidegate release`)")
    with tempfile.TemporaryDirectory() as proof:
        return accept(package, root=roots[-1].read_bytes(), into=Path(proof) / "accepted")


def recheck(accepted: Path) -> Manifest:
    """The manifest of a release accepted earlier, after comparing every file with its digest of then.

    Signatures and expiry are not looked at again: a clock that jumps must not brick a gateway.
    """
    try:
        digests = {str(name): digest for name, digest in json.loads((accepted / ACCEPTED).read_bytes()).items()}
    except (OSError, ValueError, AttributeError, RecursionError) as exc:
        raise PackageError(f"{accepted}: the list of accepted digests cannot be read: {exc}") from exc
    if MANIFEST not in digests:
        raise PackageError(f"{accepted}: the list of accepted digests does not name {MANIFEST}")
    for name, digest in digests.items():
        try:
            found = sha256_file(accepted / name)
        except (OSError, ValueError) as exc:
            raise PackageError(f"{accepted / name} is missing from an accepted release: {exc}") from exc
        if found != digest:
            raise PackageError(
                f"{accepted / name} has changed since it was accepted (sha256 {found[:12]}, not {str(digest)[:12]})"
            )
    return read_manifest(accepted)


def _copy_verified(package: Path, root: bytes, into: Path) -> dict[str, str]:
    metadata = package / METADATA
    if not (metadata / "timestamp.json").is_file():
        raise PackageError(
            f"{package} is not signed: expected TUF metadata in {METADATA}/ (sign with `tidegate release`)"
        )
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as fresh:
        try:
            updater = Updater(
                metadata_dir=fresh,
                metadata_base_url=metadata.resolve().as_uri(),
                target_base_url=package.resolve().as_uri(),
                fetcher=_FolderFetcher(),
                config=UpdaterConfig(prefix_targets_with_hash=False),
                bootstrap=root,
            )
            updater.refresh()
            for name in _target_names(Path(fresh) / "targets.json"):
                target = updater.get_targetinfo(name)
                if target is None or not _is_inside(name) or target.length > MAX_TARGET_BYTES:
                    raise PackageError(f"{package}: {name!r} is not a file that a package may hold")
                (into / name).parent.mkdir(parents=True, exist_ok=True)
                updater.download_target(target, str(into / name))
                digests[name] = target.hashes["sha256"]
        except ExpiredMetadataError as exc:
            raise PackageError(f"{package}: its signature has expired ({exc}); sign the release again") from exc
        except DownloadHTTPError as exc:
            raise PackageError(f"{package}: a signed file is missing ({exc})") from exc
        except (RepositoryError, DownloadError, OSError, ValueError, KeyError) as exc:
            raise PackageError(
                f"{package}: its bytes are not what was signed, or not by a key this gateway trusts ({exc}); "
                f"fetch it again, and check which root of trust this gateway was provisioned with"
            ) from exc
    if MANIFEST not in digests:
        raise PackageError(f"{package}: {MANIFEST} is not among the signed files")
    return digests


def _target_names(path: Path) -> list[str]:
    # the updater has verified this file; it only has no call that lists what is in it
    return sorted(json.loads(path.read_bytes())["signed"]["targets"])


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts and path.parts[:1] not in ((), (METADATA,), (ACCEPTED,))


class _FolderFetcher(FetcherInterface):
    """Reads file:// URLs, which is all that a package on disk needs."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(unquote(urlparse(url).path))
        if not path.is_file():  # nor a pipe, which would never end
            # 404 is how TUF learns that there is no newer root
            raise DownloadHTTPError(path.name, 404)
        with path.open("rb") as file:
            # by pieces: TUF stops at the signed length, however long the file is
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
