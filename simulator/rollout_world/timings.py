"""How long a run takes, and how that scatters: measured, and shown by no answer."""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.detections import UInt8
from models.latency import compare_latency
from models.runner import Runner

Float64 = npt.NDArray[np.float64]
_STRETCH = 50  # runs by whose median and 95th percentile a window is timed


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """Stretches of measured runs: median and 95th percentile of each, as parts of the median of all."""

    p50: Float64
    p95: Float64


def scatter(runner: Runner, frame: UInt8, *, budget_s: float = 12.0) -> Scatter:
    """How run times scatter here, by the clock: whatever else this machine does is in it."""
    taken: list[float] = []
    until = time.perf_counter() + budget_s
    while time.perf_counter() < until or len(taken) < 4 * _STRETCH:
        started = time.perf_counter()
        runner.run_fitted(frame)
        taken.append(time.perf_counter() - started)
    stretches = np.array(taken[: len(taken) // _STRETCH * _STRETCH]).reshape(-1, _STRETCH) / np.median(taken)
    return Scatter(np.median(stretches, axis=1), np.percentile(stretches, 95, axis=1))


def slower(runner: Runner, than: Runner, frame: UInt8, frame_than: UInt8, *, budget_s: float = 4.0) -> float:
    """How many times as long a run takes as that of another, in processor time, taking turns."""
    runs = {"this": lambda: runner.run_fitted(frame), "that": lambda: than.run_fitted(frame_than)}
    found = compare_latency(runs, rounds=1000, budget_s=budget_s, at_least=30)
    return found["this"].p50_ms / found["that"].p50_ms
