"""Signing a release: from a run folder to a package that gateways trust (TUF, python-tuf; keys are Ed25519).

Each model has its own keys and its own root of trust, so whoever may sign one model can't speak for another.
`models/trust.py` is the other end.
"""

import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.exceptions import FormatError, UnsupportedAlgorithmError
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from cloud.model_card import CARD, model_card
from cloud.run_folder import intact, read_report
from models import golden
from models.durable import sync_folder, sync_tree, write_atomic
from models.errors import PackageError, UsageError
from models.manifest import NAME, Manifest, read_manifest, write_manifest
from models.runner import open_runner
from models.trust import METADATA, accept

ROLES = ("root", "timestamp", "snapshot", "targets")
ROOT = "root.json"
# a gateway refuses every new release once the root has expired, so the root outlives the hardware
ROOT_LIFETIME = timedelta(days=20 * 365)


@dataclass(frozen=True, slots=True)
class Keys:
    """One model's signing keys by role, and `root`, the bytes that gateways are provisioned with."""

    model: str
    root: bytes
    signers: dict[str, CryptoSigner]


def create_keys(folder: Path, model: str) -> Keys:
    """New keys under `folder`/`model`: a PEM file per role, for this user's eyes only, and root.json to hand out."""
    home = folder / _check_name(model)
    if home.exists():
        raise UsageError(f"{home} exists already: keys are never overwritten; move them away to start anew")
    signers = {role: CryptoSigner.generate_ed25519() for role in ROLES}
    root = Root(version=1, expires=_whole_seconds(datetime.now(UTC) + ROOT_LIFETIME), consistent_snapshot=False)
    for role, signer in signers.items():
        root.add_key(signer.public_key, role)
    document = _sign(Metadata(root), signers["root"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder, prefix=f".{model}."))  # mode 0700, and so stays the folder
    except OSError as exc:
        raise UsageError(f"keys cannot be made in {folder}: {exc.strerror}; name a folder that can be written") from exc
    try:
        for role, signer in signers.items():
            write_atomic(draft / f"{role}.pem", signer.private_bytes, mode=0o600)
        write_atomic(draft / ROOT, document)
        draft.rename(home)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(folder)
    return Keys(model, document, signers)


def has_keys(folder: Path, model: str) -> bool:
    """Whether keys of this model are there."""
    return (folder / _check_name(model)).is_dir()


def load_keys(folder: Path, model: str) -> Keys:
    """The model's keys; UsageError when they are not there or not whole. Whether they belong together
    shows when something is signed."""
    home = folder / _check_name(model)
    try:
        root = (home / ROOT).read_bytes()
        signers = {role: _load_signer(home / f"{role}.pem") for role in ROLES}
    except OSError as exc:
        raise UsageError(
            f"keys of model {model!r} cannot be read: {exc.filename}: {exc.strerror}; expected the PEM files of "
            f"{', '.join(ROLES)} and {ROOT} in {home}"
        ) from exc
    return Keys(model, root, signers)


def sign_release(
    run: Path,
    keys: Keys,
    *,
    release: int,
    floor: int,
    expires: datetime,
    out: Path,
) -> Path:
    """Make the new folder `out` a signed package of the run's chosen variant and its fallback, and open it once as a
    gateway would.

    Gateways accept it until `expires` (what was accepted stays). `floor` is the lowest release that gateways may
    still go back to. PackageError when the run's files are not what its manifest and golden answers say; `out` then
    does not exist.
    """
    if out.exists():
        raise UsageError(f"{out} exists already: a package is never overwritten")
    manifest = read_manifest(run)
    if manifest.name != keys.model:
        raise UsageError(f"{run} holds model {manifest.name!r}, but the keys are of {keys.model!r}")
    if not 0 <= floor <= release or release < 1:
        raise UsageError(f"need release >= 1 and 0 <= floor <= release, got release {release}, floor {floor}")
    check_run(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        draft.chmod(0o755)
        for variant in manifest.shipped:
            shutil.copyfile(run / variant.file, draft / variant.file)
        shutil.copytree(run / golden.FOLDER, draft / golden.FOLDER)
        signed = replace(manifest, variants=manifest.shipped, release=release, floor=floor)
        write_manifest(draft, signed)
        write_atomic(draft / CARD, model_card(signed, read_report(run)).encode())
        sign_files(draft, keys, version=release, expires=expires)
        with tempfile.TemporaryDirectory() as proof:
            accept(draft, root=keys.root, into=Path(proof) / "accepted")
        sync_tree(draft)
        draft.rename(out)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(out.parent)
    return out


def sign_files(package: Path, keys: Keys, *, version: int, expires: datetime) -> None:
    """Write `package`/tuf over all its files, whatever they are. All carry one version, so parts of two don't mix."""
    until = _whole_seconds(expires)
    files = sorted(path for path in package.rglob("*") if path.is_file())
    names = {path.relative_to(package).as_posix(): path for path in files}
    targets = Targets(
        version=version,
        expires=until,
        targets={name: TargetFile.from_file(name, str(path), ["sha256"]) for name, path in names.items()},
    )
    snapshot = Snapshot(version=version, expires=until, meta={"targets.json": MetaFile(version)})
    timestamp = Timestamp(version=version, expires=until, snapshot_meta=MetaFile(version))
    metadata = package / METADATA
    metadata.mkdir()
    root_version = Metadata[Root].from_bytes(keys.root).signed.version
    (metadata / f"{root_version}.root.json").write_bytes(keys.root)
    for signed in (targets, snapshot, timestamp):
        (metadata / f"{signed.type}.json").write_bytes(_sign(Metadata(signed), keys.signers[signed.type]))


def check_run(run: Path) -> Manifest:
    """The manifest of a run folder that may be signed; PackageError when its files are not what it and the golden
    answers say."""
    manifest = read_manifest(run)
    answers = golden.read_golden(run)
    for variant in manifest.shipped:
        intact(run, variant)
        if refused := _refusal(manifest, variant.name):
            raise PackageError(f"{run}: the gate refused variant {variant.name!r}: {refused}")
        differences = golden.replay(answers, variant.name, open_runner(run, manifest, variant.name))
        if differences:
            raise PackageError(
                f"{run}: variant {variant.name!r} does not answer as its golden frames say: {differences[0]}; "
                f"no gateway would take it"
            )
    return manifest


def _refusal(manifest: Manifest, variant: str) -> str:
    """Why the gate refused a variant; empty if it did not, or was not asked."""
    verdicts = manifest.gate.get("variants")
    verdict = verdicts.get(variant) if isinstance(verdicts, dict) else None
    if not isinstance(verdict, dict) or verdict.get("accepted", True):
        return ""
    return "; ".join(map(str, verdict.get("reasons") or ["no reason given"]))


def _sign(metadata: Metadata[Any], signer: CryptoSigner) -> bytes:
    metadata.sign(signer)
    return metadata.to_bytes(JSONSerializer(compact=False))


def _load_signer(path: Path) -> CryptoSigner:
    pem = path.read_bytes()
    try:
        return CryptoSigner(load_pem_private_key(pem, password=None))
    except (ValueError, TypeError, FormatError, UnsupportedAlgorithmError) as exc:
        raise UsageError(f"{path} is not a signing key: {exc}; expected an unencrypted Ed25519 key in PEM") from exc


def _check_name(model: str) -> str:
    if not NAME.fullmatch(model):
        raise UsageError(f"model name must be lower-case letters, digits and dashes (at most 63), got {model!r}")
    return model


def _whole_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)  # TUF writes no fractions
