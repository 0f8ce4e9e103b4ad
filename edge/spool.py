"""What was recorded and is not in the lake yet: a database, the only joint between seeing and sending.

It holds records in streams. A stream has a random id and numbers its records 1, 2, 3 ...; each lane opens a new one at
every start and after an outage, and those of before are only drained. So a database that was restored or flushed by
half can't use a number twice.

Recorded means committed here. Commits are grouped, at most a second apart, because an fsync per frame kills SD cards;
a power cut costs that second at most. An alarm is committed at once.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.backoff import delays
from edge.lanes import LANES, Lane, lane_of
from edge.spool_books import MAX_PENDING_BYTES, Work
from edge.spool_database import DiskFullError
from edge.spool_rescue import takes_writes
from edge.spool_streams import Streams
from models.errors import SpoolError
from models.records import FrameResult, Record
from models.wire import encode_record

log = logging.getLogger(__name__)

COMMIT_S = 0.9  # with the commit itself, records are at most a second from the disk
LIMIT_BYTES = 256 << 20
HANGS_S = 3.0  # for so long a disk may be at one thing before whoever leaves waits for it no longer
_MAX_PENDING = 2_000  # records, and below that many bytes; whoever records waits when the disk takes no more
_FILLING = 0.5  # of the limit: from there on frames are told apart into wanted most and least
_THIN_WHEN_FILLING = 8
_RETRY_S = 10.0
_RETURN_S = (60.0, 3_600.0)  # between two looks whether a disk that was gone takes writes again
_APART_S = 0.05  # the least between two commits
_LOOK_S = 0.1


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
    """One writer to a database. Any thread may call any method; commits happen on a thread of the spool's own, or of
    who flushes.

    A database that is damaged, at the start or while it runs, is replaced by a new one with all that can still be
    read; when the disk takes nothing any more, by one in memory, until it does again. `urgent` is set whenever an alarm
    was committed; whoever sends clears it.

    A disk may hang: only `append` (when very much waits already), `flush`, `thin`, `turn`, `bury`, `read` and
    `last_frame` wait for it without an end.
    """

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES, commit_s: float = COMMIT_S) -> None:
        """SpoolError when there can be no database."""
        self.urgent = threading.Event()
        self._path = path
        self._commit_s = commit_s
        self._changed = threading.Condition()
        self._database_lock = threading.Lock()
        self._busy_since: float | None = None  # at the database
        self._work = Work()
        self._under_way = Work()  # what is being committed
        self._recorders_wait = 0
        self._asked = self._answered = 0  # commits that somebody waits for
        self._trouble = ""
        self._asked_thin = self._thin = 1
        self._frames_seen: dict[str, int] = {}
        self._closing = threading.Event()
        self._closed = False
        self._left_undone: SpoolError | None = None
        self._patient = True
        self._disk_answers = False
        self._returns = delays(*_RETURN_S)
        self._streams = Streams(path, limit_bytes=limit_bytes)
        self._books = self._streams.books
        self._looks_for_disk = False
        self._look_for_disk()
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
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

    def hasten(self, *, wait_s: float) -> None:
        """Commit now, and wait for that at most so long, whatever the disk does."""
        with self._changed:
            if self._hangs_s() or not (self._work or self._under_way):
                return
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered >= mine, timeout=wait_s)

    def thin(self, keep: int) -> None:
        """From now on only one in `keep` frames of a camera goes into lane `frames`, the others into `spare`, which
        is sent last and dropped first. A spool that fills does so by itself."""
        with self._at_the_database() as streams:
            if keep > self._asked_thin:
                streams.turn(["frames"])  # so that those chosen do not wait behind all the others
            with self._changed:
                self._asked_thin = keep
                self._choose_thin()

    def last_frame(self, camera: str, *, source: str = "") -> int:
        """Number of the camera's last recorded frame, -1 if none. A file camera names its file as `source`."""
        with self._at_the_database() as streams:
            return streams.last_frame(camera, source=source)

    def streams(self) -> list[Stream]:
        """The streams with records that wait, oldest first."""
        with self._changed:
            live = set(self._books.live.values())
            acked = [self._under_way.acks, self._work.acks]
            waiting = [
                Stream(
                    name, state.lane, max(state.acked, *(acks.get(name, 0) for acks in acked)), state.last, name in live
                )
                for name, state in self._books.streams.items()
                if state.acked < state.last
            ]
        return [stream for stream in waiting if stream.acked < stream.last]

    def last_recorded(self, stream: str) -> int:
        """The stream's last seq, 0 for a stream that is none of ours."""
        books = self._books
        return books.streams[stream].last if stream in books.streams else 0

    def is_live(self, stream: str) -> bool:
        """Whether records still join it."""
        return stream in self._books.live.values()

    def read(self, stream: str, *, after: int, limit: int, limit_bytes: int = 1 << 30) -> list[tuple[int, Record]]:
        """The stream's next records with their numbers: at most `limit`, or `limit_bytes` as recorded, but at least
        one. Tombstones count as one, and stand for what was damaged, too."""
        with self._at_the_database() as streams:
            return streams.read(stream, after=after, limit=limit, limit_bytes=limit_bytes)

    def acknowledge(self, stream: str, last: int) -> None:
        """Records 1..last of the stream are in the lake: forget them, with the next commit."""
        with self._changed:
            self._work.acks[stream] = max(last, self._work.acks.get(stream, 0))

    def bury(self, stream: str, first: int, last: int, reason: str) -> None:
        """Put a tombstone in the place of records first..last, which can't be sent, and of the rest of a picture that
        they are a part of."""
        with self._at_the_database() as streams:
            streams.bury(stream, first, last, reason)

    def turn(self, lanes: Collection[Lane] = LANES) -> None:
        """Let what is recorded from now on in these lanes go into new streams, beside the backlog."""
        with self._at_the_database() as streams:
            streams.turn(lanes)

    def spend(self, period: str, size: int) -> None:
        """Count bytes that were sent in a period of the byte budget; on disk with the next commit."""
        with self._changed:
            self._work.spent[period] = self._work.spent.get(period, 0) + size

    def spent(self, period: str) -> int:
        """Bytes counted in that period, before the last restart too."""
        with self._changed:
            counted = (self._books.spent, self._under_way.spent, self._work.spent)
            return sum(spent.get(period, 0) for spent in counted)

    @property
    def depth(self) -> Depth:
        books = self._books
        oldest = [state.oldest_us for state in books.streams.values() if state.acked < state.last]
        age_s = max(0.0, (time.time_ns() // 1000 - min(oldest)) / 1e6) if oldest else 0.0
        return Depth(books.records, books.bytes, books.dropped, age_s)

    @property
    def trouble(self) -> str:
        """Why the last commit failed, that the disk hangs, or is gone; empty when all is well."""
        if hangs_s := self._hangs_s():
            return f"the disk of the spool {self._path} has not answered for {hangs_s:.0f} s"
        return self._trouble or self._streams.disk_gone

    def incidents(self) -> list[str]:
        """What had to be done to the database since the last call, each told once."""
        incidents = self._streams.incidents
        return [incidents.popleft() for _ in range(len(incidents))]

    def close(self) -> None:
        """Commit what is left and close; SpoolError if it can't be written, or the disk hangs: then that is left as it
        is. Whoever asks for anything of the database after that gets a SpoolError."""
        with self._changed:
            self._closing.set()
            self._patient = False
            self._changed.notify_all()
        while self._thread.is_alive() and not self._hangs_s():
            self._thread.join(_LOOK_S)
        if self._thread.is_alive():
            raise SpoolError(f"{self.trouble}; left without it: {self._unwritten()}")
        if self._left_undone is not None:
            raise self._left_undone

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

    def _acked(self, stream: str, on_disk: int) -> int:
        return max(on_disk, self._under_way.acks.get(stream, 0), self._work.acks.get(stream, 0))

    def _takes_more(self) -> bool:
        return not self._patient or (self._work.count < _MAX_PENDING and self._work.size < MAX_PENDING_BYTES)

    def _frame_lane(self, camera: str) -> Lane:
        if self._thin == 1:
            return "frames"
        seen = self._frames_seen[camera] = self._frames_seen.get(camera, -1) + 1
        return "spare" if seen % self._thin else "frames"

    def _choose_thin(self) -> None:
        filling = self._streams.filled > _FILLING
        self._thin = max(self._asked_thin, _THIN_WHEN_FILLING if filling else 1)

    def _run(self) -> None:
        """Commit now and then, until the spool is closed."""
        retries = delays(self._commit_s, _RETRY_S)
        while True:
            with self._changed:
                # all that comes until then shares one fsync; to be woken by the first of it would cost more than it
                self._changed.wait_for(self._is_wanted, timeout=self._commit_s)
                asked = self._asked
            if self._closing.is_set():
                self._leave()
                return
            if self._disk_answers:
                self._return_to_disk()
            try:
                self._commit()
            except SpoolError as exc:
                self._say_trouble(str(exc))
                pause_s = next(retries)
            else:
                self._say_trouble("")
                retries, pause_s = delays(self._commit_s, _RETRY_S), _APART_S
            with self._changed:
                if asked > self._answered:
                    self._answered = asked
                    self._changed.notify_all()
                # a storm of alarms must not be a storm of fsyncs
                self._changed.wait_for(lambda: self._is_hastened or self._work.is_large, timeout=pause_s)

    @property
    def _is_hastened(self) -> bool:
        return self._closing.is_set() or self._asked > self._answered

    def _is_wanted(self) -> bool:
        return self._is_hastened or self._work.is_urgent or self._disk_answers

    def _say_trouble(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.error("%s; trying again, and recording waits meanwhile", trouble)
        if self._trouble and not trouble:
            log.info("the spool can be written again")
        self._trouble = trouble

    def _commit(self) -> None:
        with self._changed:
            if not (self._work or self._under_way):
                return
        with self._at_the_database() as streams:
            with self._changed:
                work, self._work = self._work, Work()
                self._under_way = work
            if not work:
                return
            try:
                streams.write(work)
            except SpoolError as exc:
                if isinstance(exc, DiskFullError) and work.acks:
                    work = streams.write_acks(work)
                with self._changed:
                    self._work = work.followed_by(self._work)
                raise
            finally:
                with self._changed:
                    self._books, self._under_way = streams.books, Work()
                    self._choose_thin()
                    if self._recorders_wait:  # waking the other thread for nothing is a good part of a commit
                        self._changed.notify_all()
            if "alarms" in work.records:
                self.urgent.set()

    @contextmanager
    def _at_the_database(self) -> Iterator[Streams]:
        """One thread at a time, which `trouble` looks at."""
        with self._database_lock:
            if self._closed:  # by whoever did not wait for this thread; what can't be read is not lost
                raise SpoolError(f"the spool {self._path} is closed")
            self._busy_since = time.monotonic()
            try:
                yield self._streams
            finally:
                with self._changed:
                    self._books = self._streams.books
                self._busy_since = None
                self._look_for_disk()

    def _hangs_s(self) -> float:
        """For how long the disk has been at one thing; 0 if that is not too long."""
        since = self._busy_since
        busy_s = 0.0 if since is None else time.monotonic() - since
        return busy_s if busy_s > HANGS_S else 0.0

    def _look_for_disk(self) -> None:
        """When results wait in memory, look now and then whether they need to."""
        if self._streams.disk_gone and not (self._looks_for_disk or self._disk_answers or self._closing.is_set()):
            self._looks_for_disk = True
            # on a thread of its own: what a dead disk is asked may never be answered
            threading.Thread(target=self._wait_for_disk, name="spool-disk", daemon=True).start()

    def _wait_for_disk(self) -> None:
        while not self._closing.wait(next(self._returns)):
            if takes_writes(self._path):
                with self._changed:
                    self._disk_answers = True
                    self._changed.notify_all()
                break
        self._looks_for_disk = False

    def _return_to_disk(self) -> None:
        with self._at_the_database() as streams:
            self._disk_answers = False
            if streams.disk_gone:
                try:
                    streams.return_to_disk()
                except (SpoolError, OSError) as exc:
                    log.warning("results go on waiting in memory: %s", exc)

    def _leave(self) -> None:
        self._return_to_disk()
        try:
            self._commit()
            lost, why = self._books.records, self._streams.disk_gone
            if why and lost:
                raise SpoolError(f"{lost} records were in memory only and are lost: {why}")
        except SpoolError as exc:
            self._left_undone = exc
        with self._at_the_database() as streams:
            streams.close()
            self._closed = True

    def _unwritten(self) -> str:
        with self._changed:
            unwritten = self._work.count + self._under_way.count
        waiting = sum(stream.last - stream.acked for stream in self.streams())
        return f"{unwritten} records are not written, {waiting} wait for the next start"


def _encode(records: Sequence[Record]) -> list[tuple[Lane, bytes, Record]]:
    return [(lane_of(record), encode_record(record), record) for record in records]
