"""A byte budget: what may still be sent of a day's or a month's bytes, and what stands back for what.

Pure: what was spent is counted in the spool, and the time is an argument.
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from edge.lanes import Lane

MAX_THIN = 64
# Of what may have been sent by now, how much a lane may use up. Whoever has less stops earlier, and leaves the rest to
# those above: pictures stop first, then frames of the backlog, then those recorded now, and so on.
_SHARE: dict[Lane, float] = {"events": 1.0, "aggregates": 0.97, "frames": 0.92, "spare": 0.86, "pictures": 0.8}
_BACKLOG_SHARE = _SHARE["spare"]
_HEAD_START = {"day": 1 / 24, "month": 1 / 30}  # of the budget, which may be sent at once
LEAST_BYTES = 1_500  # a smaller message than this is more envelope than content; its lane waits instead


@dataclass(frozen=True, slots=True)
class ByteBudget:
    """At most `limit_bytes` in messages with their topics `per` "day" or "month" (UTC), resent ones included; what the
    network adds to a message (TLS, TCP, about 100 bytes) is not. Alarms and health go out in any case."""

    limit_bytes: int
    per: Literal["day", "month"] = "day"

    def __post_init__(self) -> None:
        least = {"day": 300_000, "month": 9_000_000}[self.per]
        if not least <= self.limit_bytes <= 1 << 50:
            raise ValueError(
                f"limit_bytes must be at least {least} a {self.per}, which is what health may take, "
                f"got {self.limit_bytes}"
            )

    def room(self, lane: Lane, *, live: bool, spent: int, elapsed: float) -> float:
        """Bytes that the lane may send now, when `spent` were sent in the period, of which a part `elapsed` (0..1) is
        over. Infinite for alarms and health; never more for a lane than for one that stands above it."""
        if lane in ("alarms", "health"):
            return float("inf")
        share = _SHARE[lane] if live or lane in ("events", "aggregates") else min(_SHARE[lane], _BACKLOG_SHARE)
        return self.limit_bytes * min(1.0, elapsed + _HEAD_START[self.per]) * share - spent


@dataclass(frozen=True, slots=True)
class Period:
    """A day or month of a budget: its `name`, and which part of it is over."""

    name: str
    elapsed: float


def period_of(per: Literal["day", "month"], at_us: int) -> Period:
    """The period that this time (UTC, microseconds) is in."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    begin = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if per == "day":
        return Period(f"{begin:%Y-%m-%d}", (at - begin) / timedelta(days=1))
    days = calendar.monthrange(at.year, at.month)[1]
    return Period(f"{begin:%Y-%m}", (at - begin.replace(day=1)) / timedelta(days=days))


def next_thin(thin: int, *, frames_held: bool, anything_held: bool) -> int:
    """One in how many frames should go into lane `frames` in the next window: half as many as in the last when the
    budget had no room for those, twice as many when it had room for everything that waits."""
    if frames_held:
        return min(MAX_THIN, thin * 2)
    return thin if anything_held else max(1, thin // 2)
