"""Measured things that no answer shows: how long a run takes, how that scatters, and what keeping pictures costs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.memory import measure
from models.detections import UInt8
from models.latency import compare_latency
from models.runner import Runner

Float64 = npt.NDArray[np.float64]
_STRETCH = 100  # runs by whose median and 95th percentile a window is timed
_KEPT = 64 << 20  # bytes of pictures that the leaking run keeps


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """Stretches of measured runs: median and 95th percentile of each, as parts of the median of all."""

    p50: Float64
    p95: Float64


def scatter(runner: Runner, frame: UInt8, *, budget_s: float = 8.0) -> Scatter:
    """How run times scatter here, by the clock: whatever else this machine does is in it."""
    taken: list[float] = []
    until = time.perf_counter() + budget_s
    while time.perf_counter() < until or len(taken) < 4 * _STRETCH:
        started = time.perf_counter()
        runner.run_fitted(frame)
        taken.append(time.perf_counter() - started)
    stretches = np.array(taken[: len(taken) // _STRETCH * _STRETCH]).reshape(-1, _STRETCH) / np.median(taken)
    return Scatter(np.median(stretches, axis=1), np.percentile(stretches, 95, axis=1))


def medians(runners: Mapping[str, Runner], frames: Mapping[str, UInt8], *, budget_s: float = 30.0) -> dict[str, float]:
    """Milliseconds of processor time of a run of each, taking turns."""
    runs = {name: lambda name=name, runner=runner: runner.run_fitted(frames[name]) for name, runner in runners.items()}
    return {name: found.p50_ms for name, found in compare_latency(runs, rounds=300, budget_s=budget_s).items()}


def leak_per_frame(runner: Runner, frame: UInt8) -> float:
    """Bytes by which a process grows for each picture that it keeps after its run, instead of letting it go."""
    for _ in range(20):
        runner.run_fitted(frame)
    count = max(50, _KEPT // frame.nbytes)
    kept: Sequence[UInt8] = [_run_and_keep(runner, frame) for _ in range(10)]
    before = measure().resident
    kept = [_run_and_keep(runner, frame) if k % 16 == 0 else frame.copy() for k in range(count)]
    grown = measure().resident - before
    return grown / len(kept)


def _run_and_keep(runner: Runner, frame: UInt8) -> UInt8:
    kept = frame.copy()
    runner.run_fitted(kept)
    return kept
