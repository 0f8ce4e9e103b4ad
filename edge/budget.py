"""What a new model may take on this device before the one before it comes back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge.memory import Memory
from models.latency import NOT_SLOWER

UNNOTICED_MS = 1.0  # no camera misses a frame for so little
_RESERVE = 1 / 32  # of the machine's memory: below it Linux begins to thrash


@dataclass(frozen=True, slots=True)
class Budget:
    """`latency_ms`: what a frame may take, in the median; without it, `slowdown` times what the model before takes.
    `memory_bytes`: what the whole gateway may take; None: as much as leaves the machine enough to live on."""

    latency_ms: float | None = None
    slowdown: float = 2.0
    memory_bytes: int | None = None

    def too_slow(self, took_ms: float, before_ms: float, *, foreseen: float = 1.0) -> str:
        """Why a model is too slow that takes `took_ms` where the one before takes `before_ms`, or "". One that is no
        slower than the one before never is: going back would help nobody. `foreseen`: how many times slower it was
        meant to be here, which `slowdown` comes on top of."""
        if took_ms <= before_ms * NOT_SLOWER:
            return ""
        if self.latency_ms is not None:
            if took_ms <= self.latency_ms:
                return ""
            return f"it takes {took_ms:.1f} ms a frame, the budget is {self.latency_ms:g} ms"
        slowdown = self.slowdown * max(1.0, foreseen)
        if took_ms <= before_ms * slowdown or took_ms <= before_ms + UNNOTICED_MS:
            return ""
        return (
            f"it takes {took_ms:.1f} ms a frame, more than {slowdown:.3g} times the {before_ms:.1f} ms of the model "
            f"before; set latency_budget_ms if that is meant to be, or sign how long it takes (docs/new-models.md)"
        )

    def too_large(self, now: Memory, before: Memory) -> str:
        """Why a model is too large since whose opening memory went from `before` to `now`, or "". What was short
        already without it is not its fault."""
        grown = now.resident - before.resident
        limit = self.memory_bytes
        if limit is not None and before.resident <= limit < now.resident:
            return f"with it the gateway takes {_mb(now.resident)}, the budget is {_mb(limit)}"
        reserve = int(now.total * _RESERVE)
        if now.available < reserve <= now.available + grown:
            return f"it takes {_mb(grown)} and leaves {_mb(now.available)} of {_mb(now.total)}"
        return ""


def foreseen_slowdown(signed_ms: Mapping[str, float], before_ms: Mapping[str, float], *, on: str) -> float:
    """How many times slower two releases' signed manifests say that the new one is on this class of hardware; 1 where
    they do not both say, or it is to be no slower."""
    ratio = signed_ms.get(on, 0.0) / before_ms[on] if before_ms.get(on, 0.0) > 0 else 1.0
    return ratio if 1.0 < ratio < math.inf else 1.0


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
