"""What python-tuf says about a package's signatures. models/trust.py decides what follows from it."""

import errno
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from tuf.api.exceptions import DownloadError, DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.ngclient.config import UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from models.errors import PackageError
from models.manifest import MANIFEST
from models.trust import ACCEPTED, METADATA

MAX_TARGET_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def copy_verified(package: Path, root: bytes, into: Path) -> dict[str, str]:
    """Copy what is signed to the folder `into`; the sha256 of each file, by name. PackageError when anything is
    unsigned, touched, truncated or expired, OSError when there is no room; what is in the folder then is worth
    nothing."""
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
            if isinstance(exc, OSError) and exc.errno in _NO_ROOM:
                raise  # nothing is wrong with the package
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
