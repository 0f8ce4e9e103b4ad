"""Opening a model package only through its signatures (TUF, https://theupdateframework.github.io/specification/).

A package carries its own TUF metadata in `tuf/`; its other files are the targets. Everything is checked before
onnxruntime sees a byte. TUF's roll-back check needs remembered metadata, which a revert must be able to pass;
so each package is opened with a fresh metadata folder, and `floor` in the signed manifest refuses what is too old.
"""

import json
import shutil
import tempfile
from pathlib import Path

from models.durable import sync_folder, sync_tree, write_atomic
from models.errors import PackageError
from models.manifest import MANIFEST, Manifest, read_manifest, sha256_file

METADATA = "tuf"
ACCEPTED = "accepted.json"


def accept(package: Path, *, root: bytes, into: Path) -> Manifest:
    """Verify `package` against the trusted `root` and copy what is signed to the new folder `into`.

    Raises PackageError when anything is unsigned, touched, truncated or expired, and OSError when there is no room for
    it; `into` then does not exist.
    """
    # python-tuf is worth 6 MB, and a gateway that starts with a release it accepted before has no use for it
    from models.signatures import copy_verified

    if into.exists():
        raise PackageError(f"{into} exists already: an accepted release is never overwritten")
    into.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=into.parent, prefix=f".{into.name}."))
    try:
        digests = copy_verified(package, root, staging)
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
