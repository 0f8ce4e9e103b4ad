"""What happens in a roll-out, for people, the audit log and plots."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from models.configuration import parse

Kind = Literal[
    "planned",  # the rings' thing groups are as planned
    "advance",  # decided: the ring gets the candidate
    "deployed",  # the ring's deployment is made
    "wait",
    "revert",  # decided: every touched ring goes back
    "undeployed",  # the ring's deployment of the incumbent is made
    "reverted",  # every touched gateway that can be reached says so
    "revert-failed",
    "done",
    "trouble",  # the lake or the control plane did not answer
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
    """`text` is one sentence with the figures behind it. `ring` is -1 where none is meant."""

    at_us: int
    rollout: str
    kind: Kind
    text: str
    ring: int = -1
    rows: tuple[Row, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> "Event":
        """The event that `as_dict` was made of; ConfigError for anything else."""
        return parse(cls, data, where="audit.jsonl")
