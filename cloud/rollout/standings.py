"""What `decide` is told of a fleet at one moment."""

from dataclasses import dataclass

from cloud.rollout.verdicts import RingVerdict


@dataclass(frozen=True, slots=True)
class Standings:
    """How a fleet stands. Times are UTC microseconds.

    `rings` has a verdict for each of the plan's rings, in order (`present` and `ready` count also where a ring is not
    touched). `deployed_us` is when each touched wave got its deployment, 0 while it is about to; its length says how
    many waves are touched. `in_flight` are the gateways that were given the release, can be reached, and have not yet
    reported its digest; it may be left empty where the plan's wishes limit nothing. The roll-out began at `since_us`;
    for `patience_s` a ring may fail to be ready to be touched. `shadow_since_us` is when ring 0 was given the
    candidate as challenger, 0: never. `approved` are rings that an operator let through, `paused` says who holds the
    roll-out, empty: nobody.
    """

    rings: tuple[RingVerdict, ...]
    deployed_us: tuple[int, ...]
    since_us: int
    patience_s: float
    in_flight: frozenset[str] = frozenset()
    shadow_since_us: int = 0
    approved: tuple[int, ...] = ()
    paused: str = ""

    @property
    def touched(self) -> int:
        """How many waves are touched."""
        return len(self.deployed_us)
