"""A training's state after an epoch: enough to go on from as if nothing had happened."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.durable import write_atomic
from models.errors import DataError, UsageError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`fingerprint` says of which training it is (data, network, settings); `state` is the loop's own."""

    fingerprint: str
    epoch: int
    state: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Put the checkpoint at `path`, atomically: a kill leaves the one before."""
    content = io.BytesIO()
    torch.save({"fingerprint": checkpoint.fingerprint, "epoch": checkpoint.epoch, "state": checkpoint.state}, content)
    write_atomic(path, content.getvalue())


def read_checkpoint(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`, or None where there is none; DataError for what is no checkpoint."""
    if not path.exists():
        return None
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)  # data only: a file can't run code
        return Checkpoint(document["fingerprint"], document["epoch"], document["state"])
    except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, EOFError, ValueError) as exc:
        raise DataError(f"{path} is no checkpoint of a training: remove it, or pass --fresh") from exc


def resume(path: Path, fingerprint: str) -> Checkpoint | None:
    """The checkpoint to go on from, if any; UsageError when it is of another training."""
    found = read_checkpoint(path)
    if found is not None and found.fingerprint != fingerprint:
        raise UsageError(
            f"{path} was left by a training with other data or settings (epoch {found.epoch}): call it as then to go "
            f"on, or pass --fresh to throw it away"
        )
    return found
