"""How long variants take, measured so that they can be compared."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one single-threaded run."""

    p50_ms: float
    p95_ms: float


def compare_latency(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 300,
    budget_s: float = 8.0,
    warm_up: int = 5,
    at_least: int = 1,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, Latency]:
    """Time each of `runs` once a round, taking turns, so that whatever else the machine does hits all alike.

    Stops after `rounds`, or at the end of a round once `budget_s` of the clock is spent, but not before round
    `at_least`. Where others use the same cores, `time.thread_time_ns` as `clock_ns` leaves out the waiting.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        for _ in range(warm_up):
            run()
    names = list(runs)
    until = clock_ns() + int(budget_s * 1e9)
    for number in range(rounds):
        # who goes first alternates: the second finds the caches as the first left them
        for name in names if number % 2 else reversed(names):
            started = clock_ns()
            runs[name]()
            times[name].append((clock_ns() - started) / 1e6)
        if clock_ns() > until and number + 1 >= at_least:
            break
    return {
        name: Latency(float(np.percentile(taken, 50)), float(np.percentile(taken, 95))) for name, taken in times.items()
    }
