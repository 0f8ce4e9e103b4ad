"""A variant's graph as onnxruntime optimised it for this device, kept beside the release.

Optimising is most of what opening a session takes (FastestDet 64 ms, and 24 ms from the kept graph), and a gateway
opens the same few releases again and again. The kept graph may hold kernels of this very processor, so it is used
only with what it was made from, by the runtime and on the hardware that made it, and only as it was written.
"""

import contextlib
import hashlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from models.configuration import parse
from models.durable import sync_folder, write_atomic
from models.errors import ConfigError, ModelError
from models.manifest import Manifest, sha256_file
from models.runner import Runner

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """`of`: digest of the variant's file; `on`: hardware and runtime; `sha256` of the kept graph."""

    of: str
    on: str
    sha256: str


def open_kept(folder: Path, manifest: Manifest, name: str, *, digest: str, on: str, keep: Path | None) -> Runner:
    """A runner on a variant of a run folder or package, from the graph kept in the folder `keep` if it is whole and
    fits, else from the variant's own file (its sha256 is `digest`); the graph is then kept for the next time.

    `on` names hardware and runtime. Without `keep`, or on a full disk, nothing is kept. ModelError as of `Runner`.
    """
    entry = manifest.variant(name)
    file = folder / entry.file
    if keep is None:
        return Runner(file, manifest, weights_only=entry.weights_only)
    kept, note = keep / f"optimised-{name}.onnx", keep / f"optimised-{name}.json"
    if _is_whole(kept, note, of=digest, on=on):
        try:
            return Runner(kept, manifest, optimised=True)
        except ModelError as exc:
            log.warning("%s is made anew: %s", kept, exc)
    draft = keep / f".optimised-{name}.onnx"
    try:
        runner = Runner(file, manifest, weights_only=entry.weights_only, optimised_into=draft)
    except ModelError:
        # perhaps only the disk's fault
        draft.unlink(missing_ok=True)
        return Runner(file, manifest, weights_only=entry.weights_only)
    with contextlib.suppress(OSError):
        _keep(draft, kept, note, of=digest, on=on)
    draft.unlink(missing_ok=True)
    return runner


def _is_whole(kept: Path, note: Path, *, of: str, on: str) -> bool:
    try:
        made = parse(_Made, json.loads(note.read_bytes()), where=str(note))
        return (made.of, made.on) == (of, on) and made.sha256 == sha256_file(kept)
    except (OSError, ValueError, ConfigError):
        return False


def _keep(draft: Path, kept: Path, note: Path, *, of: str, on: str) -> None:
    with draft.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    draft.replace(kept)
    sync_folder(kept.parent)
    # last: without its note a graph counts for nothing
    write_atomic(note, json.dumps(asdict(_Made(of, on, digest))).encode())
