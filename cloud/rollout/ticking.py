"""One tick of every roll-out there is, from wherever a scheduler calls it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cloud.rollout.events import Event
from cloud.rollout.fleet import Fleet
from cloud.rollout.lease import LeaseHeldError
from cloud.rollout.looking import Reports
from cloud.rollout.place import Place, places
from cloud.rollout.record import find
from cloud.rollout.run import tick, utc_us
from cloud.rollout.steps import World
from greengrass.objects import ObjectStore
from models.errors import TidegateError

_ILL = frozenset({"trouble", "stranger", "revert-failed", "astray"})


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick did for one roll-out. `note` says in a line why nothing was done, where that is worth saying."""

    place: Place
    events: tuple[Event, ...]
    well: bool
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types; the rows of figures are left out."""
        events = [{key: value for key, value in event.as_dict().items() if key != "rows"} for event in self.events]
        return {
            "model": self.place.model,
            "fleet": self.place.fleet,
            "well": self.well,
            "note": self.note,
            "events": events,
        }


def tick_all(
    store: ObjectStore,
    fleet: Fleet,
    reports: Reports,
    *,
    who: str,
    model: str | None = None,
    fleet_group: str | None = None,
    clock: Callable[[], int] = utc_us,
) -> list[Ticked]:
    """Do what is to be done now, one roll-out after the other; what hinders one hinders no other."""
    ticked = []
    for place in sorted(places(store)):
        if model not in (None, place.model) or fleet_group not in (None, place.fleet):
            continue
        try:
            events = tick(World(store, place, fleet, reports), who=who, clock=clock)
            found = find(store, place)
            failed = found is not None and found.record.rollout.phase == "revert-failed"
            note = found.record.rollout.outcome if found is not None and failed and not events else ""
            ill = failed or any(event.kind in _ILL for event in events[-1:])
            ticked.append(Ticked(place, tuple(events), not ill, note))
        except LeaseHeldError as exc:
            ticked.append(Ticked(place, (), True, str(exc)))
        except TidegateError as exc:
            ticked.append(Ticked(place, (), False, str(exc)))
    return ticked
