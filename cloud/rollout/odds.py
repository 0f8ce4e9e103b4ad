"""The odds against a ring's candidate: every figure of every gateway, together, and the sentence that they come to.

A bettor's stake is spread beforehand: over the ring as a whole, its hardware classes, its single gateways, and how
much these differ from one another (where labels are mixed up each camera shifts its own way, and the ring as a whole
hardly); over the whole day and its quarters; over the figures. What it has become on average is the ring's e-value. So
a fault on one hardware class, or at night, is seen though the ring as a whole looks well, at the price of the stake's
share.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloud.rollout import account
from cloud.rollout.account import CANDIDATE, FIXED, INCUMBENT
from cloud.rollout.book import NEVER, Book
from cloud.rollout.limits import Limits
from cloud.rollout.measures import FIGURES, class_figures, promised, tolerances
from cloud.rollout.promise import Promise
from cloud.rollout.sequential import half_width, log_e, log_e_apart, log_mean
from cloud.rollout.surprise import (
    PARTS,
    Figure,
    Pooled,
    Shifts,
    Usual,
    meanwhile,
    parts_of,
    pooled,
    shifts,
    usual,
)
from cloud.rollout.things import clumps, things
from cloud.rollout.windows import Bool, Float64, Int64
from cloud.rollout.words import several

_TESTED = 15  # labels, at most
_SHARE, _SHARE_SOMEWHERE = 0.01, 0.1  # of the detections: a label is tested that makes up so much of them
_STAKES = (0.3, 0.25, 0.2, 0.25)  # on the ring, its hardware classes, its gateways, and how these differ
_WHOLE_DAY = 0.5  # of each, the rest on the quarters
_FEW = 16  # gateways that are bet on one by one; of more, how they differ will do
_ASKED = 80  # untouched gateways are enough to know what these went through, or up to twice as few
_WIDE = 0.1  # alpha of the intervals by which a ring is shown to be well: that one is too wide now and then only waits
_QUARTERS = ("", " between 0:00 and 6:00 UTC", " between 6:00 and 12:00 UTC", " between 12:00 and 18:00 UTC",
             " between 18:00 and 24:00 UTC")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class RingOdds:
    """From so many `windows` with the candidate: `log10` of the ring's e-value; `lacking` says which figure is not
    known well enough to call the ring well, empty when all are.
    """

    windows: float
    log10: float
    lacking: str
    unseen_hours: tuple[int, ...]
    usual: "Usuals"
    figures: tuple[Figure, ...]
    gateways: tuple[str, ...]
    names: tuple[str, ...]  # of the sets
    ring: Pooled
    each: Float64  # (sets, PARTS, figures), log e-values
    now: Float64  # the figures themselves, the mean of each set's gateways
    widest: Float64  # how far the farthest gateway is from the ring's mean shift
    widths: Float64  # (figures,) of the ring's, over the whole day

    def worst_text(self, limit: float) -> str:
        """What weighs most, in a clause."""
        one, part, kind = np.unravel_index(int(np.argmax(self.each)), self.each.shape)
        figure = self.figures[kind]
        if one == len(self.now):
            far = float(self.widest[part, kind])
            said = f"{figure.name} shifts by up to {_size(figure, far)} more on one than on all of them"
        else:
            said = _told(figure, float(self.now[one, part, kind]), float(self.ring.estimate[one, part, kind]))
        return (
            f"{self.names[one]} {said}{_QUARTERS[part]}: {_odds_text(self.log10)} that it behaves as promised "
            f"(limit {_odds_text(limit)})"
        )

    def account(self, limit: float) -> str:
        """The main figures, for a ring that is well."""
        rate, width = float(self.ring.estimate[0, 0, 0]), float(self.widths[0])
        seen = ""
        if math.isfinite(rate) and math.isfinite(width):
            low, high = math.exp(rate - width), math.exp(rate + width)
            seen = f"finds {math.exp(rate):.2f} times the things expected (between {low:.2f} and {high:.2f}), "
        slow = float(self.ring.estimate[0, 0, 4])
        pace = f"takes {math.exp(slow):.2f} times the time expected, " if math.isfinite(slow) else ""
        return f"{seen}{pace}{_odds_text(self.log10)} that it behaves as promised (limit {_odds_text(limit)})"


@dataclass(frozen=True, slots=True, eq=False)
class Usuals:
    """What was usual by gateway, for the labels tested, with how often its sums had changed when it was worked out."""

    labels: tuple[str, ...]
    gateways: Int64
    versions: Int64
    usual: Usual


def ring_odds(
    book: Book,
    ring: int,
    got: Int64,
    hardware: Sequence[str],
    promise: Promise,
    limits: Limits,
    before: RingOdds | None,
) -> RingOdds:
    """Of the touched gateways `got` of a ring; `before` is what was found at the look before, None at the first."""
    others = np.flatnonzero(book.rings > ring)
    others = others[:: 1 + len(others) // _ASKED]
    labels = _labels(book, got)
    figures = FIGURES + class_figures(labels)
    place = [book.account.labels.index(label) for label in labels]
    usuals = _usuals(book, ring, np.concatenate((got, others)), labels, place, figures, before)
    count = len(got)
    hours = book.account.hours
    last = 1 + int((book.ring_marks != NEVER).any(axis=1).sum())  # epochs that have begun
    now = _summed(hours[ring + 1 : last, CANDIDATE], got, place)
    told = now[:, :, account.WINDOWS].sum(axis=1) >= limits.least_windows
    found = shifts(_of(usuals.usual, slice(0, count)), now, figures)
    later = _summed(hours[ring + 1 : last, INCUMBENT], others, place)
    around = meanwhile(shifts(_of(usuals.usual, slice(count, None)), later, figures), figures, least=limits.controls)
    classes = [hardware[number] for number in got.tolist()]
    promise_made = promised(promise, figures, found.expected, classes)
    wander = np.array([figure.wander for figure in figures])
    estimate = np.where(told[:, None, None], found.estimate - around.shift - promise_made.shift, np.nan)
    noise = found.variance * around.swell + wander**2
    tolerance = tolerances(promise, figures)
    shown = things(
        parts_of(now)[:, :, account.DETECTIONS, None],
        clumps(book, got)[:, None, None],
        found.expected[:, :1, :1],
        still=limits.scene_things,
    )
    # no number of things tells how another model takes a scene of which the report knows nothing
    scene = promise_made.scene / shown + (tolerance - np.array([figure.tolerance for figure in figures])) ** 2
    if not around.gateways:
        # nobody can say how hours differ in which the incumbent was not seen
        noise = noise + (8 * wander * _strangeness(usuals.usual.seen[:count], now, figures)) ** 2
    members = tuple(book.gateways[number] for number in got.tolist())
    sets, names, stakes = _sets(classes, members)
    centre = pooled(estimate, noise, np.broadcast_to(scene, noise.shape), promise_made.shared + around.variance, sets)
    size = np.array([figure.size for figure in figures])
    harm = np.array([figure.harm for figure in figures])
    each = log_e(centre.estimate, centre.variance, tolerance=tolerance, size=size, harm=harm)
    if len(got) > 1:
        each = np.concatenate((each, _apart(estimate, noise + scene, centre.estimate[0], figures, tolerance)[None]))
        names, stakes = (*names, "gateways differ:"), np.append(stakes, _STAKES[3])
    parts = np.array([_WHOLE_DAY, *[(1 - _WHOLE_DAY) / (PARTS - 1)] * (PARTS - 1)])
    weight = stakes[:, None, None] * parts[:, None] * np.array([figure.weight for figure in figures])
    log10 = float(log_mean(each.ravel(), weight.ravel())) / math.log(10)
    margin = np.array([figure.margin for figure in figures])
    widths = half_width(centre.sampling[0, 0], alpha=_WIDE, size=size)
    known = np.isfinite(centre.variance[0, 0])
    slack = 2 * np.sqrt(np.where(known, centre.variance[0, 0] - np.where(known, centre.sampling[0, 0], 0.0), 0.0))
    return RingOdds(
        windows=float(book.account.totals[CANDIDATE, got, account.WINDOWS].sum()),
        log10=log10,
        lacking=_lacking(figures, centre.estimate[0, 0], widths, margin + slack + tolerance, found, told),
        unseen_hours=_unseen(hours[:last], got),
        usual=usuals,
        figures=figures,
        gateways=members,
        names=names,
        ring=centre,
        each=each + np.log(np.maximum(weight, 1e-12)),
        now=np.tensordot(sets / sets.sum(axis=1, keepdims=True), np.nan_to_num(found.now), axes=1),
        widest=np.nanmax(np.abs(np.nan_to_num(estimate - centre.estimate[0])), axis=0),
        widths=widths,
    )


def _apart(estimate: Float64, own: Float64, middle: Float64, figures: Sequence[Figure], tolerance: Float64) -> Float64:
    """Whether gateways differ in their shifts by more than chance and their scenes have it: (PARTS, figures)."""
    size = np.array([figure.size for figure in figures])
    answers = np.array([not figure.harm for figure in figures])
    found = log_e_apart(estimate - middle, own + tolerance**2, size=np.broadcast_to(size, estimate.shape[1:]))
    return np.where(answers, found, 0.0)


def _strangeness(seen: Float64, now: Float64, figures: Sequence[Figure]) -> Float64:
    """The share of what was seen in hours of day from which the incumbent's are more than two away, by gateway, part
    and figure."""
    known = seen > 0
    near = np.any([np.roll(known, shift, axis=1) for shift in range(-2, 3)], axis=0)
    windows = now[:, :, account.WINDOWS, None] * np.ones(len(figures))
    return parts_of(windows * ~near) / np.maximum(parts_of(windows), 1)


def _labels(book: Book, got: Int64) -> tuple[str, ...]:
    """The labels that are worth a test of their own, in an order that does not depend on how they came up."""
    counts = book.account.totals[:, got, FIXED:]  # (roles, gateways, labels)
    total = np.maximum(counts.sum(axis=2, keepdims=True), 1)
    fleet = counts.sum(axis=1)
    share = fleet / np.maximum(fleet.sum(axis=1, keepdims=True), 1)
    chosen = ((share >= _SHARE) | ((counts / total) >= _SHARE_SOMEWHERE).any(axis=1)).any(axis=0)
    ranked = sorted(
        (-int(fleet[:, index].sum()), label) for index, label in enumerate(book.account.labels) if chosen[index]
    )
    return tuple(sorted(label for _, label in ranked[:_TESTED]))


def _compact(hours: Float64, place: Sequence[int]) -> Float64:
    """The fixed columns, those of the labels tested, and the detections of all others (of squares, those of the parts
    must do)."""
    tested = hours[..., [FIXED + index for index in place]]
    rest = hours[..., FIXED:].sum(axis=-1) - tested.sum(axis=-1)
    return np.concatenate((hours[..., :FIXED], tested, rest[..., None]), axis=-1)


def _summed(epochs: Float64, gateways: Int64, place: Sequence[int]) -> Float64:
    """Sums over epochs of these gateways, compact."""
    total = epochs[0, gateways] if len(epochs) else np.zeros((len(gateways), *epochs.shape[2:]))
    for later in epochs[1:]:
        total = total + later[gateways]
    return _compact(total, place)


def _usuals(
    book: Book,
    ring: int,
    gateways: Int64,
    labels: tuple[str, ...],
    place: Sequence[int],
    figures: Sequence[Figure],
    before: RingOdds | None,
) -> Usuals:
    """What was usual before the ring was touched; worked out anew only for gateways of which more has come in."""
    versions = book.account.changes[: ring + 1, gateways].sum(axis=0) + book.account.changes[ring + 1 :, gateways].sum(
        axis=0
    ) * (book.rings[gateways] == ring)
    last = before.usual if before is not None else None
    if last is not None and last.labels == labels and np.array_equal(last.gateways, gateways):
        stale = np.flatnonzero(last.versions != versions)
        if not len(stale):
            return last
        renewed = _work_out(book, ring, gateways[stale], place, figures)
        parts = []
        for name in ("rate", "seen", "noise"):
            value = getattr(last.usual, name).copy()
            value[stale] = getattr(renewed, name)
            parts.append(value)
        return Usuals(labels, gateways, versions, Usual(*parts))
    return Usuals(labels, gateways, versions, _work_out(book, ring, gateways, place, figures))


def _work_out(book: Book, ring: int, gateways: Int64, place: Sequence[int], figures: Sequence[Figure]) -> Usual:
    kept = book.account
    own = book.rings[gateways] == ring
    early = np.arange(len(kept.hours)) <= ring
    # the ring's own gateways ran the incumbent until each was touched, the others are cut at when the first one was
    counted = (own[None, :] | early[:, None]).astype(np.float64)
    hours = np.einsum("eghc,eg->ghc", kept.hours[:, INCUMBENT][:, gateways], counted)
    squares = np.einsum("egkc,eg->gkc", kept.squares[:, gateways], counted)
    slots = np.array(kept.slots, np.int64)
    ends_us = (slots + 1) * account.HOUR_US // kept.per_hour
    over = own[None, :] | (ends_us[:, None] <= book.ring_marks[ring, gateways][None, :])
    by_slot = kept.by_slot[: len(slots), gateways] * over[..., None]
    return usual(
        _compact(hours, place),
        _compact(by_slot, place),
        slots,
        kept.per_hour,
        _compact(squares, place),
        figures,
    )


def _of(found: Usual, rows: slice) -> Usual:
    return Usual(found.rate[rows], found.seen[rows], found.noise[rows])


def _sets(classes: Sequence[str], names: Sequence[str]) -> tuple[Bool, tuple[str, ...], Float64]:
    """Which gateways are looked at together: (sets, gateways), what they are called, and each one's stake."""
    kinds = sorted(set(classes))
    rows, called, stakes = [np.ones(len(names), np.bool_)], ["all gateways together:"], [_STAKES[0]]
    if len(kinds) > 1:
        for kind in kinds:
            rows.append(np.array([name == kind for name in classes]))
            called.append(f"gateways of hardware {kind or 'unknown'}:")
            stakes.append(_STAKES[1] / len(kinds))
    else:
        stakes[0] += _STAKES[1]
    if 1 < len(names) <= _FEW:
        for index, name in enumerate(names):
            rows.append(np.arange(len(names)) == index)
            called.append(name)
            stakes.append(_STAKES[2] / len(names))
    else:
        called[0] = names[0] if len(names) == 1 else called[0]
        stakes[0] += _STAKES[2]
    return np.array(rows), tuple(called), np.array(stakes)


