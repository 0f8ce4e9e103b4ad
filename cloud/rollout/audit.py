"""The audit log: an object per event, each with the digest of the one before, and the newest one's in the state.

Nothing that was written can be changed, left out or cut off without the chain telling; whoever may write all of the
store can forge all of it, so note the head's digest elsewhere if that matters to you.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from cloud.rollout.events import Event
from cloud.rollout.place import Place
from greengrass.objects import ChangedError, ObjectStore
from models.errors import ConfigError, RolloutError


@dataclass(frozen=True, slots=True)
class Head:
    """How many entries there are, and the newest one's sha256; none, and no digest, at first."""

    count: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """The log's entry `number` (1, 2, 3 ...). `before` is the sha256 of the entry before, empty for the first."""

    number: int
    before: str
    event: Event

    def data(self) -> bytes:
        """As it is written."""
        document = {"number": self.number, "before": self.before, **self.event.as_dict()}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def next_entry(head: Head, event: Event) -> Entry:
    return Entry(head.count + 1, head.sha256, event)


def head_of(number: int, data: bytes) -> Head:
    """The log's head while this is its newest entry, as it is written."""
    return Head(number, _digest(data))


def put_entry(store: ObjectStore, place: Place, head: Head, data: bytes) -> None:
    """Write the newest entry, which the state has; it may be there already. StoreError when it cannot be written."""
    try:
        store.put_if(place.audit(head.count), data, None)
    except ChangedError:
        # ours, by whoever died after writing it; or somebody else's, which `read_log` tells of: no revert waits for it
        return


@dataclass(frozen=True, slots=True)
class Log:
    """All events that can be read, oldest first, and what is wrong with the log in one line; empty: nothing is."""

    events: tuple[Event, ...]
    head: Head
    damage: str = ""

    def of(self, rollout: str) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.rollout == rollout)


def read_log(store: ObjectStore, place: Place, head: Head, last: bytes) -> Log:
    """The log up to `head`, verified. `last`: the newest entry as the state has it, which may not be written yet."""
    found = sorted(key for key in store.list(place.audit_folder) if place.audit_number(key) is not None)
    events: list[Event] = []
    damage = ""
    for line in _verify(store, place, found, head, last, events):
        damage = damage or line
    return Log(tuple(events), head, damage)


def _verify(
    store: ObjectStore, place: Place, found: list[str], head: Head, last: bytes, events: list[Event]
) -> Iterator[str]:
    before = ""
    there = set(found)
    for number in range(1, head.count + 1):
        key = place.audit(number)
        if key in there:
            data = store.get(key)
        elif number == head.count and _digest(last) == head.sha256:
            data = last  # its writer died between the state and the log; the next one writes it
        else:
            yield f"{store.uri(key)} is missing: somebody took it out of the audit log; restore it"
            before = ""
            continue
        try:
            entry = parse_entry(data)
        except (ValueError, ConfigError) as exc:
            yield f"{store.uri(key)} is no entry of an audit log ({exc}); restore it"
            before = _digest(data)
            continue
        if entry.number != number or (before and entry.before != before):
            yield f"{store.uri(key)} does not follow from the entry before it: one of the two was changed; restore it"
        events.append(entry.event)
        before = _digest(data)
    if head.count and before and before != head.sha256:
        yield f"{store.uri(place.audit(head.count))} was changed after it was written; restore it"
    beyond = [key for key in found if (place.audit_number(key) or 0) > head.count]
    if beyond:
        yield f"{store.uri(beyond[0])} was put there by nobody who held the roll-out; remove it"


def check_no_log(store: ObjectStore, place: Place) -> None:
    """RolloutError if there are entries though there is no state: it was lost, or removed to hide them."""
    key = next(iter(store.list(place.audit_folder)), None)
    if key is not None:
        raise RolloutError(
            f"{store.uri(place.state)} is gone, but its audit log is there ({store.uri(key)}); restore the state, or "
            f"move the log away to begin anew"
        )


def parse_entry(data: bytes) -> Entry:
    """The entry that was written so; ValueError or ConfigError for anything else."""
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("not an object")
    number, before = document.pop("number", None), document.pop("before", None)
    if not isinstance(number, int) or not isinstance(before, str):
        raise ValueError("it has no number or no digest of the entry before")
    return Entry(number, before, Event.from_dict(document))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
