"""A training from end to end: read the data, train, resume, export into a run folder."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from cloud.run_folder import new_run
from cloud.train.loop import Epoch, train
from cloud.train.request import Outcome, Prepared, Request, fingerprint
from cloud.train.tasks import TASKS, config_of
from cloud.train.weights import take_over


def checkpoint_of(out: Path) -> Path:
    """Where a training keeps its state: beside the run folder that it will become."""
    return out.absolute().with_name(f"{out.name}.checkpoint")


def train_run(
    request: Request,
    out: Path,
    *,
    checkpoint: Path | None = None,
    force: bool = False,
    fresh: bool = False,
    on_start: Callable[[Request, Prepared, nn.Module], None] = lambda *_: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Outcome:
    """Train as asked and leave the run folder `out`; how good the exported model is.

    A `checkpoint` (by default beside `out`) is gone on from, thrown away with `fresh`, and removed at the end. What is
    wrong raises a TidegateError, and `out` is then as it was before.
    """
    task = TASKS[request.task]
    if request.parent is not None:
        request = replace(request, net=config_of(request.parent.weights.net))
    with new_run(out, name=request.name, force=force) as draft:
        prepared = task.prepare(request)
        net = _start(request, prepared)
        checkpoint = checkpoint or checkpoint_of(out)
        if fresh:
            checkpoint.unlink(missing_ok=True)
        on_start(request, prepared, net)
        history = []
        for epoch in train(
            net,
            prepared.lesson(request),
            request.settings,
            checkpoint=checkpoint,
            fingerprint=fingerprint(request, prepared),
        ):
            history.append(epoch)
            on_epoch(epoch)
        outcome = task.write_run(draft, request, net, prepared, history)
    checkpoint.unlink(missing_ok=True)
    return outcome


def _start(request: Request, prepared: Prepared) -> nn.Module:
    """The network at its first step: untrained, or as its parent left it."""
    torch.manual_seed(request.settings.seed)
    net = TASKS[request.task].make_net(prepared.labels, request.net)
    if request.parent is not None:
        net.load_state_dict(take_over(net.state_dict(), prepared.labels, request.parent.weights))
    return net
