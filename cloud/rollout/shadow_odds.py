"""The verdict on a candidate that ran beside the incumbent: both saw the same frames, so no hour, load or neighbour has
to be allowed for; only what the report promises of detections with such scores, and how many things were there to see.
"""

import math
from dataclasses import dataclass

import numpy as np

from cloud.rollout.book import Book
from cloud.rollout.limits import Limits
from cloud.rollout.promise import Promise, Said
from cloud.rollout.sequential import half_width, log_e, log_e_apart, log_mean
from cloud.rollout.surprise import pooled
from cloud.rollout.things import clumps, things
from cloud.rollout.verdicts import Standing
from cloud.rollout.windows import Float64, Int64
from cloud.rollout.words import several
from cloud.shift_tally import HIGH_BIN
from models.health import SCORE_BINS

_CENTRES = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
_STAKES = (0.5, 0.3, 0.2)  # on all gateways together, on each, on how they differ
_FEW = 10.0


@dataclass(frozen=True, slots=True)
class _Paired:
    """A figure of frames that both saw. `told` completes "... off what was promised"; tolerance and size as in
    surprise.Figure, `unsaid` the variance in a scene of one thing and `shift` the standard deviation where no report
    says. With a report the tolerance grows by `part` of the change that it promises."""

    name: str
    told: str
    tolerance: float
    part: float
    size: float
    margin: float
    unsaid: float
    shift: float
    weight: float
    wobble: float  # how far single scenes scatter, as a part of the squared disagreement promised
    harm: int = 0  # -1: only less is worse


_FIGURES = (
    _Paired("kept", "detections of the incumbent that it has too", 0.01, 0.15, 0.05, 0.15, 0.15, 0.10, 0.3, 0.3, -1),
    _Paired("confirmed", "detections that the incumbent has too", 0.01, 0.15, 0.05, 0.15, 0.15, 0.10, 0.3, 0.3, -1),
    _Paired("score", "the mean score", 0.01, 0.15, 0.03, 0.1, 0.02, 0.04, 0.2, 0.12),
    _Paired("high", "scores of 0.7 and more", 0.02, 0.15, 0.06, 0.2, 0.2, 0.1, 0.1, 0.3),
    _Paired("per_frame", "the number of detections", 0.03, 0.15, 0.1, 0.4, 0.3, 0.15, 0.1, 0.6),
)  # fmt: skip


def shadow_verdict(book: Book, mine: Int64, promise: Promise, limits: Limits) -> tuple[Standing, str]:
    """How the candidate is in shadow on gateways `mine`; "absent" where it has not been."""
    found = book.shadow
    blind = mine[(found.windows[mine] == 0) & (found.blind[mine] >= limits.shadow_blind)]
    if len(blind):
        first = book.gateways[blind[0]]
        others = f"; so on {several(len(blind) - 1, 'gateway')} more" if len(blind) > 1 else ""
        return "bad", f"{first} did not get it to look at one frame in {found.blind[blind[0]]} windows{others}"
    shown = mine[found.windows[mine] > 0]
    if not len(shown):
        return "absent", ""
    frames, windows = int(found.frames[shown].sum()), int(found.windows[shown].sum())
    seen = f"{several(len(shown), 'gateway')} compared on {frames} frames in {windows} windows"
    off, variance, tolerance = _shifts(book, shown, promise, limits)
    sets = np.concatenate((np.ones((1, len(shown)), np.bool_), np.eye(len(shown), dtype=np.bool_)))
    middle = pooled(off, variance.noise, np.broadcast_to(variance.scene, off.shape), variance.shared, sets)
    size = np.array([figure.size for figure in _FIGURES])
    harm = np.array([figure.harm for figure in _FIGURES])
    logs = log_e(middle.estimate, middle.variance, tolerance=tolerance, size=size, harm=harm)[:, 0]
    stakes = np.array([_STAKES[0], *[_STAKES[1] / len(shown)] * len(shown)])
    if len(shown) > 1:
        apart = log_e_apart(off - middle.estimate[:1], variance.noise + variance.scene + tolerance**2, size=size[None])
        logs, stakes = np.concatenate((logs, apart)), np.append(stakes, _STAKES[2])
    weight = stakes[:, None] * np.array([figure.weight for figure in _FIGURES])
    log10 = float(log_mean(logs.ravel(), weight.ravel())) / math.log(10)
    limit = -math.log10(limits.alpha * limits.shadow_alpha)
    worst = int(np.argmax((logs + np.log(weight)).max(axis=0)))
    centre, sampling = middle.estimate[0, 0], middle.sampling[0, 0]
    held_to = "was promised" if promise.said else "could be expected"
    told = f"{_FIGURES[worst].told}: {centre[worst]:+.1%} off what {held_to}"
    if log10 >= limit:
        return "bad", f"{told}, odds of 1 to {10 ** min(log10, 9):,.0f} (limit {10**limit:,.0f}); {seen}"
    if frames < limits.shadow_frames or not np.isfinite(centre[:2]).all():
        return "unknown", f"{seen}, {limits.shadow_frames} frames and detections of both are needed"
    margin = np.array([figure.margin for figure in _FIGURES])
    spread = np.where(np.isfinite(sampling), middle.variance[0, 0], 0.0) - np.where(
        np.isfinite(sampling), sampling, 0.0
    )
    slack = 2 * np.sqrt(np.maximum(spread, 0.0))
    off_by = np.where(harm == 0, np.abs(centre), centre * harm)
    wide = off_by + half_width(sampling, alpha=0.1, size=size) > margin + slack + tolerance
    if log10 >= limit - limits.doubt or wide[np.isfinite(centre)].any():
        return "unknown", f"needs a longer look: {told}; {seen}"
    return "well", f"{told}; {seen}"


