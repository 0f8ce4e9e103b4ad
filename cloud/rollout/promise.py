"""What a release's signed report promises about how its answers will differ from those of the release before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Promise:
    """The signed `predicted_shift` (cloud/predicted_shift.py), empty where there is none, and the medians of one
    inference by hardware class, before and now. `digests`: of the ONNX files that the release holds; empty: not
    known, and then not checked."""

    shift: Mapping[str, Any] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    latency_before_ms: Mapping[str, float] = field(default_factory=dict)
    digests: frozenset[str] = frozenset()

    def slower(self, hardware: str) -> float:
        """How many times as long an inference is to take on a hardware class; 1 where nothing is said of it."""
        now, before = self.latency_ms.get(hardware, 0.0), self.latency_before_ms.get(hardware, 0.0)
        return now / before if now > 0 and before > 0 else 1.0


NO_PROMISE = Promise()
