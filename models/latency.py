"""How long variants take, measured so that they can be compared."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

NOT_SLOWER = 1.05  # two medians of the same thing differ by a few percent
UNNOTICED_MS = 0.02  # and by the caller's own work around a run, which weighs in where a model takes next to nothing


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one single-threaded run, in processor time."""

    p50_ms: float
    p95_ms: float


def compare_latency(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 300,
    budget_s: float = 8.0,
    warm_up: int = 5,
    at_least: int = 1,
    clock_ns: Callable[[], int] = time.thread_time_ns,
) -> dict[str, Latency]:
    """Time each of `runs` once a round, taking turns, so that whatever else the machine does hits all alike.

    Stops after `rounds`, or at the end of a round once `budget_s` of the clock is spent, but not before round
    `at_least`. The clock is the processor time of this thread, on which a run of one thread is spent: a machine that
    is busy with something else measures what an idle one does.
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


def is_slower(took_ms: float, than_ms: float, *, ratio: float = NOT_SLOWER) -> bool:
    """Whether one median is above another, times `ratio`, by more than measuring them can tell; nan is."""
    return not (took_ms <= ratio * than_ms or took_ms <= than_ms + UNNOTICED_MS)
