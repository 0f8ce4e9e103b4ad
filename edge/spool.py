"""What was recorded and is not in the lake yet: a database, the only joint between seeing and sending.

It holds records in streams. A stream has a random id and numbers its records 1, 2, 3 ...; each lane opens a new one at
every start and after an outage, and those of before are only drained. So a database that was restored or flushed by
half can't use a number twice.

Recorded means committed here. Commits are grouped, at most a second apart, because an fsync per frame kills SD cards;
a power cut costs that second at most. An alarm is committed at once.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from edge.backoff import delays
from edge.lanes import GIVEN_UP_FIRST, LANES, Lane, lane_of
from edge.runs import pack, part, split, unpack
from edge.spool_books import MAX_PENDING_BYTES, Books, Work
from edge.spool_database import DiskFailingError, DiskFullError, Run, SpoolDatabase, SpoolLostError, StreamState
from edge.spool_rescue import Opened, open_database, replace_database
from models.errors import SpoolError
from models.records import FrameResult, Record, Tombstone
from models.wire import decode_records, encode_record

log = logging.getLogger(__name__)

COMMIT_S = 0.9  # with the commit itself, records are at most a second from the disk
LIMIT_BYTES = 256 << 20
LIMIT_BYTES_IN_MEMORY = 16 << 20  # when the disk is gone
_MAX_PENDING = 2_000  # records, and below that many bytes; whoever records waits when the disk takes no more
_MAKE_ROOM = 0.05  # of the limit, at a time
_FILLING = 0.5  # of the limit: from there on frames are told apart into wanted most and least
_THIN_WHEN_FILLING = 8
_FINISHED_STREAMS = 200  # that are remembered, so that a late acknowledgement is no stranger
_PATIENCE = 5  # failures in a row until a disk counts as gone
_RESCUES = 3  # of a database, since the start, until its disk counts as gone
_RETRY_S = 10.0
_APART_S = 0.05  # the least between two commits
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream with records that wait: acked + 1 .. last. `live`: records still join it."""

    name: str
    lane: Lane
    acked: int
    last: int
    live: bool


@dataclass(frozen=True, slots=True)
class Depth:
    """What the spool holds (tombstones are no records), since when the oldest waits, and what it had to drop since it
    was opened."""

    records: int
    bytes: int
    dropped: int
    age_s: float


