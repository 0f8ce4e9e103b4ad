"""Windows of health, pooled into the few figures that a roll-out compares."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.health import SCORE_BINS, Health

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a gateway did with one release over some windows.

    `windows` counts whole ones, `frames` were inferred, `fps` is inferred per second while the camera was well
    (`looked`; if it never was, over all windows), `per_frame` detections per frame. Where an even number of windows
    has two middle values the kinder one stands: one hiccup among two windows is no verdict.
    """

    windows: int
    frames: int
    errors: int
    fps: float
    looked: bool
    p50_ms: float
    p95_ms: float
    memory_bytes: int
    detections: int
    per_frame: float
    mean_score: float
    mix: Mapping[str, int]


NOTHING = Figures(
    windows=0,
    frames=0,
    errors=0,
    fps=0,
    looked=False,
    p50_ms=0,
    p95_ms=0,
    memory_bytes=0,
    detections=0,
    per_frame=0,
    mean_score=0,
    mix=MappingProxyType({}),
)


@dataclass(frozen=True, slots=True)
class Spread:
    """How much a release differs from itself: `mix` is the largest total variation distance between a pool of windows
    and the other windows, `score` the largest difference of the mean score; detections per frame ran from `rate_low`
    to `rate_high`."""

    mix: float
    score: float
    rate_low: float
    rate_high: float


