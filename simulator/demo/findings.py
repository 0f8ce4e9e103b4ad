"""What the demo has seen: the figures behind its report and plots."""

from dataclasses import dataclass, field

from cloud.lake.tables import GatewayHealth
from simulator.demo.claims import Claims
from simulator.demo.count import Count
from simulator.tap import Traffic


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the story and how long it took."""

    title: str
    seconds: float


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """A variant of the first release, as measured; `verdict` is the gate's reason in one line."""

    name: str
    bytes: int
    accuracy: float | None
    p50_ms: float | None
    p95_ms: float | None
    chosen: bool
    verdict: str


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened in a roll-out; `at_s` counts from the demo's start, `ring` is -1 where none is meant."""

    at_s: float
    ring: int
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class RolloutStory:
    """One roll-out: `rings` are the gateways by ring, `outcome` its last phase, `why` that in a sentence."""

    release: str
    rings: tuple[tuple[str, ...], ...]
    moments: tuple[Moment, ...]
    outcome: str
    why: str


@dataclass(frozen=True, slots=True)
class Span:
    """A gateway ran a release from frame to frame, in seconds from the demo's start."""

    gateway: str
    release: int
    start_s: float
    end_s: float


@dataclass(slots=True)
class Findings:
    """All of it; filled chapter by chapter."""

    broker: str = ""
    model: str = ""
    window_s: float = 0.0
    started_at: float = 0.0
    claims: Claims = field(default_factory=Claims)
    chapters: list[Chapter] = field(default_factory=list)
    variants: list[VariantFigures] = field(default_factory=list)
    first_result_s: dict[str, float] = field(default_factory=dict)
    traffic: dict[str, Traffic] = field(default_factory=dict)
    health: list[GatewayHealth] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    lost_at_swaps: dict[str, list[int]] = field(default_factory=dict)
    releases_ran: dict[str, list[int]] = field(default_factory=dict)
    rollouts: list[RolloutStory] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    accuracy_by_release: dict[int, float] = field(default_factory=dict)
    labels_seen: dict[str, int] = field(default_factory=dict)
