"""What happens in a roll-out, for people, the audit log and plots."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from models.configuration import parse

Kind = Literal[
    "begun",  # written down, by whom
    "planned",  # the waves' thing groups are as planned
    "shadow",  # decided: ring 0 runs the candidate beside the incumbent
    "shadowed",  # a wave's deployment of the shadow is made
    "advance",  # decided: the wave gets the candidate
    "deployed",  # the wave's deployment is made
    "joined",  # a gateway is new in the fleet, and is given the incumbent
    "wait",
    "hold",  # waits for an operator's approval
    "paused",
    "resumed",
    "approved",
    "superseded",  # a newer release comes next
    "refused",  # an operator's request that came too late, or makes no sense
    "stranger",  # a gateway reports a digest that nobody released
    "revert",  # decided: every touched wave goes back
    "undeployed",  # the wave's deployment of the incumbent is made
    "reverted",  # every touched gateway that can be reached says so
    "revert-failed",
    "done",
    "returned",  # a gateway that was away at the end is back, and runs what it should
    "astray",  # ... and does not
    "trouble",  # the lake, the store or the control plane did not answer
]


@dataclass(frozen=True, slots=True)
class Row:
    """A gateway at the moment of an event: what it reports, and the incumbent's figure beside it (`_was`)."""

    gateway: str
    ring: int
    release: int  # as reported last, 0 where it has said nothing
    verdict: str
    windows: int = 0
    frames: int = 0
    errors: int = 0
    fps: float = 0.0
    fps_was: float = 0.0
    p95_ms: float = 0.0
    p95_ms_was: float = 0.0
    memory_bytes: int = 0
    memory_bytes_was: int = 0
    mix_distance: float = 0.0
    mix_spread: float = 0.0
    mean_score: float = 0.0
    mean_score_was: float = 0.0


@dataclass(frozen=True, slots=True)
class Event:
    """`text` is one sentence with the figures behind it. `ring` is -1 where none is meant. `by`: who did it, or asked
    for it."""

    at_us: int
    rollout: str
    kind: Kind
    text: str
    ring: int = -1
    rows: tuple[Row, ...] = field(default=())
    by: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> "Event":
        """The event that `as_dict` was made of; ConfigError for anything else."""
        return parse(cls, data, where="audit.jsonl")
