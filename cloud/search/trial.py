"""One trial: train, compress, measure. The run folder that it leaves is whole, as `train` and `compress` leave it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from cloud.compress.gate import Limits
from cloud.compress.material import gather
from cloud.compress.run import LADDER, W8, decide, make_variants, measure, record
from cloud.run_folder import edit_run
from cloud.search.pareto import Point
from cloud.train.loop import Epoch
from cloud.train.nets import count_parameters
from cloud.train.request import Request
from cloud.train.run import checkpoint_of, train_run
from models.manifest import read_manifest

_INT8_SECONDS = 5.0, 60.0  # to look for a better int8 variant: as long as the training took, within these


class GivenUp(Exception):  # noqa: N818  # no error: as StopIteration is none
    """A trial that is not worth going on with, or has no time left."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a trial is after an epoch: the validation metric, and the network's parameters."""

    epoch: int
    metric: float
    parameters: int


def run_trial(
    number: int,
    request: Request,
    variant: str,
    out: Path,
    *,
    rungs: Sequence[int],
    until: float,
    is_hopeless: Callable[[Progress], bool],
) -> Point:
    """Train and compress into the run folder `out`. After the epochs in `rungs` it is asked whether to stop; then, or
    when `until` (time.time()) is over, GivenUp is raised and nothing is left."""
    parameters = 0

    def started(_: object, __: object, net: nn.Module) -> None:
        nonlocal parameters
        parameters = count_parameters(net)

    def after(epoch: Epoch) -> None:
        if time.time() > until:
            raise GivenUp
        if epoch.number in rungs and is_hopeless(Progress(epoch.number, epoch.val_metric, parameters)):
            raise GivenUp

    begun = time.monotonic()
    try:
        train_run(request, out, force=True, on_start=started, on_epoch=after)
    finally:
        checkpoint_of(out).unlink(missing_ok=True)  # a trial is short: one that was killed is tried anew
    limits = Limits()
    with edit_run(out) as draft:
        manifest = read_manifest(draft)
        material = gather(draft, manifest, request.data, request.val, seed=request.settings.seed, calibrate_on=200)
        wanted = tuple(name for name in LADDER if name in (W8, variant))
        least, most = _INT8_SECONDS
        enough = time.monotonic() + min(most, max(least, time.monotonic() - begun))
        search = make_variants(draft, material, wanted, limits, until=enough, say=lambda _: None)
        judged = decide(measure(draft, material, limits, say=lambda _: None), limits)
        record(draft, judged, material, limits, search)
    one = next(item for item in judged if item.figures.name == variant)
    return Point(number, one.figures.accuracy, one.figures.bytes, one.figures.p50_ms, one.verdict.accepted)
