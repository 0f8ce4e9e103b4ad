"""How gateways and rings are with the candidate: what the statistics say to whoever decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# well: shown to be as promised, within the tolerance. bad: a limit is broken, or a surprise beyond chance.
# unknown: neither yet. absent: counts for nothing now (was silent before it was touched, or has nothing to compare).
Standing = Literal["well", "unknown", "absent", "bad"]


@dataclass(frozen=True, slots=True)
class GatewayVerdict:
    """One gateway, for people. `windows` whole ones and `frames` with the candidate; `release` is the one it named
    last, 0 if it never reported; `figures` now, and the incumbent's with `_was`, by the names of events.Row."""

    gateway: str
    standing: Standing
    because: str
    release: int = 0
    windows: int = 0
    frames: int = 0
    errors: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RingVerdict:
    """A ring (or any group of gateways); `because` is a clause with the figures behind `standing`.

    How many gateways it has, and of those touched how many are well, unknown, absent and bad. `present` ones had
    something new to say lately; `ready` ones are present and have shown enough of the incumbent to compare with.
    `surprise` is the log10 of the ring's e-value, the odds against the model's behaving as promised, and `limit` what
    it must not reach. `unseen_hours` are the UTC hours of day in which the incumbent saw things there and the
    candidate has not been seen yet. `shadow` is the verdict on the paired evidence of a challenger alone ("absent":
    there was none).
    """

    standing: Standing
    because: str
    gateways: int
    well: int = 0
    unknown: int = 0
    absent: int = 0
    bad: int = 0
    present: int = 0
    ready: int = 0
    surprise: float = 0.0
    limit: float = 0.0
    unseen_hours: tuple[int, ...] = ()
    shadow: Standing = "absent"
    shadow_because: str = ""
