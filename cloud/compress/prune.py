"""Structured pruning: whole channels go, and what is left is a smaller network of the same kind. torch-pruning lives
here."""

import copy
from dataclasses import dataclass
from itertools import islice

import torch
import torch_pruning
from torch import nn

from cloud.quiet import quiet
from cloud.train.lesson import Lesson
from cloud.train.loop import Settings
from models.errors import UsageError
from models.manifest import InputSpec

_JUDGED_ON = 8  # batches
_STEPS = 50  # after each, what the channels that are left matter is looked at anew
_MOST = 0.9  # of a layer's channels
_MULTIPLE = 8  # of channels: what integer kernels take in one go
_ANSWERS = ("head", "sides")  # layers whose channels are the network's answers


@dataclass(frozen=True, slots=True)
class Size:
    """How large a network is; `macs` are the multiplications for a picture."""

    parameters: int
    macs: int


def size_of(net: nn.Module, spec: InputSpec) -> Size:
    """How large a network with this input is."""
    macs, parameters = torch_pruning.utils.count_ops_and_params(net, torch.zeros(1, 3, spec.height, spec.width))
    return Size(int(parameters), int(macs))


def prune(net: nn.Module, lesson: Lesson, settings: Settings, spec: InputSpec, limit: Size) -> nn.Module:
    """A copy of `net` without the channels that matter least, so many that no more than `limit` is left; it is to be
    trained further.

    What a channel matters is weight times gradient of the lesson's loss (Molchanov et al. 2019,
    https://arxiv.org/abs/1906.10771), over all layers whose channels must go together (Fang et al. 2023,
    https://arxiv.org/abs/2301.12900). UsageError where so little can't be reached.
    """
    pruned = copy.deepcopy(net).eval()  # in eval mode, so that no statistic moves
    rng = torch.Generator().manual_seed(settings.seed)
    for batch in islice(lesson.batches(settings.batch, rng), _JUDGED_ON):
        loss, _ = lesson.loss(pruned, batch)
        loss.backward()  # type: ignore[no-untyped-call]
    with quiet():
        pruner = torch_pruning.pruner.BasePruner(
            pruned,
            torch.zeros(1, 3, spec.height, spec.width),
            importance=torch_pruning.importance.GroupTaylorImportance(),
            global_pruning=True,
            pruning_ratio=_MOST,
            max_pruning_ratio=_MOST,
            iterative_steps=_STEPS,
            round_to=_MULTIPLE,
            ignored_layers=[module for name, module in pruned.named_modules() if name.split(".")[0] in _ANSWERS],
        )
        size = size_of(pruned, spec)
        for _ in range(_STEPS):
            if size.macs <= limit.macs and size.parameters <= limit.parameters:
                break
            pruner.step()
            size = size_of(pruned, spec)
    if size.macs > limit.macs or size.parameters > limit.parameters:
        raise UsageError(
            f"pruning can't leave {limit.macs:,} multiplications and {limit.parameters:,} parameters or fewer: the "
            f"least is {size.macs:,} and {size.parameters:,}"
        )
    pruned.zero_grad(set_to_none=True)
    return pruned
