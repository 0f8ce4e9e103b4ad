"""What a roll-out remembers. Written before anything is done, so that whoever finds it can go on."""

from dataclasses import dataclass, field
from typing import Any, Literal

from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan, Wishes
from cloud.rollout.promise import Promise

Phase = Literal["planned", "rolling", "reverting", "done", "reverted", "revert-failed"]
ENDED: frozenset[Phase] = frozenset({"done", "reverted", "revert-failed"})
FORMAT = 2  # 1: touched by ring, a folder per roll-out on disk alone


@dataclass(frozen=True, slots=True)
class Touched:
    """A wave that gets, or got, the candidate.

    `marks` is each gateway's newest report when this was decided, in microseconds by the gateway's own clock: what
    is newer happened since. `absent` had been silent before. `deployment` is empty until the deployment is made.
    """

    marks: dict[str, int]
    absent: tuple[str, ...] = ()
    deployment: str = ""
    deployed_us: int = 0


@dataclass(frozen=True, slots=True)
class Beside:
    """Ring 0 in shadow: the candidate looks on beside the incumbent.

    `deployments` made so far, one for each of ring 0's waves; `since_us` is 0 until all are made, `marks` and `absent`
    as in Touched.
    """

    deployments: tuple[str, ...] = ()
    marks: dict[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    since_us: int = 0


@dataclass(frozen=True, slots=True)
class Undo:
    """A roll-out going back: why, and the deployments made so far, one for each of `Rollout.to_undo`.

    `marks` as in Touched, and `since_us`, are there once all deployments are made. `attempt` counts from 1;
    `instead_of` are the deployments of the attempt before, which failed, so they are made once more. `again_us`: when
    the next attempt is due, once this one has failed.
    """

    because: str
    deployments: tuple[str, ...] = ()
    marks: dict[str, int] | None = None
    since_us: int = 0
    attempt: int = 1
    instead_of: tuple[str, ...] = ()
    again_us: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What the registry says of a release and of the one before, signed.

    `digests`: of which of the two a file is, by its digest (of both, where the same was released again). `released`:
    all numbers there are. `shift` is what is predicted against the release before, empty where the report is about
    another; the latencies are medians of one inference by hardware class. `misgivings`: what the release's own report
    has against it, for which ring 0 waits. All empty where nobody said which registry.
    """

    digests: dict[str, tuple[int, ...]] = field(default_factory=dict)
    released: tuple[int, ...] = ()
    shift: dict[str, Any] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    latency_before_ms: dict[str, float] = field(default_factory=dict)
    misgivings: str = ""

    def promise(self) -> Promise:
        """As the judge takes it. Digests are not its business: what nobody released says nothing about a release."""
        return Promise(self.shift, self.latency_ms, self.latency_before_ms)


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator (`by`) asks for: a release, how, and what is said of it."""

    release: int
    by: str
    shares: str
    wishes: Wishes = field(default_factory=Wishes)
    limits: Limits = field(default_factory=Limits)
    said: Said = field(default_factory=Said)


@dataclass(frozen=True, slots=True)
class Heard:
    """When each gateway last had something new to say, by our own clock, and what that was, by its own."""

    at_us: dict[str, int] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rollout:
    """One roll-out. Times are UTC microseconds; `window_s` is how often the fleet's gateways report health.

    `touched` has one for each wave, counted as `Plan.waves` are. `by` started it, `paused` says who holds it (empty:
    nobody), `approved` are the rings let through, `answered` is the newest request that was seen to.
    `incumbent_digests`: what gateways said the incumbent was before they were touched. `watched`: gateways that were
    away at the end, and when they were first heard again (0: not yet). `looked_us`: when somebody last acted on it.
    `waits_for`: why nothing happens.
    """

    id: str
    plan: Plan
    limits: Limits
    window_s: float
    started_us: int
    by: str = ""
    phase: Phase = "planned"
    beside: Beside | None = None
    touched: tuple[Touched, ...] = ()
    undo: Undo | None = None
    paused: str = ""
    approved: tuple[int, ...] = ()
    answered: tuple[str, ...] = ()
    successor: Order | None = None
    said: Said = field(default_factory=Said)
    incumbent_digests: tuple[str, ...] = ()
    looked_us: int = 0
    heard: Heard = field(default_factory=Heard)
    watched: dict[str, int] = field(default_factory=dict)
    waits_for: str = ""
    ended_us: int = 0
    outcome: str = ""

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def silence_s(self) -> float:
        """How long a gateway may say nothing."""
        return self.limits.silence_windows * self.window_s

    @property
    def to_undo(self) -> tuple[int, ...]:
        """The waves that got anything of the candidate, also only its shadow."""
        shadowed = len(self.plan.rings[0].waves) if self.beside is not None else 0
        return tuple(range(max(len(self.touched), shadowed)))
