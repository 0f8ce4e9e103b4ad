"""One trial: train, compress, measure. The run folder that it leaves is whole, as `train` and `compress` leave it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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

INT8_SECONDS = 60.0  # to look for a better int8 variant


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a trial is after an epoch: the validation metric, and the network's parameters."""

    epoch: int
    metric: float
    parameters: int


def run_trial(number: int, request: Request, variant: str, out: Path, *, on_epoch: Callable[[Progress], None]) -> Point:
    """Train and compress into the run folder `out`. What `on_epoch` raises ends the trial, and leaves nothing."""
    parameters = 0

    def started(_: object, __: object, net: object) -> None:
        nonlocal parameters
        parameters = count_parameters(net)  # type: ignore[arg-type]

    def after(epoch: Epoch) -> None:
        on_epoch(Progress(epoch.number, epoch.val_metric, parameters))

    try:
        train_run(request, out, force=True, on_start=started, on_epoch=after)
    finally:
        checkpoint_of(out).unlink(missing_ok=True)  # a trial is short: one that was killed is tried anew
    limits = Limits()
    with edit_run(out) as draft:
        manifest = read_manifest(draft)
        material = gather(draft, manifest, request.data, request.val, seed=request.settings.seed, calibrate_on=200)
        wanted = tuple(name for name in LADDER if name in (W8, variant))
        until = time.monotonic() + INT8_SECONDS
        search = make_variants(draft, material, wanted, limits, until=until, say=lambda _: None)
        judged = decide(measure(draft, material, limits, say=lambda _: None), limits)
        record(draft, judged, material, limits, search)
    figures = next(item.figures for item in judged if item.figures.name == variant)
    return Point(number, figures.accuracy, figures.bytes, figures.p50_ms)