def _lacking(
    figures: Sequence[Figure],
    estimate: Float64,
    widths: Float64,
    margin: Float64,
    found: Shifts,
    told: Bool,
) -> str:
    """Why the ring cannot be called well yet: a figure whose interval does not lie within what is good enough."""
    expected = float(np.nansum(np.where(told[:, None], found.expected[:, 0, :1], np.nan)))
    if not told.any():
        return "has reported too few windows yet to be judged by"
    if expected <= 0:
        return f"has seen nothing yet in {several(int(told.sum()), 'gateway')} to be judged by"
    for figure, centre, width, most in zip(figures, estimate, widths, margin, strict=True):
        # a tail of a few frames is never known so well; the median is, and odds watch the tail
        if figure.lost or figure.column == account.P95 or not math.isfinite(centre):
            continue
        off = abs(centre) if not figure.harm else centre * figure.harm
        if off + width > most:
            if _is_ratio(figure):
                low, high = math.exp(max(-9, centre - width)), math.exp(min(9, centre + width))
                return (
                    f"needs a longer look: {figure.name} may be {low:.2g} to {high:.2g} times what was expected "
                    f"(good enough: {math.exp(-most):.2f} to {math.exp(most):.2f})"
                )
            return (
                f"needs a longer look: {figure.name} may be off by {centre - width:+.2f} to {centre + width:+.2f} "
                f"(good enough: {most:.2f} either way)"
            )
    return ""


