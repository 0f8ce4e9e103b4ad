"""weights.pt of a trained run folder: the network as PyTorch has it, for fine-tuning, pruning and int8 training."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.durable import write_atomic
from models.errors import DataError

WEIGHTS = "weights.pt"


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """`net` are the fields of the network's configuration; `state` its parameters and statistics by name."""

    task: str
    net: dict[str, Any]
    labels: tuple[str, ...]
    state: dict[str, Tensor]


def save_weights(folder: Path, weights: Weights) -> None:
    """Put weights.pt into `folder`, atomically."""
    content = io.BytesIO()
    document = {"task": weights.task, "net": weights.net, "labels": list(weights.labels), "state": weights.state}
    torch.save(document, content)
    write_atomic(folder / WEIGHTS, content.getvalue())


def read_weights(folder: Path) -> Weights:
    """The weights of a trained run folder; DataError where there are none, or no whole ones."""
    path = folder / WEIGHTS
    if not path.is_file():
        raise DataError(f"{folder} holds no {WEIGHTS}; only a run of `tidegate train` has trainable weights")
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)  # data only: a file can't run code
        return Weights(document["task"], document["net"], tuple(document["labels"]), document["state"])
    except (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, EOFError, ValueError) as exc:
        raise DataError(f"{path} cannot be read: it is cut off or no weights of ours; train again") from exc


def take_over(into: Mapping[str, Tensor], weights: Weights) -> tuple[dict[str, Tensor], list[str]]:
    """`into`, a network's state, with every tensor of `weights` that has the same name and shape; and the names of
    those that don't (a head for other classes)."""
    state = {
        name: weights.state[name] if name in weights.state and weights.state[name].shape == tensor.shape else tensor
        for name, tensor in into.items()
    }
    new = [name for name in into if name not in weights.state or weights.state[name].shape != into[name].shape]
    return state, new