class Spool:
    """One writer to a database. Any thread may call any method; commits happen on a thread of the spool's own.

    A database that is damaged, at the start or while it runs, is replaced by a new one with all that can still be
    read; when the disk takes nothing any more, by one in memory. `urgent` is set whenever an alarm was committed;
    whoever sends clears it.
    """

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES, commit_s: float = COMMIT_S) -> None:
        """SpoolError when there can be no database."""
        self.urgent = threading.Event()
        self._path = path
        self._limit_bytes = limit_bytes
        self._commit_s = commit_s
        self._changed = threading.Condition()
        self._database_lock = threading.RLock()
        self._work = Work()
        self._recorders_wait = 0
        self._trouble = ""
        self._disk_gone = ""
        self._incidents: list[str] = []
        self._failures = 0
        self._rescues = 0
        self._asked_thin = self._thin = 1
        self._frames_seen: dict[str, int] = {}
        self._closing = self._closed = False
        self._patient = True
        opened = open_database(path)
        self._database = self._taken_over(opened)
        self._books = Books(opened.streams, self._database.cameras(), self._database.spent(), dropped=opened.lost)
        self._thread = threading.Thread(target=self._commit_now_and_then, name="spool", daemon=True)
        self._thread.start()

    def append(self, *records: Record) -> None:
        """Record these, all in one commit: on disk within a second, at once if there is an alarm. Waits while the
        disk takes nothing."""
        if not records:
            return
        encoded = _encode(records)
        with self._changed:
            work = self._work
            if work.count >= _MAX_PENDING or work.size >= MAX_PENDING_BYTES:
                self._recorders_wait += 1
                self._changed.wait_for(self._takes_more)
                self._recorders_wait -= 1
            self._add(encoded)

    def slip_in(self, *records: Record) -> None:
        """As `append`, but waits for nothing: for something rare, from whoever must not stand still."""
        encoded = _encode(records)
        with self._changed:
            self._add(encoded)

    @property
    def takes_more(self) -> bool:
        """Whether `append` returns at once: not while the disk takes nothing."""
        with self._changed:
            return self._takes_more()

    def wait_no_more(self) -> None:
        """From now on `append` keeps in memory what the disk does not take: whoever leaves can't wait for it. `close`
        tries once more."""
        with self._changed:
            self._patient = False
            self._changed.notify_all()

    def flush(self) -> None:
        """What was appended or acknowledged before is on disk when this returns; SpoolError if it can't be."""
        self._commit()

    def thin(self, keep: int) -> None:
        """From now on only one in `keep` frames of a camera goes into lane `frames`, the others into `spare`, which
        is sent last and dropped first. A spool that fills does so by itself."""
        with self._database_lock, self._changed:
            if keep > self._asked_thin:
                self._books.live.pop("frames", None)  # so that those chosen do not wait behind all the others
            self._asked_thin = keep
            self._choose_thin()

    def last_frame(self, camera: str, *, source: str = "") -> int:
        """Number of the camera's last recorded frame, -1 if none. A file camera names its file as `source`."""
        with self._database_lock:
            known, frame = self._books.cameras.get(camera, ("", -1))
            if frame >= 0 and source and known and known != source:
                raise SpoolError(
                    f"camera {camera!r} has frames of {known} in {self._path}, so frames of {source} would carry the "
                    f"same numbers; give the camera another name, or the gateway another state folder"
                )
            if source != known:
                with self._transaction():
                    self._books.cameras[camera] = source or known, frame
                    self._database.note_cameras(self._books.cameras)
            return frame

    def streams(self) -> list[Stream]:
        """The streams with records that wait, oldest first."""
        with self._database_lock, self._changed:
            live = set(self._books.live.values())
            waiting = [
                Stream(name, state.lane, max(state.acked, self._work.acks.get(name, 0)), state.last, name in live)
                for name, state in self._books.streams.items()
                if state.acked < state.last
            ]
        return [stream for stream in waiting if stream.acked < stream.last]

    def last_recorded(self, stream: str) -> int:
        """The stream's last seq, 0 for a stream that is none of ours."""
        with self._database_lock:
            return self._books.streams[stream].last if stream in self._books.streams else 0

    def is_live(self, stream: str) -> bool:
        """Whether records still join it."""
        with self._database_lock:
            return stream in self._books.live.values()

    def read(self, stream: str, *, after: int, limit: int, limit_bytes: int = 1 << 30) -> list[tuple[int, Record]]:
        """The stream's next records with their numbers: at most `limit`, or `limit_bytes` as recorded, but at least
        one. Tombstones count as one, and stand for what was damaged, too."""
        with self._database_lock:
            return self._mended(lambda: self._read(stream, after, limit, limit_bytes))

    def acknowledge(self, stream: str, last: int) -> None:
        """Records 1..last of the stream are in the lake: forget them, with the next commit."""
        with self._changed:
            self._work.acks[stream] = max(last, self._work.acks.get(stream, 0))

    def bury(self, stream: str, first: int, last: int, reason: str) -> None:
        """Put a tombstone in the place of records first..last, which can't be sent."""

        def bury() -> None:
            with self._transaction():
                self._bury(stream, first, last, reason)

        with self._database_lock:
            self._mended(bury)

    def turn(self, lanes: Collection[Lane] = LANES) -> None:
        """Let what is recorded from now on in these lanes go into new streams, beside the backlog."""
        with self._database_lock:
            for lane in lanes:
                self._books.live.pop(lane, None)

    def spend(self, period: str, size: int) -> None:
        """Count bytes that were sent in a period of the byte budget; on disk with the next commit."""
        with self._changed:
            self._work.spent[period] = self._work.spent.get(period, 0) + size

    def spent(self, period: str) -> int:
        """Bytes counted in that period, before the last restart too."""
        with self._database_lock, self._changed:
            return self._books.spent.get(period, 0) + self._work.spent.get(period, 0)

    @property
    def depth(self) -> Depth:
        with self._database_lock:
            oldest = [state.oldest_us for state in self._books.streams.values() if state.acked < state.last]
            age_s = max(0.0, (_now_us() - min(oldest)) / 1e6) if oldest else 0.0
            return Depth(self._books.records, self._books.bytes, self._books.dropped, age_s)

    @property
    def trouble(self) -> str:
        """Why the last commit failed, or that the disk is gone; empty when all is well."""
        return self._trouble or self._disk_gone

    def incidents(self) -> list[str]:
        """What had to be done to the database since the last call, each told once."""
        with self._changed:
            told, self._incidents = self._incidents, []
            return told

    def close(self) -> None:
        """Commit what is left and close; SpoolError if it can't be written. Whoever asks for anything of the database
        after that gets a SpoolError."""
        with self._changed:
            self._closing = True
            self._patient = False
            self._changed.notify_all()
        self._thread.join()
        try:
            self._commit()
        finally:
            with self._database_lock:
                self._closed = True
                self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, encoded: list[tuple[Lane, bytes, Record]]) -> None:
        work = self._work
        for lane, payload, record in encoded:
            if isinstance(record, FrameResult):
                work.cameras[record.camera] = record.frame
                lane = self._frame_lane(record.camera)
            work.add(lane, [payload])
        if work.is_urgent:
            self._changed.notify_all()

    def _takes_more(self) -> bool:
        return not self._patient or (self._work.count < _MAX_PENDING and self._work.size < MAX_PENDING_BYTES)

    def _frame_lane(self, camera: str) -> Lane:
        if self._thin == 1:
            return "frames"
        seen = self._frames_seen[camera] = self._frames_seen.get(camera, -1) + 1
        return "spare" if seen % self._thin else "frames"

    def _choose_thin(self) -> None:
        filling = self._books.bytes > self._limit_bytes * _FILLING
        self._thin = max(self._asked_thin, _THIN_WHEN_FILLING if filling else 1)

    def _commit_now_and_then(self) -> None:
        retries = delays(self._commit_s, _RETRY_S)
        while True:
            with self._changed:
                # all that comes until then shares one fsync; to be woken by the first of it would cost more than it
                self._changed.wait_for(lambda: self._closing or self._work.is_urgent, timeout=self._commit_s)
                if self._closing:
                    return
            try:
                self._commit()
            except SpoolError as exc:
                self._say_trouble(str(exc))
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, timeout=next(retries))
            else:
                self._say_trouble("")
                retries = delays(self._commit_s, _RETRY_S)
                with self._changed:  # a storm of alarms must not be a storm of fsyncs
                    self._changed.wait_for(lambda: self._closing or self._work.is_large, timeout=_APART_S)

    def _say_trouble(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.error("%s; trying again, and recording waits meanwhile", trouble)
        if self._trouble and not trouble:
            log.info("the spool can be written again")
        self._trouble = trouble

    def _taken_over(self, opened: Opened) -> SpoolDatabase:
        if opened.incident:
            with self._changed:
                self._incidents.append(opened.incident)
        if not opened.on_disk:
            self._disk_gone = opened.incident
            self._limit_bytes = min(self._limit_bytes, LIMIT_BYTES_IN_MEMORY)
        return opened.database

    def _commit(self) -> None:
        with self._database_lock:
            with self._changed:
                if not self._work:
                    return
                work, self._work = self._work, Work()
            try:
                self._mended(lambda: self._write(work))
            except SpoolError as exc:
                if isinstance(exc, DiskFullError) and work.acks:
                    work = self._write_acks_alone(work)
                with self._changed:
                    self._work = work.followed_by(self._work)
                raise
            finally:
                with self._changed:
                    self._choose_thin()
                    if self._recorders_wait:  # waking the other thread for nothing is a good part of a commit
                        self._changed.notify_all()
            if "alarms" in work.records:
                self.urgent.set()

    def _mended(self, work: Callable[[], _T]) -> _T:
        """Do this; once more in a new database, if this one turns out to be lost."""
        if self._closed:  # by whoever did not wait for this thread; what can't be read is not lost
            raise SpoolError(f"the spool {self._path} is closed")
        try:
            done = work()
        except SpoolLostError as exc:
            why = str(exc)
        except DiskFailingError as exc:
            self._failures += 1
            if self._failures < _PATIENCE:
                raise
            why = str(exc)
        else:
            self._failures = 0
            return done
        self._replace_database(why)
        return work()

    def _replace_database(self, why: str) -> None:
        before = self._books
        opened = replace_database(
            self._path, why, old=self._database, known=before.streams, on_disk=self._rescues < _RESCUES
        )
        self._rescues += 1
        self._database, self._failures = self._taken_over(opened), 0
        self._books = Books(opened.streams, before.cameras, before.spent, dropped=before.dropped + opened.lost)
        with self._transaction():
            self._database.note_cameras(before.cameras)
            for period, size in before.spent.items():
                self._database.note_spent(period, size)
            self._make_room()

    def _write(self, work: Work) -> None:
        with self._transaction():
            # first: an acknowledgement can't mean what was recorded after it
            self._write_acks(work)
            if work.records:
                self._write_records(work)
                self._make_room()

    def _write_acks_alone(self, work: Work) -> Work:
        """Let go of what is in the lake, for which a full disk has room, since it makes some; what is left to do."""
        self._database.checkpoint()
        with suppress(SpoolError):
            with self._transaction():
                self._write_acks(work)
            return replace(work, acks={}, spent={})
        return work

    def _write_acks(self, work: Work) -> None:
        for stream, last in work.acks.items():
            self._forget(stream, last)
        if work.acks:
            self._database.note_cameras(self._books.cameras)
        for period, size in work.spent.items():
            self._books.spent[period] = self._books.spent.get(period, 0) + size
            self._database.note_spent(period, self._books.spent[period])

    def _write_records(self, work: Work) -> None:
        now_us = _now_us()
        frames = self._note_frames(work.cameras) if work.cameras else None
        for lane, payloads in work.records.items():
            name = self._books.live.get(lane) or self._open_stream(lane, now_us)
            for portion in split(payloads):
                state = self._books.streams[name]
                last = state.last + len(portion)
                payload = pack(portion)
                self._database.add(Run(state.number, state.last + 1, last, now_us, payload, cameras=frames))
                self._books.streams[name] = replace(
                    state,
                    last=last,
                    records=state.records + len(portion),
                    bytes=state.bytes + len(payload),
                    oldest_us=state.oldest_us or now_us,
                )

    def _note_frames(self, cameras: dict[str, int]) -> str:
        """Every camera's last frame, as the runs of this commit say it."""
        for camera, frame in cameras.items():
            self._books.cameras[camera] = self._books.cameras.get(camera, ("", -1))[0], frame
        return json.dumps({camera: frame for camera, (_, frame) in self._books.cameras.items()})

    def _open_stream(self, lane: Lane, now_us: int) -> str:
        streams, live = self._books.streams, set(self._books.live.values())
        finished = [name for name, state in streams.items() if state.acked == state.last and name not in live]
        if len(finished) > 2 * _FINISHED_STREAMS:
            old = finished[:_FINISHED_STREAMS]
            self._database.drop_streams([streams.pop(name).number for name in old])
        name = secrets.token_hex(8)
        number = max((state.number for state in streams.values()), default=0) + 1
        streams[name] = StreamState(number, lane, now_us)
        self._database.add_stream(name, streams[name])
        self._books.live[lane] = name
        return name

    def _forget(self, stream: str, last: int) -> None:
        state = self._books.streams.get(stream)
        if state is None or last <= state.acked:
            return
        last = min(last, state.last)
        records, size = state.records, state.bytes
        for first, until, its_size, is_stone in self._database.sizes(state.number, last):
            records -= 0 if is_stone else min(until, last) - max(first - 1, state.acked)
            size -= its_size if until <= last else 0
        oldest_us = self._database.forget(stream, state, last)
        self._books.streams[stream] = replace(state, acked=last, records=records, bytes=size, oldest_us=oldest_us)

    def _make_room(self) -> None:
        for lane in GIVEN_UP_FIRST:
            for name, state in list(self._books.streams.items()):
                excess = self._books.bytes - self._limit_bytes
                if excess <= 0:
                    return
                if state.lane == lane and state.acked < state.last:
                    self._drop_oldest(name, state, excess + int(self._limit_bytes * _MAKE_ROOM))

    def _drop_oldest(self, name: str, state: StreamState, excess: int) -> None:
        freed = last = 0
        for _, until, size, _ in self._database.sizes(state.number, state.last):
            freed, last = freed + size, until
            if freed >= excess:
                break
        self._bury(name, state.acked + 1, last, "no room in the spool")

    def _bury(self, name: str, first: int, last: int, reason: str) -> None:
        state = self._books.streams[name]
        first = max(first, state.acked + 1)
        covered = [row for row in self._database.sizes(state.number, last) if row[1] >= first]
        if first > last or all(is_stone for _, _, _, is_stone in covered):
            return  # they made room for others, or were acknowledged, since whoever asks has seen them
        # tombstones at both ends stay whole; of records there, what is beyond stays
        begin, is_stone = covered[0][0], covered[0][3]
        first = begin if is_stone else first
        until, is_stone = covered[-1][1], covered[-1][3]
        last = until if is_stone else min(last, until)
        freed = sum(size for _, _, size, _ in covered)
        if until > last:
            (run,) = self._database.runs(state.number, last, last)
            rest = part(run.payload, run.last - run.first + 1, last + 1 - run.first, run.last + 1 - run.first)
            self._database.add(replace(run, first=last + 1, payload=rest))
            freed -= len(rest)
        if begin < first:
            (run,) = self._database.runs(state.number, begin, begin)
            rest = part(run.payload, run.last - run.first + 1, 0, first - run.first)
            self._database.add(replace(run, last=first - 1, payload=rest))
            freed -= len(rest)
        self._database.remove(state.number, first, last)
        self._database.add(Run(state.number, first, last, state.oldest_us, b"", reason))
        self._database.note_cameras(self._books.cameras)
        gone = sum(
            min(until, last) - max(begin - 1, first - 1, state.acked)
            for begin, until, _, is_stone in covered
            if not is_stone
        )
        self._books.dropped += gone
        self._books.streams[name] = replace(state, records=state.records - gone, bytes=state.bytes - freed)

    def _read(self, stream: str, after: int, limit: int, limit_bytes: int) -> list[tuple[int, Record]]:
        state = self._books.streams.get(stream, StreamState(0, "frames"))
        items: list[tuple[int, bytes | Tombstone]] = []
        size, after = 0, max(after, state.acked)
        expected = after + 1
        for seq, item in self._waiting(state.number, after):
            if seq != expected:
                raise SpoolLostError(f"the spool {self._path} misses records {expected}..{seq - 1} of stream {stream}")
            expected = item.last + 1 if isinstance(item, Tombstone) else seq + 1
            size += len(item) if isinstance(item, bytes) else 0
            if items and (len(items) == limit or size > limit_bytes):
                break
            items.append((seq, item))
        decoded = iter(decode_records([item for _, item in items if isinstance(item, bytes)]))
        found: list[tuple[int, Record]] = [
            (seq, item if isinstance(item, Tombstone) else next(decoded) or _unreadable(seq)) for seq, item in items
        ]
        if not found and after < state.last:
            raise SpoolLostError(f"the spool {self._path} misses all records after {after} of stream {stream}")
        for seq, record in found:
            if isinstance(record, Tombstone) and record == _unreadable(seq):
                with suppress(SpoolError), self._transaction():  # it goes out as one in any case
                    self._bury(stream, seq, seq, record.reason)
        return found

    def _waiting(self, number: int, after: int) -> Iterator[tuple[int, bytes | Tombstone]]:
        for run in self._database.runs(number, after + 1):
            first = max(run.first, after + 1)
            if run.reason is not None:
                yield first, Tombstone(first, run.last, run.reason)
                continue
            payloads = unpack(run.payload, run.last - run.first + 1)
            for seq in range(first, run.last + 1):
                yield seq, payloads[seq - run.first] or _unreadable(seq)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or none, in the books too."""
        before = self._books.copy()
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self._books = before
            raise


def _unreadable(seq: int) -> Tombstone:
    return Tombstone(seq, seq, "unreadable in the spool")


def _now_us() -> int:
    return time.time_ns() // 1000


def _encode(records: Sequence[Record]) -> list[tuple[Lane, bytes, Record]]:
    return [(lane_of(record), encode_record(record), record) for record in records]
