"""What was recorded and is not in the lake yet: an SQLite database, the only joint between seeing and sending.

It holds records in streams. A stream has a random id and numbers its records 1, 2, 3 ...; each lane (frames, health)
opens a new one at every start and after an outage, and those of before are only drained. So a database that was
restored or flushed by half can't use a number twice.

Recorded means committed here. Commits are grouped, at most a second apart, because an fsync per frame kills SD cards;
a power cut costs that second at most.
"""

import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from models.errors import SpoolError, WireError
from models.records import Aggregate, Event, FrameResult, Health, PicturePart, Tombstone
from models.wire import decode_record, encode_record

log = logging.getLogger(__name__)

Lane = Literal["frames", "health"]
DROP_ORDER: tuple[Lane, ...] = ("frames", "health")  # what goes first when there is no room

COMMIT_S = 0.9  # with the commit itself, records are at most a second from the disk
LIMIT_BYTES = 256 << 20
_MAX_PENDING = 2_000  # records; whoever records waits when the disk takes no more
_COMMIT_EARLY = 1_000
_MAKE_ROOM = 0.05  # of the limit, at a time
_FORGET_STREAMS_US = 7 * 86_400 * 1_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    stream TEXT NOT NULL,
    seq INTEGER NOT NULL,
    payload BLOB NOT NULL,
    last INTEGER,              -- of a tombstone: it stands for seq..last
    PRIMARY KEY (stream, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams (
    stream TEXT PRIMARY KEY,
    lane TEXT NOT NULL,
    opened_us INTEGER NOT NULL,
    last INTEGER NOT NULL,     -- records 1..last were recorded
    acked INTEGER NOT NULL     -- of these, 1..acked are in the lake
);
CREATE TABLE IF NOT EXISTS cameras (
    camera TEXT PRIMARY KEY,
    source TEXT NOT NULL,      -- of a file camera: the file; else empty
    frame INTEGER NOT NULL     -- number of the last frame recorded
);
"""


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
    """What the spool holds, and what it had to drop since it was opened."""

    records: int
    bytes: int
    dropped: int


@dataclass(frozen=True, slots=True)
class _Pending:
    lane: Lane
    payload: bytes
    camera: str = ""
    frame: int = -1


@dataclass(slots=True)
class _Work:
    """What the next commit writes."""

    records: list[_Pending] = field(default_factory=list)
    acks: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.records or self.acks)


@dataclass(frozen=True, slots=True)
class _State:
    lane: Lane
    last: int = 0
    acked: int = 0


@dataclass(slots=True)
class _Books:
    """What the database holds, so that asking costs no query. Copied before a transaction, put back if it fails."""

    streams: dict[str, _State]
    live: dict[Lane, str] = field(default_factory=dict)
    records: int = 0
    bytes: int = 0
    dropped: int = 0

    def copy(self) -> "_Books":
        return replace(self, streams=dict(self.streams), live=dict(self.live))


class Spool:
    """One writer to a database. Any thread may call any method; commits happen on a thread of the spool's own."""

    def __init__(self, path: Path, *, limit_bytes: int = LIMIT_BYTES, commit_s: float = COMMIT_S) -> None:
        """Open or make the database; a damaged one is set aside. SpoolError when there can be none."""
        self._path = path
        self._limit_bytes = limit_bytes
        self._commit_s = commit_s
        self._changed = threading.Condition()
        self._database_lock = threading.RLock()
        self._work = _Work()
        self._trouble = ""
        self._closing = False
        self._database = _open(path)
        self._books = _Books({})
        self._books = self._load()
        self._thread = threading.Thread(target=self._commit_now_and_then, name="spool", daemon=True)
        self._thread.start()

    def append(self, record: FrameResult | Health | Event | Aggregate | PicturePart) -> None:
        """Record this; on disk within a second. A frame waits while the disk takes nothing."""
        pending = (
            _Pending("frames", encode_record(record), record.camera, record.frame)
            if isinstance(record, FrameResult)
            else _Pending("health", encode_record(record))
        )
        with self._changed:
            if pending.camera:
                self._changed.wait_for(lambda: len(self._work.records) < _MAX_PENDING or self._closing)
            self._work.records.append(pending)
            if len(self._work.records) in (1, _COMMIT_EARLY):  # waking the other thread for each frame costs more
                self._changed.notify_all()

    def flush(self) -> None:
        """What was appended or acknowledged before is on disk when this returns; SpoolError if it can't be."""
        self._commit()

    def last_frame(self, camera: str, *, source: str = "") -> int:
        """Number of the camera's last recorded frame, -1 if none. A file camera names its file as `source`."""
        with self._database_lock, self._transaction() as database:
            row = database.execute("SELECT source, frame FROM cameras WHERE camera = ?", (camera,)).fetchone()
            known, frame = row or ("", -1)
            if source and known and known != source:
                raise SpoolError(
                    f"camera {camera!r} has frames of {known} in {self._path}, so frames of {source} would carry the "
                    f"same numbers; give the camera another name, or the gateway another state folder"
                )
            if source != known:
                database.execute("INSERT OR REPLACE INTO cameras VALUES (?, ?, ?)", (camera, source or known, frame))
            return int(frame)

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

    def read(self, stream: str, *, after: int, limit: int) -> list[tuple[int, bytes]]:
        """The stream's next records (seq, encoded), at most `limit`. Tombstones count as one."""
        try:
            with self._database_lock:
                rows = self._database.execute(
                    "SELECT seq, payload, last FROM records WHERE stream = ? AND coalesce(last, seq) > ? "
                    "ORDER BY seq LIMIT ?",
                    (stream, after, limit),
                ).fetchall()
        except sqlite3.Error as exc:
            raise SpoolError(f"the spool {self._path} cannot be read: {exc}") from exc
        return [
            (seq, payload) if seq > after else (after + 1, _shorten(payload, after + 1, last))
            for seq, payload, last in rows
        ]

    def acknowledge(self, stream: str, last: int) -> None:
        """Records 1..last of the stream are in the lake: forget them, with the next commit."""
        with self._changed:
            self._work.acks[stream] = max(last, self._work.acks.get(stream, 0))
            self._changed.notify_all()

    def bury(self, stream: str, first: int, last: int, reason: str) -> None:
        """Put a tombstone in the place of records first..last, which can't be sent."""
        with self._database_lock, self._transaction():
            self._bury(stream, first, last, reason)

    def turn(self) -> None:
        """Let what is recorded from now on go into new streams, beside the backlog."""
        with self._database_lock:
            self._books.live.clear()

    @property
    def depth(self) -> Depth:
        with self._database_lock:
            return Depth(self._books.records, self._books.bytes, self._books.dropped)

    @property
    def trouble(self) -> str:
        """Why the last commit failed; empty when it did not."""
        return self._trouble

    def close(self) -> None:
        """Commit what is left and close; SpoolError if it can't be written."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        try:
            self._commit()
        finally:
            with self._database_lock:
                self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load(self) -> _Books:
        with self._transaction() as database:
            database.execute(
                "DELETE FROM streams WHERE acked = last AND opened_us < ?", (_now_us() - _FORGET_STREAMS_US,)
            )
            rows = database.execute("SELECT stream, lane, last, acked FROM streams ORDER BY opened_us, stream")
            streams = {name: _State(lane, last, acked) for name, lane, last, acked in rows}
            records, size = database.execute(
                "SELECT count(*), coalesce(sum(length(payload)), 0) FROM records"
            ).fetchone()
        return _Books(streams, records=records, bytes=size)

    def _commit_now_and_then(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._work or self._closing)
                # the group: all that comes until then shares one fsync
                self._changed.wait_for(
                    lambda: self._closing or len(self._work.records) >= _COMMIT_EARLY, timeout=self._commit_s
                )
                if self._closing:
                    return
            try:
                self._commit()
            except SpoolError as exc:
                self._say_trouble(str(exc))
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, timeout=self._commit_s)
            else:
                self._say_trouble("")

    def _say_trouble(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.error("%s; trying again, and recording waits meanwhile", trouble)
        if self._trouble and not trouble:
            log.info("the spool can be written again")
        self._trouble = trouble

    def _commit(self) -> None:
        with self._database_lock:
            with self._changed:
                work, self._work = self._work, _Work()
            if not work:
                return
            try:
                with self._transaction():
                    # first: an acknowledgement can't mean what was recorded after it
                    for stream, last in work.acks.items():
                        self._forget(stream, last)
                    self._write_records(work.records)
                    self._make_room()
            except SpoolError:
                with self._changed:
                    self._work.records[:0] = work.records
                    for stream, last in work.acks.items():
                        self._work.acks[stream] = max(last, self._work.acks.get(stream, 0))
                raise
            finally:
                with self._changed:
                    self._changed.notify_all()

    def _write_records(self, records: list[_Pending]) -> None:
        books, database = self._books, self._database
        cameras: dict[str, int] = {}
        for record in records:
            name = books.live.get(record.lane) or self._open_stream(record.lane)
            seq = books.streams[name].last + 1
            database.execute("INSERT INTO records (stream, seq, payload) VALUES (?, ?, ?)", (name, seq, record.payload))
            books.streams[name] = replace(books.streams[name], last=seq)
            books.records += 1
            books.bytes += len(record.payload)
            if record.camera:
                cameras[record.camera] = record.frame
        for name in books.live.values():
            database.execute("UPDATE streams SET last = ? WHERE stream = ?", (books.streams[name].last, name))
        for camera, frame in cameras.items():
            database.execute(
                "INSERT INTO cameras VALUES (?, '', ?) ON CONFLICT (camera) DO UPDATE SET frame = excluded.frame",
                (camera, frame),
            )

    def _open_stream(self, lane: Lane) -> str:
        name = secrets.token_hex(8)
        self._database.execute("INSERT INTO streams VALUES (?, ?, ?, 0, 0)", (name, lane, _now_us()))
        self._books.streams[name] = _State(lane)
        self._books.live[lane] = name
        return name

    def _forget(self, stream: str, last: int) -> None:
        state = self._books.streams.get(stream)
        if state is None or last <= state.acked:
            return
        last = min(last, state.last)
        # a tombstone that the acknowledgement ends in the middle of: what is left of it moves up
        cut = self._database.execute(
            "SELECT seq, payload, last FROM records WHERE stream = ? AND seq <= ? AND last > ?", (stream, last, last)
        ).fetchone()
        self._delete("stream = ? AND coalesce(last, seq) <= ?", stream, last)
        if cut is not None:
            self._database.execute(
                "UPDATE records SET seq = ?, payload = ? WHERE stream = ? AND seq = ?",
                (last + 1, _shorten(cut[1], last + 1, cut[2]), stream, cut[0]),
            )
        self._database.execute("UPDATE streams SET acked = ? WHERE stream = ?", (last, stream))
        self._books.streams[stream] = replace(state, acked=last)

    def _make_room(self) -> None:
        for lane in DROP_ORDER:
            for name, state in self._books.streams.items():
                excess = self._books.bytes - self._limit_bytes
                if excess > 0 and state.lane == lane and state.acked < state.last:
                    self._drop_oldest(name, excess + int(self._limit_bytes * _MAKE_ROOM))

    def _drop_oldest(self, stream: str, excess: int) -> None:
        first = last = freed = 0
        rows = self._database.execute(
            "SELECT seq, coalesce(last, seq), length(payload) FROM records WHERE stream = ? ORDER BY seq", (stream,)
        )
        for seq, until, size in rows:
            first, last, freed = first or seq, until, freed + size
            if freed >= excess:
                break
        rows.close()
        self._bury(stream, first, last, "no room in the spool")

    def _bury(self, stream: str, first: int, last: int, reason: str) -> None:
        dropped, until = self._database.execute(
            "SELECT sum(last IS NULL), max(coalesce(last, seq)) FROM records WHERE stream = ? AND seq BETWEEN ? AND ?",
            (stream, first, last),
        ).fetchone()
        if until is None:
            return  # they made room for others, or were acknowledged, since whoever asks has seen them
        last = max(last, until)  # a tombstone at the end stays whole
        payload = encode_record(Tombstone(first, last, reason))
        (before,) = self._database.execute(
            "SELECT length(payload) FROM records WHERE stream = ? AND seq = ?", (stream, first)
        ).fetchone()
        # an UPDATE of the first row, not a new one: whoever counts what was recorded counts INSERTs
        self._database.execute(
            "UPDATE records SET payload = ?, last = ? WHERE stream = ? AND seq = ?", (payload, last, stream, first)
        )
        self._delete("stream = ? AND seq > ? AND seq <= ?", stream, first, last)
        self._books.dropped += dropped
        self._books.bytes += len(payload) - before

    def _delete(self, where: str, *values: str | int) -> None:
        records, size = self._database.execute(
            f"SELECT count(*), coalesce(sum(length(payload)), 0) FROM records WHERE {where}", values
        ).fetchone()
        self._database.execute(f"DELETE FROM records WHERE {where}", values)
        self._books.records -= records
        self._books.bytes -= size

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or none, in the books too; sqlite3's errors leave as SpoolError."""
        before = self._books.copy()
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                self._books = before
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as exc:
            raise SpoolError(f"the spool {self._path} cannot be written: {exc}") from exc


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.OperationalError as exc:
        raise SpoolError(
            f"the spool {path} cannot be opened: {exc}; is its folder writable, and the disk not full?"
        ) from exc
    except sqlite3.DatabaseError as exc:
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        log.error("the spool %s is damaged (%s): set aside as %s, starting an empty one", path, exc, aside.name)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA cache_size = -1024")  # KiB
        database.execute("PRAGMA journal_size_limit = 4194304")
        database.executescript(_SCHEMA)
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except BaseException:
        database.close()
        raise
    return database


def _shorten(tombstone: bytes, first: int, last: int) -> bytes:
    try:
        record = decode_record(tombstone)
    except WireError:
        return encode_record(Tombstone(first, last, "unreadable in the spool"))
    assert isinstance(record, Tombstone)
    return encode_record(Tombstone(first, record.last, record.reason))


def _now_us() -> int:
    return time.time_ns() // 1000
