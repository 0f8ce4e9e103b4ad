"""weights.pt of a trained run folder: the network as PyTorch has it, for fine-tuning, pruning and int8 training."""

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cloud.run_folder import WEIGHTS
from models.durable import write_atomic
from models.errors import DataError, UsageError

HEAD = "head."  # the tensors of a network that have a row for each label


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


def take_over(into: Mapping[str, Tensor], labels: Sequence[str], weights: Weights) -> dict[str, Tensor]:
    """`into`, the state of a network for `labels`, with what `weights` know: the head's rows go by label, and a label
    that they lack keeps its row. UsageError when they are of a network of another shape."""
    state = dict(into)
    for name, tensor in into.items():
        old = weights.state.get(name)
        if old is not None and name.startswith(HEAD) and weights.labels and weights.labels != tuple(labels):
            rows = [(labels.index(label), row) for row, label in enumerate(weights.labels) if label in labels]
            state[name] = tensor.clone()
            for new_row, old_row in rows:
                state[name][new_row] = old[old_row]
        elif old is not None and old.shape == tensor.shape:
            state[name] = old
        else:
            there = "nothing" if old is None else "x".join(map(str, old.shape))
            raise UsageError(
                f"--from: the weights are of another network: {name} is {'x'.join(map(str, tensor.shape))} here and "
                f"{there} there; pass the flags that they were trained with (--width, --depth, --stages, --growth)"
            )
    return state
