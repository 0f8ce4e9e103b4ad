"""Where a model comes from, for its manifest: what is needed to make it again, or to know why it can't be."""

import hashlib
import secrets
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cloud.train.data_record import DATA, read_data_record
from models.detections import UInt8
from models.manifest import Manifest, sha256_file

_LIBRARIES = ("numpy", "onnx", "onnxruntime", "opencv-python-headless", "torch", "torch-pruning", "torchao")


def lineage_of_tools() -> dict[str, Any]:
    """A new run's id, the revision of this code, the versions of the libraries that matter, and the time."""
    return {
        "run": secrets.token_hex(8),
        "code": code_revision(),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def released_lineage(run: Path, manifest: Manifest) -> dict[str, Any]:
    """A run's lineage with what its release adds: the split and the digest of its list of files, a parent where it was
    imported, and with what it was released."""
    lineage = dict(manifest.lineage)
    parts = read_data_record(run)
    if parts:
        lineage["split"] = {part: len(files) for part, files in parts.items()}
        lineage["files_sha256"] = sha256_file(run / DATA)
    imported = lineage.get("import")
    if isinstance(imported, dict) and "sha256" in imported:
        lineage.setdefault("parent", f"{imported.get('file', 'a foreign file')} sha256:{imported['sha256']}")
    tools = lineage_of_tools()
    lineage["released"] = {key: tools[key] for key in ("code", "libraries", "made_at")}
    return lineage


def digest_pictures(pictures: Iterable[UInt8]) -> str:
    """Hex sha256 over pictures, in order."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.shape}".encode())
        digest.update(picture.tobytes())
    return digest.hexdigest()


def code_revision() -> str:
    """`git describe` of the checkout this runs from ("-dirty" when it was edited), else the installed version."""
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():
        # installed into an environment, which may well lie in a checkout of something else
        return _version("tidegate") or "unknown"
    try:
        described = _git(checkout, "describe", "--always", "--abbrev=12")
        # `describe --dirty` would lock the index, and leave it locked where the disk is full
        edited = _git(checkout, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return _version("tidegate") or "unknown"
    return f"{described}-dirty" if edited else described


def _git(checkout: Path, *words: str) -> str:
    ran = subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True, timeout=10, check=True)
    return ran.stdout.strip()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
