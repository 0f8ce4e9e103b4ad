"""Roll-outs as the audit log tells them, one story each."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from cloud.rollout.events import Event, Kind

_ENDS: frozenset[Kind] = frozenset({"done", "reverted", "revert-failed"})


@dataclass(frozen=True, slots=True)
class Story:
    """One roll-out. `how`: the event that ended it, "under way" before; `because`: in its words. Times are UTC
    microseconds, 0 for not yet."""

    rollout: str
    release: str
    by: str
    began_us: int
    ended_us: int
    how: str
    because: str
    events: tuple[Event, ...]

    @property
    def rings(self) -> tuple[tuple[str, ...], ...]:
        """The gateways ring by ring, as far as a decision has named them."""
        named: dict[int, dict[str, None]] = {}
        for event in self.events:
            for row in event.rows:
                named.setdefault(row.ring, {})[row.gateway] = None
        return tuple(tuple(named[ring]) for ring in sorted(named))

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types, without the events."""
        return {name: value for name, value in asdict(self).items() if name != "events"}


def stories(events: Iterable[Event]) -> list[Story]:
    """Every roll-out, in the order in which they began."""
    by_rollout: dict[str, list[Event]] = {}
    for event in events:
        by_rollout.setdefault(event.rollout, []).append(event)
    return [_story(rollout, told) for rollout, told in by_rollout.items()]


def _story(rollout: str, events: list[Event]) -> Story:
    ends = [index for index, event in enumerate(events) if event.kind in _ENDS]
    again = [index for index, event in enumerate(events) if event.kind == "revert"]
    # one that had ended may have been turned round since
    over = bool(ends) and (not again or again[-1] < ends[-1])
    last = events[ends[-1]] if over else None
    return Story(
        rollout,
        rollout.rpartition("-")[0],
        events[0].by,
        events[0].at_us,
        last.at_us if last else 0,
        last.kind if last else "under way",
        last.text if last else events[-1].text,
        tuple(events),
    )
