"""The search for the best full int8 variant: how to calibrate, and what to leave in float."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloud.compress.material import Material
from cloud.compress.quantize import Calibration, Prepared, prepare, quantize
from cloud.compress.sensitivity import Sensitivity, sensitivities
from models.detections import UInt8
from models.errors import ModelError

_HISTOGRAM_PICTURES = 32  # entropy and percentile keep every value of every picture until they are done
_FLOATING = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate: how it was calibrated, the nodes left in float (most sensitive first), and the task's metric on
    the pictures that it was calibrated on."""

    method: Calibration
    floating: tuple[str, ...]
    metric: float
    bytes: int


@dataclass(slots=True)
class Search:
    """What was tried, in order; `best` is what the variant was made of, `reference` fp32's metric on the same."""

    reference: float
    trials: list[Trial] = field(default_factory=list)
    sensitivity: list[Sensitivity] = field(default_factory=list)
    best: Trial | None = None


def search_int8(
    model: Path,
    into: Path,
    scratch: Path,
    material: Material,
    *,
    margin: float,
    until: float,
    say: Callable[[str], None],
) -> Search:
    """Write the int8 variant `into` that loses least, or the first that loses no more than half the `margin` on the
    pictures it was calibrated on; gives up looking at `until` (time.monotonic()).

    `say` is told what is being tried. ModelError when nothing at all can be quantised.
    """
    prepared = prepare(model, scratch)
    search = Search(material.trial(material.open(model)).value)
    good_enough = search.reference - margin / 2
    for method, floating in _candidates(search, prepared, material, until, say):
        what = f"{method}, {len(floating)} nodes in float" if floating else method
        say(f"int8: {what}")
        file = scratch / "candidate.onnx"
        try:
            quantize(prepared, file, _pictures(material, method), method=method, floating=floating)
            metric = material.trial(material.open(file)).value
        except ModelError:
            if search.trials:
                continue  # what has been made already still stands
            raise
        trial = Trial(method, floating, metric, file.stat().st_size)
        search.trials.append(trial)
        if search.best is None or trial.metric > search.best.metric:
            search.best = trial
            file.replace(into)
        if search.best.metric >= good_enough or time.monotonic() > until:
            break
    return search


def _candidates(
    search: Search, prepared: Prepared, material: Material, until: float, say: Callable[[str], None]
) -> Iterator[tuple[Calibration, tuple[str, ...]]]:
    """Plain calibrations first; then, with the best of them, ever more of what int8 ruins is left in float."""
    methods: tuple[Calibration, ...] = ("min-max", "percentile", "entropy")
    for method in methods:
        yield method, ()
    if not search.trials or time.monotonic() > until:
        return
    best = max(search.trials, key=lambda trial: trial.metric).method
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        say(f"sensitivity: {done} of {len(prepared.weighted)} nodes")

    search.sensitivity = sensitivities(prepared, _pictures(material, best), method=best, on_node=count)
    ranked = tuple(item.node for item in search.sensitivity)
    for number in _FLOATING:
        if number < len(ranked):
            yield best, ranked[:number]


def _pictures(material: Material, method: Calibration) -> Sequence[UInt8]:
    return material.calibration if method == "min-max" else material.calibration[:_HISTOGRAM_PICTURES]