def _unseen(hours: Float64, got: Int64) -> tuple[int, ...]:
    """Hours of day in which the incumbent saw things and the candidate has not looked."""
    saw = hours[:, INCUMBENT, :, :, account.DETECTIONS][:, got].sum(axis=(0, 1)) > 0
    looked = hours[:, CANDIDATE, :, :, account.WINDOWS][:, got].sum(axis=(0, 1)) > 0
    return tuple(int(hour) for hour in np.flatnonzero(saw & ~looked))


def _told(figure: Figure, now: float, off: float) -> str:
    if _is_ratio(figure):
        return f"{figure.name} is {math.exp(min(9.0, max(-9.0, off))):.2f} times what was expected"
    return f"{figure.name} is {now:.2f}, {off:+.2f} off what was expected"


def _size(figure: Figure, off: float) -> str:
    return f"{math.exp(min(off, 9.0)):.2f} times" if _is_ratio(figure) else f"{off:.2f}"


def _is_ratio(figure: Figure) -> bool:
    return figure.ratio or figure.column in (account.P50, account.P95)


def _odds_text(log10: float) -> str:
    if log10 <= 0:
        return "even odds"
    return f"odds of 1 to {10**log10:,.0f}" if log10 < 9 else f"odds of 1 to 10^{log10:.0f}"
