"""How far a gateway's answers moved, less what could be expected, and how sure that is.

A gateway is compared with itself: each figure with what the same gateway's incumbent would have had in the same hours
of the day. Taken off are what untouched gateways went through in the same time (the middle one's shift) and what the
signed report promises. What is left is tested against the noise: the incumbent's own from one slot of time to the
next, made larger where untouched gateways wander more than that; and how far one camera's scene may lie from the
reference pictures, by the number of things it shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloud.rollout import account
from cloud.rollout.windows import Bool, Float64, Int64

PARTS = 5  # of a day: all of it, and its four quarters (UTC)
_OWN_SLOTS = 6  # as many slots' weight has what windows alone say about noise
_CLUMPED = 3.0  # windows are alike: slots wander so many times as much as independent windows would
_SIDED = 1.25  # what remains beside the nearer of two neighbourhoods is a little too small
_TYPICAL = 8  # as many untouched gateways' weight has the assumption that noise is as estimated


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that is compared: a column of the sums (cloud/rollout/account.py) over its denominator. `ratio`:
    shifts are differences of logarithms. Below `tolerance` a shift is nobody's business; `size` is one that matters;
    a model is well when the figure is within `margin`. `name` completes "ring 0 ..."."""

    name: str
    column: int
    unit: float
    ratio: bool
    tolerance: float
    size: float
    margin: float
    weight: float
    wander: float  # how far it drifts apart on gateways to which nothing was done, at least
    label: str = ""
    harm: int = 0  # 1: only more is worse, -1: only less, 0: either
    part: float = 0.0  # of the squared disagreement promised: by that the tolerance grows, and single scenes scatter
    lost: bool = False  # of a label that is no longer said: counted as often as it was seen anew, not by frames


@dataclass(frozen=True, slots=True, eq=False)
class Shifts:
    """`estimate` and `variance`, (gateways, PARTS, figures): the shift of each figure from its expectation, NaN and
    infinite where nothing is known; `now` and `expected` are the figures themselves."""

    estimate: Float64
    variance: Float64
    now: Float64
    expected: Float64


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """The incumbent (or whatever is compared with), by gateway: `rate` (gateways, 24, figures) by hour of day, drawn
    towards the day's mean as far as the hour was seen little; `seen` the denominators by hour, `noise` the variance of
    the rate for a denominator of one."""

    rate: Float64
    seen: Float64
    noise: Float64


