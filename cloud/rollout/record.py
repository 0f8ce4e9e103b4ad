"""A roll-out's record: its state, who holds it and the head of its audit log, in one object that is put whole.

Everything that happens is one conditional put of this object, then the event's own entry in the log, and only then
the act in the world. Whoever finds the record can go on from there, and whoever lost it can put nothing any more.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

from cloud.rollout.audit import Head, Log, check_no_log, head_of, next_entry, parse_entry, put_entry, read_log
from cloud.rollout.events import Event
from cloud.rollout.lease import LEASE_S, Lease, LeaseHeldError, LeaseLostError, held_text, is_free, new_lease
from cloud.rollout.place import Place
from cloud.rollout.state import FORMAT, Rollout
from greengrass.objects import ChangedError, ObjectStore, Versioned
from models.configuration import parse
from models.errors import ConfigError, RolloutError, StoreError

_SAME_NEWS_S = 600.0  # waiting for this gateway, then for that one, is one thing to a reader


@dataclass(frozen=True, slots=True)
class Record:
    """`last` is the newest event's entry, byte for byte, which may not be in the log yet; `writes` makes every put
    differ."""

    rollout: Rollout
    head: Head = field(default_factory=Head)
    last: str = ""
    lease: Lease | None = None
    writes: int = 0
    format: int = FORMAT

    def after(self, event: Event) -> "Record":
        """The record once this has happened."""
        data = next_entry(self.head, event).data()
        return replace(self, head=head_of(self.head.count + 1, data), last=data.decode())

    def data(self) -> bytes:
        """As it is written."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Found:
    """A record as it lies in the store."""

    record: Record
    version: str
    age_s: float

    def log(self, store: ObjectStore, place: Place) -> Log:
        """Its audit log, verified."""
        return read_log(store, place, self.record.head, self.record.last.encode())

    @property
    def held(self) -> str:
        """Who acts on it now, in a clause; empty when nobody does."""
        lease = self.record.lease
        return "" if lease is None or is_free(lease, self.age_s) else held_text(lease, self.age_s)


def find(store: ObjectStore, place: Place) -> Found | None:
    """The record of the roll-out under way or the last one; None when there never was one. RolloutError for one that
    cannot be understood."""
    there = store.read(place.state)
    if there is None:
        _check_format_1(store, place)
        return None
    return Found(_parse(there, store.uri(place.state)), there.version, there.age_s)


class Held:
    """A roll-out in our hands: as long as we write now and then, nobody else changes it.

    Every method may raise StoreError, after which it may be called again, and LeaseLostError, after which nothing may
    be done any more.
    """

    def __init__(self, store: ObjectStore, place: Place, record: Record, version: str) -> None:
        assert record.lease is not None
        self._store, self._place, self._lease = store, place, record.lease
        self._record, self._version = record, version
        self._written_s = time.monotonic()
        self._unsure = False
        self._logged = False

    @property
    def rollout(self) -> Rollout:
        """As it was written last, or remembered since."""
        return self._record.rollout

    @property
    def last(self) -> Event | None:
        """What happened last, of what the log has."""
        return parse_entry(self._record.last.encode()).event if self._record.last else None

    @property
    def who(self) -> str:
        return self._lease.who

    def settle(self) -> None:
        """Be sure of what is in the store, and that its newest event is in the log: before each step."""
        if self._unsure:
            found = find(self._store, self._place)
            if found is None or found.record.lease is None or found.record.lease.id != self._lease.id:
                raise _lost(self._store, self._place, found)
            self._record, self._version, self._unsure = found.record, found.version, False
        if not self._logged and self._record.last:
            put_entry(self._store, self._place, self._record.head, self._record.last.encode())
        self._logged = True
        self.renew()

    def put(self, rollout: Rollout, event: Event | None = None) -> None:
        """Write the state, and what happened into the log."""
        record = replace(self._record, rollout=rollout)
        if event is not None:
            record = record.after(event if event.by else replace(event, by=self.who))
        self._write(record)
        if event is not None:
            self._logged = False
            self.settle()

    def remember(self, rollout: Rollout) -> None:
        """The state for the next write, whenever that is: nothing that anybody would miss."""
        self._record = replace(self._record, rollout=rollout)

    def renew(self) -> None:
        """Write again if it was long ago: before each act, however long the one before took."""
        if time.monotonic() - self._written_s > self._lease.for_s / 3:
            self._write(self._record)

    def release(self) -> None:
        """Let others act at once."""
        if not self._unsure:
            self._write(replace(self._record, lease=None))

    def _write(self, record: Record) -> None:
        record = replace(record, writes=record.writes + 1)
        try:
            self._version = self._store.put_if(self._place.state, record.data(), self._version)
        except ChangedError as exc:
            raise _lost(self._store, self._place, find(self._store, self._place)) from exc
        except StoreError:
            self._unsure = True  # it may have been written
            raise
        self._record, self._written_s = record, time.monotonic()