NO_SPREAD = Spread(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Drift:
    """What happened meanwhile to gateways whose model did not change: ratios now to before (1 where nobody can tell),
    the class mix's distance, the mean score's difference."""

    p95: float = 1.0
    fps: float = 1.0
    rate: float = 1.0
    mix: float = 0.0
    score: float = 0.0


NO_DRIFT = Drift()


def pool(windows: Sequence[Health]) -> Figures:
    """One account of several windows."""
    frames = sum(window.frames_inferred for window in windows)
    detections = sum(window.detections for window in windows)
    timed = [window for window in windows if window.window_s > 0]
    looking = [window for window in timed if window.camera_state == "ok"]
    rates = [window.frames_inferred / window.window_s for window in looking or timed]
    inferring = [window for window in windows if window.frames_inferred]
    return Figures(
        windows=len(windows),
        frames=frames,
        errors=sum(window.errors for window in windows if window.camera_state == "ok"),
        fps=statistics.median_high(rates) if rates else 0,
        looked=bool(looking),
        p50_ms=statistics.median_low([window.p50_ms for window in inferring]) if inferring else 0,
        p95_ms=statistics.median_low([window.p95_ms for window in inferring]) if inferring else 0,
        memory_bytes=statistics.median_low([window.memory_bytes for window in windows]) if windows else 0,
        detections=detections,
        per_frame=detections / frames if frames else 0,
        mean_score=mean_score(_sum_bins(windows)),
        mix=_sum_mix(windows),
    )


def spread(windows: Sequence[Health], pooled: int) -> Spread:
    """How much every run of `pooled` windows (at most half of them) differs from the other windows.

    Neighbouring windows show the same part on the belt, so it is runs that are compared, never shuffled windows. A
    short history has few long runs and may be short of surprises; it has more short ones, and from those noise can
    shrink no faster than with the square root of the windows pooled.
    """
    windows = [window for window in windows if window.frames_inferred]
    if len(windows) < 2:
        return NO_SPREAD
    size = max(1, min(pooled, len(windows) // 2))
    shorter = [length for length in (1, 2, 4, 8) if length < size]
    by_length = {length: _spread_of_runs(windows, length) for length in (*shorter, size)}
    return replace(
        by_length[size],
        mix=max(found.mix * math.sqrt(length / size) for length, found in by_length.items()),
        score=max(found.score * math.sqrt(length / size) for length, found in by_length.items()),
    )


def typical(spreads: Sequence[Spread]) -> Spread:
    """The middle of several gateways' spreads."""
    known = [spread for spread in spreads if spread != NO_SPREAD] or [NO_SPREAD]
    return Spread(
        mix=statistics.median(spread.mix for spread in known),
        score=statistics.median(spread.score for spread in known),
        rate_low=statistics.median(spread.rate_low for spread in known),
        rate_high=statistics.median(spread.rate_high for spread in known),
    )


def widened(own: Spread, others: Spread) -> Spread:
    """A gateway's spread, but of mix and score no less than others show: it may have been short of surprises."""
    return replace(own, mix=max(own.mix, others.mix), score=max(own.score, others.score))


def drift(before_and_after: Sequence[tuple[Figures, Figures]]) -> Drift:
    """The middle gateway's change; each pair is one gateway with the same release on both sides."""
    pairs = [(was, now) for was, now in before_and_after if was.frames and now.frames]
    if not pairs:
        return NO_DRIFT
    return Drift(
        p95=statistics.median(_ratio(now.p95_ms, was.p95_ms) for was, now in pairs),
        fps=statistics.median(_ratio(now.fps, was.fps) for was, now in pairs),
        rate=statistics.median(_ratio(now.per_frame, was.per_frame) for was, now in pairs),
        mix=statistics.median(mix_distance(now.mix, was.mix) for was, now in pairs),
        score=statistics.median(abs(now.mean_score - was.mean_score) for was, now in pairs),
    )


def mix_distance(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Total variation distance of two class mixes, 0 (the same shares) .. 1 (no class in common); 0 where one is
    empty: that nothing was seen is told by the detections per frame."""
    total_a, total_b = sum(a.values()), sum(b.values())
    if not total_a or not total_b:
        return 0.0
    return sum(abs(a.get(label, 0) / total_a - b.get(label, 0) / total_b) for label in {*a, *b}) / 2


def mean_score(histogram: Sequence[int]) -> float:
    """The mean of scores known by their bin of equal width over 0..1; 0 for no scores."""
    total = sum(histogram)
    if not total:
        return 0.0
    return sum(count * (index + 0.5) / len(histogram) for index, count in enumerate(histogram)) / total


def _spread_of_runs(windows: Sequence[Health], size: int) -> Spread:
    labels = sorted({label for window in windows for label in window.class_mix})
    mix = _Runs([[window.class_mix.get(label, 0) for label in labels] for window in windows], size)
    bins = _Runs([window.score_histogram for window in windows], size)
    counts = _Runs([(window.detections, window.frames_inferred) for window in windows], size)
    rates = counts.inside[:, 0] / counts.inside[:, 1]
    distances = np.abs(_shares(mix.inside) - _shares(mix.outside)).sum(axis=1) / 2
    centres = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
    differences = np.abs(_shares(bins.inside) @ centres - _shares(bins.outside) @ centres)
    return Spread(
        mix=float(distances[mix.on_both_sides].max(initial=0)),
        score=float(differences[bins.on_both_sides].max(initial=0)),
        rate_low=float(rates.min()),
        rate_high=float(rates.max()),
    )


class _Runs:
    """Columns summed over every run of `size` rows, (runs, columns), and over all rows outside that run."""

    def __init__(self, rows: Sequence[Sequence[int]], size: int) -> None:
        columns = np.array(rows, np.float64).reshape(len(rows), -1)
        sums = np.concatenate((np.zeros((1, columns.shape[1])), columns.cumsum(axis=0)))
        self.inside: Float64 = sums[size:] - sums[:-size]
        self.outside: Float64 = sums[-1] - self.inside
        self.on_both_sides = (self.inside.sum(axis=1) > 0) & (self.outside.sum(axis=1) > 0)


def _shares(counts: Float64) -> Float64:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _sum_bins(windows: Sequence[Health]) -> list[int]:
    return [sum(counts) for counts in zip(*(window.score_histogram for window in windows), strict=False)] or (
        [0] * SCORE_BINS
    )


def _sum_mix(windows: Sequence[Health]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for window in windows:
        total.update(window.class_mix)
    return dict(total)


def _ratio(now: float, was: float) -> float:
    return now / was if was > 0 else 1.0