def usual(
    hours: Float64, by_slot: Float64, slots: Int64, per_hour: int, squares: Float64, figures: Sequence[Figure]
) -> Usual:
    """Of sums (gateways, 24, columns), those by slot (slots, gateways, columns), each slot's number (of which
    an hour has `per_hour`), and those of squares."""
    of = account.denominators(hours.shape[-1])
    column = _columns(figures)
    part, whole = hours[..., column], hours[..., of[column]]
    total, all_of = part.sum(axis=1), whole.sum(axis=1)
    rate = _ratio(total, all_of)
    slot_part, slot_whole = by_slot[..., column], by_slot[..., of[column]]
    slot_count = (slot_whole > 0).sum(axis=0)
    pull = all_of / np.maximum(slot_count, 1)  # an average slot
    pull *= _constancy(part, whole, rate, slot_part, slot_whole, slots // per_hour % 24)
    smooth = _neighbourhood(part, whole, rate)
    by_hour = _ratio(part + pull[:, None] * smooth, whole + pull[:, None])
    by_hour = np.where(whole > 0, by_hour, smooth)
    # what an hour had of its own on the only day seen is noise too, so it is its neighbours that are taken off
    labelled = np.array([bool(figure.label) for figure in figures])
    taken_off = np.where(labelled, rate[:, None], smooth)  # what comes up now and then has no hours
    left_over = slot_part - taken_off[:, slots // per_hour % 24].transpose(1, 0, 2) * slot_whole
    hour, where = np.unique(slots // per_hour, return_inverse=True)
    by_clock_hour = np.zeros((len(hour), *left_over.shape[1:]))
    np.add.at(by_clock_hour, where, left_over)
    spread = np.maximum((left_over**2).sum(axis=0), (by_clock_hour**2).sum(axis=0))
    of_slots = _ratio(spread * _SIDED, all_of)
    nn, nd, dd, d = (squares[:, k, column] for k in range(4))
    of_windows = _ratio(np.maximum(nn - 2 * rate * nd + rate**2 * dd, 0), d) * _CLUMPED
    weight = slot_count / (slot_count + _OWN_SLOTS)
    noise = weight * of_slots + (1 - weight) * of_windows
    return Usual(by_hour, whole, np.maximum(noise, _least_noise(noise, total, all_of, figures)))


def _neighbourhood(part: Float64, whole: Float64, rate: Float64) -> Float64:
    """The rate around each hour of day: of it and the two before or the two after, whichever is nearer to its own, for
    lights go on and off between two hours."""
    own = _ratio(part, whole)
    nearest, distance = np.broadcast_to(rate[:, None], part.shape), np.full(part.shape, np.inf)
    for side in ((0, 1, 2), (0, -1, -2)):
        total = np.sum([np.roll(whole, shift, axis=1) for shift in side], axis=0)
        beside = _ratio(np.sum([np.roll(part, shift, axis=1) for shift in side], axis=0), total)
        away = np.where(total > 0, np.where(whole > 0, np.abs(beside - own), 0.0), np.inf)
        nearest, distance = np.where(away < distance, beside, nearest), np.minimum(away, distance)
    return nearest


def _constancy(
    part: Float64, whole: Float64, rate: Float64, slot_part: Float64, slot_whole: Float64, slot_hours: Int64
) -> Float64:
    """How many slots' weight the day's mean has against an hour's own: the more, the less hours differ from one another
    beyond the noise (empirical Bayes)."""
    raw = _ratio(part, whole)
    left = slot_part - raw[:, slot_hours].transpose(1, 0, 2) * slot_whole
    count, hours = (slot_whole > 0).sum(axis=0), (whole > 0).sum(axis=1)
    size = slot_whole.sum(axis=0) / np.maximum(count, 1)
    within = _ratio((left**2).sum(axis=0), size**2 * np.maximum(count - hours, 0.5))
    between = _ratio((whole * (raw - rate[:, None]) ** 2).sum(axis=1), whole.sum(axis=1))
    between = np.maximum(between - within * _ratio(hours.astype(np.float64), count.astype(np.float64)), 0.0)
    return np.where(count > hours, np.clip(within / np.maximum(between, within / 4 + 1e-12), 0.05, 4.0), 1.0)


def _least_noise(noise: Float64, total: Float64, all_of: Float64, figures: Sequence[Figure]) -> Float64:
    """What has never been seen to vary may yet: a share of hardly anything is as clumped as the fleet's others are."""
    unit = np.array([figure.unit for figure in figures])
    counts = np.array([figure.column == account.DETECTIONS for figure in figures])
    shares = np.array([figure.column in (account.HIGH, account.LOW) or bool(figure.label) for figure in figures])
    share = (total + 0.5) / (all_of + 1)
    binomial = np.where(shares, share * (1 - np.minimum(share, 1)), np.where(counts, share, 0.0))
    seen = shares & (all_of > 0) & (total > 0) & (total < all_of)
    clumped = float(np.median(_ratio(noise[seen], binomial[seen]))) if seen.any() else 1.0
    others = np.where(counts | shares, 0.0, (0.02 / np.where(unit > 0, unit, 1)) ** 2)
    return np.maximum(binomial * np.where(shares, max(clumped, 1.0), 1.0) / 2, others)


def shifts(before: Usual, hours: Float64, figures: Sequence[Figure]) -> Shifts:
    """How what was summed in `hours` (gateways, 24, columns) differs from what was usual."""
    of = account.denominators(hours.shape[-1])
    column = _columns(figures)
    unit = np.array([figure.unit for figure in figures])
    ratio = np.array([figure.ratio for figure in figures])
    whole = hours[..., of[column]]
    now, size = parts_of(hours[..., column]), parts_of(whole)
    expected = parts_of(whole * before.rate)
    seen = parts_of(np.where(whole > 0, before.seen, 0.0)) + parts_of(before.seen)[:, :1] / 24
    noise = before.noise[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = (now - expected) / size * unit
        lost = np.array([figure.lost for figure in figures])
        # detections that come together count once: how often they did is what there is to go by
        together = np.where(lost, np.maximum(noise * size / np.maximum(expected, 1e-9), 1.0), 1.0)
        quotient = np.log((now / together + 0.5) / (expected / together + 0.5))
        variance = noise * (1 / size + 1 / seen)
        of_ratio = variance * (size / np.maximum(expected, 0.5)) ** 2 + np.where(
            column == account.DETECTIONS, 1 / (expected + 0.5), 0.0
        )
        of_ratio = np.where(lost, (1 + size / seen) / (expected / together + 0.5), of_ratio)
        known = (size > 0) & (before.seen.sum(axis=1)[:, None] > 0)
        return Shifts(
            np.where(known, np.where(ratio, quotient, difference), np.nan),
            np.where(known, np.where(ratio, of_ratio, variance * unit**2), np.inf),
            np.where(known, now / size * unit, np.nan),
            np.where(known, expected / size * unit, np.nan),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Meanwhile:
    """What untouched gateways went through, (PARTS, figures): the middle one's `shift`, the `variance` of that, and
    how many times the estimated noise they show (`swell`), of at least 1."""

    shift: Float64
    variance: Float64
    swell: Float64
    gateways: int


def meanwhile(others: Shifts, figures: Sequence[Figure], *, least: int) -> Meanwhile:
    """Of untouched gateways' shifts in the same time; fewer than `least` in a part of the day say nothing of it."""
    wander = np.array([figure.wander for figure in figures])
    known = np.isfinite(others.estimate) & np.isfinite(others.variance)
    count = known.sum(axis=0)
    enough = count >= least
    estimate = np.where(known, others.estimate, np.nan)
    noise = np.where(known, others.variance, np.nan) + wander**2
    if not len(estimate) or not enough.any():
        flat = np.zeros(count.shape)
        return Meanwhile(flat, flat + (2 * wander) ** 2, flat + 1.5, 0)
    shift = _quantiles(estimate, count, (0.5,))[0]
    away = np.abs(estimate - shift) / np.sqrt(noise)
    # the widest of the middle and the tails: a few wild gateways are usual too
    usual_away = np.array([0.674, 1.282, 1.96, 2.43])[:, None, None]
    widest = np.max(_quantiles(away, count, (0.5, 0.8, 0.95, 0.985)) / usual_away, axis=0)
    swell = np.maximum((count * widest**2 + _TYPICAL * 1.5) / (count + _TYPICAL), 1.0)
    typical = _quantiles(noise, count, (0.5,))[0] * swell
    return Meanwhile(
        np.where(enough, shift, 0.0),
        np.where(enough, 1.57 * typical / np.maximum(count, 1), (2 * wander) ** 2),
        np.where(enough, swell, 1.5),
        int(count[0].max(initial=0)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """The middle of several gateways' shifts by weight of what is known of each; the last axes are those of Shifts."""

    estimate: Float64
    variance: Float64  # of all that is uncertain
    sampling: Float64  # of what more windows would make smaller


def pooled(estimate: Float64, noise: Float64, scene: Float64, shared: Float64, members: Bool) -> Pooled:
    """Estimates (gateways, PARTS, figures) with independent `noise` and `scene` variances and an error that is `shared`
    by all, over each set of `members` (sets, gateways) -> (sets, PARTS, figures)."""
    own = noise + scene
    weight = np.where(np.isfinite(own) & np.isfinite(estimate), 1 / np.where(own > 0, own, np.inf), 0.0)
    chosen = members.astype(np.float64)
    total = np.tensordot(chosen, weight, axes=1)
    value = np.tensordot(chosen, weight * np.where(weight > 0, estimate, 0.0), axes=1)
    sampled = np.tensordot(chosen, weight**2 * np.where(weight > 0, noise, 0.0), axes=1)
    known = total > 0
    safe = np.where(known, total, 1.0)
    return Pooled(
        np.where(known, value / safe, np.nan),
        np.where(known, 1 / safe + shared, np.inf),
        np.where(known, sampled / safe**2, np.inf),
    )


def _quantiles(values: Float64, count: Int64, shares: Sequence[float]) -> Float64:
    """Over the first axis, of which `count` are no NaN: (shares, ...)."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    top = np.maximum(count - 1, 0)
    found = []
    for share in shares:
        below = np.floor(share * top).astype(np.int64)
        part = share * top - below
        low = np.take_along_axis(ordered, below[None], axis=0)[0]
        high = np.take_along_axis(ordered, np.minimum(below + 1, top)[None], axis=0)[0]
        found.append(np.where(count > 0, low + part * (high - low), 0.0))
    return np.array(found)


def _columns(figures: Sequence[Figure]) -> Int64:
    return np.array([figure.column for figure in figures], np.int64)


def parts_of(hours: Float64) -> Float64:
    """Sums over the day and over its quarters: (gateways, 24, n) -> (gateways, PARTS, n)."""
    quarters = hours.reshape(len(hours), 4, 6, hours.shape[-1]).sum(axis=2)
    return np.concatenate((quarters.sum(axis=1, keepdims=True), quarters), axis=1)


def _ratio(part: Float64, whole: Float64) -> Float64:
    return np.asarray(part / np.where(whole > 0, whole, np.inf))