def note(held: Held, rollout: Rollout, event: Event) -> None:
    """Remember the state and what hinders it, in the log only if that is news: it is asked every few seconds."""
    last = held.last
    if last is not None and last.rollout == event.rollout and last.kind == event.kind:
        gist, before = (re.sub(r"[0-9.,]+", "", text) for text in (event.text, last.text))
        if gist == before or event.at_us - last.at_us < _SAME_NEWS_S * 1e6:
            held.remember(rollout)
            return
    held.put(rollout, event)


@contextlib.contextmanager
def hold(store: ObjectStore, place: Place, *, who: str, for_s: float = LEASE_S) -> Iterator[Held]:
    """The roll-out in our hands, and let go at the end. LeaseHeldError while another acts on it; RolloutError where
    there is none."""
    found = find(store, place)
    if found is None:
        raise RolloutError(f"there is no roll-out of {place.model} in {place.fleet}; start one first")
    with _taken(store, place, found.record, found, who, for_s) as held:
        yield held


def put_new(
    store: ObjectStore, place: Place, rollout: Rollout, event: Event, *, who: str, for_s: float = LEASE_S
) -> None:
    """Write a new roll-out down, and what began it. RolloutError while the one before is unfinished."""
    found = find(store, place)
    if found is None:
        check_no_log(store, place)
        before = Record(rollout)
    elif not found.record.rollout.ended or found.record.rollout.successor is not None:
        raise unfinished(found.record.rollout)
    else:
        before = found.record
    record = replace(before, rollout=rollout).after(event)
    with _taken(store, place, record, found, who, for_s) as held:
        held.settle()


def unfinished(rollout: Rollout) -> RolloutError:
    """Why another cannot begin."""
    candidate, fleet = rollout.plan.candidate, rollout.plan.fleet
    return RolloutError(
        f"the roll-out of {candidate} to {fleet} is unfinished ({rollout.phase}); finish it with `tidegate rollout "
        f"start {candidate} --fleet {fleet}`, undo it with `tidegate rollout abort {rollout.plan.model} --fleet "
        f"{fleet}`, or say --supersede revert or --supersede complete"
    )


@contextlib.contextmanager
def _taken(
    store: ObjectStore, place: Place, record: Record, found: Found | None, who: str, for_s: float
) -> Iterator[Held]:
    if found is not None and found.held:
        raise LeaseHeldError(
            f"{place.model} in {place.fleet}: {found.held}; look on with `tidegate rollout watch {place.model} --fleet "
            f"{place.fleet}`",
            found.held,
        )
    record = replace(record, lease=new_lease(who, for_s), writes=record.writes + 1)
    try:
        version = store.put_if(place.state, record.data(), found.version if found is not None else None)
    except ChangedError as exc:
        raise LeaseHeldError(f"{place.model} in {place.fleet}: another process has taken it at this moment") from exc
    held = Held(store, place, record, version)
    try:
        yield held
    finally:
        # it runs out by itself, so whatever hinders us now must not hide what went wrong before
        with contextlib.suppress(StoreError, LeaseLostError):
            held.release()


def _lost(store: ObjectStore, place: Place, found: Found | None) -> LeaseLostError:
    by = f"{found.held} now" if found is not None and found.held else "another process has changed it"
    return LeaseLostError(f"{store.uri(place.state)} was taken over: {by}; nothing more is done here")


def _parse(there: Versioned, where: str) -> Record:
    try:
        document = json.loads(there.data)
    except ValueError as exc:
        raise RolloutError(f"{where} cannot be read: {exc}; restore it, or move it away and revert by hand") from exc
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RolloutError(f"{where} is not a roll-out's state that this tidegate knows (format {FORMAT})")
    try:
        return parse(Record, document, where=where)
    except ConfigError as exc:
        raise RolloutError(f"{exc}; restore it, or move it away and revert by hand") from exc


def _check_format_1(store: ObjectStore, place: Place) -> None:
    """RolloutError if the first format left a roll-out unfinished; one that ended is history."""
    old = store.read(place.of_format_1)
    if old is None:
        return
    try:
        phase = json.loads(old.data).get("phase")
    except (ValueError, AttributeError):
        phase = None
    if phase not in ("done", "reverted"):
        raise RolloutError(
            f"{store.uri(place.of_format_1)} is of an older tidegate and unfinished ({phase}); finish or revert it "
            f"with that one, or move it away and deploy one release to all of its rings with `tidegate deploy`"
        )
