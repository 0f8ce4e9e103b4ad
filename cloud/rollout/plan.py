"""Who gets a release, in which order, and what the operator asked for.

A roll-out takes rings one after the other, and a ring's waves one after the other; a wave's gateways get their
deployment at once, for a wave is a thing group. Rings are about trust: the next one waits until this one has shown to
be well. Waves are about pace: hours, links, sites.
"""

from dataclasses import dataclass

from models.errors import UsageError

WHOLE_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway as its thing's attributes describe it; what nobody said is empty, and its time UTC."""

    name: str
    hardware: str = ""
    site: str = ""
    timezone: str = "UTC"
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wave:
    """A thing group and its gateways, in name order; never empty."""

    group: str
    gateways: tuple[Gateway, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(gateway.name for gateway in self.gateways)


@dataclass(frozen=True, slots=True)
class Ring:
    """Waves in order; never empty."""

    waves: tuple[Wave, ...]

    @property
    def gateways(self) -> tuple[Gateway, ...]:
        return tuple(gateway for wave in self.waves for gateway in wave.gateways)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(gateway.name for gateway in self.gateways)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an operator asks of a roll-out beyond the release.

    `shadow_s`: the candidate runs beside the incumbent on ring 0 for so long before it answers. `soak_s`: how long a
    ring is watched after its last wave, by ring; the last figure is also that of all further rings, none at all is 0.
    `approve`: rings that wait for an operator before they are touched. `hours`: the gateways' local time in which a
    wave may begin ("22:00-05:00"; empty: always). At most `max_in_flight` gateways, `max_bytes_in_flight` bytes and
    `site_bytes` bytes at one site are given the release and have not yet reported it. `covered`: the share of a ring
    that must have shown to be well; the others may be away. If it has not come to that `cover_s` after its soak, the
    roll-out is undone: silence is not health.
    """

    shadow_s: float = 0.0
    soak_s: tuple[float, ...] = ()
    approve: tuple[int, ...] = ()
    hours: str = ""
    max_in_flight: int | None = None
    max_bytes_in_flight: int | None = None
    site_bytes: int | None = None
    covered: float = 0.5
    cover_s: float = WHOLE_DAY_S

    def __post_init__(self) -> None:
        for value, flag in ((self.shadow_s, "shadow"), *((value, "soak") for value in self.soak_s)):
            if not 0 <= value < float("inf"):
                raise UsageError(f"--{flag} must be 0 or more seconds, got {value}")
        for limit, flag in (
            (self.max_in_flight, "max-in-flight"),
            (self.max_bytes_in_flight, "max-bytes-in-flight"),
            (self.site_bytes, "site-bytes"),
        ):
            if limit is not None and limit < 1:
                raise UsageError(f"--{flag} must be 1 or more, got {limit}")
        if not 0 < self.covered <= 1:
            raise UsageError(f"--covered must be above 0 and at most 1, got {self.covered}")

    def soak_of(self, ring: int) -> float:
        return self.soak_s[min(ring, len(self.soak_s) - 1)] if self.soak_s else 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`release` of `model` goes to the rings of `fleet`, in order; `incumbent` is what runs there, None at the first
    release ever. `bytes_each` is what a gateway downloads for it, 0 where nobody knows."""

    model: str
    release: int
    incumbent: int | None
    fleet: str
    rings: tuple[Ring, ...]
    wishes: Wishes = Wishes()
    bytes_each: int = 0

    @property
    def candidate(self) -> str:
        return f"{self.model}@{self.release}"

    @property
    def waves(self) -> tuple[Wave, ...]:
        """All waves in the order in which they are touched: a roll-out's state counts them."""
        return tuple(wave for ring in self.rings for wave in ring.waves)

    def ring_of(self, wave: int) -> int:
        """The number of the ring that the wave belongs to, counted as `waves` are."""
        for number, ring in enumerate(self.rings):
            wave -= len(ring.waves)
            if wave < 0:
                return number
        raise IndexError(f"there is no wave {wave}")

    def names(self, waves: int | None = None) -> tuple[str, ...]:
        """The gateways of the first `waves` waves, or of all."""
        return tuple(gateway.name for wave in self.waves[:waves] for gateway in wave.gateways)


def waves_of(plan: Plan, ring: int) -> range:
    """The numbers of a ring's waves, counted as `Plan.waves` are."""
    start = sum(len(before.waves) for before in plan.rings[:ring])
    return range(start, start + len(plan.rings[ring].waves))
