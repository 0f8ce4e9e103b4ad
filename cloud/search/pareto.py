"""What is better than what, with several aims at once. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A trial that ended: `accuracy` (the task's metric; more is better), `bytes` and `p50_ms` (less is better) of the
    variant that it is judged by, which the gate would sign or not (`passed`)."""

    trial: int
    accuracy: float
    bytes: int
    p50_ms: float
    passed: bool = True


def dominates(one: Point, other: Point) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better."""
    ours, theirs = (-one.accuracy, one.bytes, one.p50_ms), (-other.accuracy, other.bytes, other.p50_ms)
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs


def front(points: Sequence[Point]) -> list[Point]:
    """The points that none dominates, the most accurate first."""
    best = [point for point in points if not any(dominates(other, point) for other in points)]
    return sorted(best, key=lambda point: (-point.accuracy, point.bytes, point.p50_ms, point.trial))


def choose(
    points: Sequence[Point], *, max_bytes: int | None = None, max_ms: float | None = None, close: float = 0.01
) -> Point | None:
    """The smallest that is within `close` of the best accuracy among those within the limits; None if none is.

    What the gate refused is only taken where it refused all.
    """
    allowed = [
        point
        for point in points
        if (max_bytes is None or point.bytes <= max_bytes) and (max_ms is None or point.p50_ms <= max_ms)
    ]
    if not allowed:
        return None
    allowed = [point for point in allowed if point.passed] or allowed
    best = max(point.accuracy for point in allowed)
    return min(
        (point for point in allowed if point.accuracy >= best - close), key=lambda point: (point.bytes, point.p50_ms)
    )


def hopeless(metric: float, size: int, earlier: Sequence[tuple[float, int]], *, at_least: int = 4) -> bool:
    """Whether a trial should stop half-way. `earlier`: what other trials had at the same epoch (metric, parameters).

    It is when it is in their lower half, and no larger one was as bad: a small network may be on the front for its
    size alone, so it is only compared with those that are no larger than it.
    """
    if len(earlier) < at_least:
        return False
    rivals = [other for other, parameters in earlier if parameters <= size]
    below = sum(metric < other for other, _ in earlier)
    return below > len(earlier) / 2 and sum(metric < other for other in rivals) >= max(2, len(rivals) / 2)