@dataclass(frozen=True, slots=True)
class _Variance:
    noise: Float64  # (gateways, 1, figures), of each gateway alone: smaller the more it has shown
    scene: Float64  # (figures,), of each gateway alone, however much it has shown
    shared: Float64  # (figures,)


def _shifts(book: Book, shown: Int64, promise: Promise, limits: Limits) -> tuple[Float64, _Variance, Float64]:
    """How far off each gateway's figures are, (gateways, 1, figures), the variances, and the tolerances (figures,)."""
    found, said = book.shadow, promise.said
    ours, theirs = (np.asarray(sums[shown], np.float64) for sums in (found.ours, found.theirs))
    matched = np.asarray(found.matched[shown], np.float64)
    our_bins, their_bins = found.our_bins[shown], found.their_bins[shown]
    expected = _expected(said, our_bins, their_bins)
    values = np.stack(
        (
            _part(matched, ours),
            _part(matched, theirs),
            _part(their_bins @ _CENTRES, theirs) - _part(our_bins @ _CENTRES, ours),
            _part(their_bins[:, HIGH_BIN:].sum(axis=1), theirs) - _part(our_bins[:, HIGH_BIN:].sum(axis=1), ours),
            np.log((theirs + 0.5) / (ours + 0.5)),
        ),
        axis=1,
    )
    sums = book.account.totals[0, shown]
    per_window = sums[:, 3] / np.maximum(sums[:, 0], 1)
    shows = things(
        per_window * found.windows[shown],
        clumps(book, shown),
        ours / np.maximum(found.frames[shown], 1),
        still=limits.scene_things,
    )
    one, shared = _variances(said)
    differ = said.disagreement if said else 0.0
    noise = one / np.maximum(shows, 1.0)[:, None] + 0.25 * np.array([1, 1, 0, 0, 1]) / np.maximum(ours, 1)[:, None] ** 2
    scene = (differ**2 * np.array([figure.wobble for figure in _FIGURES])) ** 2
    known = np.where(np.isfinite(expected), expected, 1.0).mean(axis=0)
    promised = np.abs(np.array([1.0, 1.0, 0.0, 0.0, 0.0]) - known) if said else np.zeros(5)
    tolerance = np.array([figure.tolerance for figure in _FIGURES])
    tolerance = tolerance + np.nan_to_num(promised) * np.array([figure.part for figure in _FIGURES])
    return (values - expected)[:, None], _Variance(noise[:, None], scene, shared), tolerance


def _expected(said: Said | None, our_bins: Int64, their_bins: Int64) -> Float64:
    ours, theirs = our_bins.sum(axis=1), their_bins.sum(axis=1)
    n = len(ours)
    if said is None:
        return np.tile([0.85, 0.85, 0.0, 0.0, 0.0], (n, 1))
    kept = np.full(n, 0.85) if said.kept is None else _part(our_bins @ said.kept, ours)
    confirmed = np.full(n, 0.85) if said.confirmed is None else _part(their_bins @ said.confirmed, theirs)
    rest = [said.change("score"), said.change("high"), math.log(said.per_frame_ratio)]
    return np.concatenate((kept[:, None], confirmed[:, None], np.tile(rest, (n, 1))), axis=1)


def _variances(said: Said | None) -> tuple[Float64, Float64]:
    """Of a scene of one thing, and of the report's own error."""
    if said is None:
        return np.zeros(len(_FIGURES)), np.array([figure.shift**2 for figure in _FIGURES])
    one = np.array([said.scene_variance(figure.name, unsaid=figure.unsaid, few=_FEW) for figure in _FIGURES])
    shared = one / max(said.things, 1.0)
    unsaid = [(figure.name == "kept" and said.kept is None) or (figure.name == "confirmed" and said.confirmed is None)
              for figure in _FIGURES]  # fmt: skip
    return one, np.where(unsaid, np.array([figure.shift**2 for figure in _FIGURES]), shared)


def _part(part: Float64, whole: Float64 | Int64) -> Float64:
    return np.asarray(np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan))
