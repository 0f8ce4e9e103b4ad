"""The spool's SQLite file: runs of records by stream, what it takes to go on after a start, and how to get out of it
what can still be read when it is damaged."""

import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.lanes import LANES, Lane
from models.durable import sync_folder
from models.errors import SpoolError

log = logging.getLogger(__name__)

_MAX_SEQ = 1 << 40
_VERSION = 2
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_KEPT_PERIODS = 4
_RESCUE = ".rescue"
_FILES = ("", "-wal", "-shm")
_COLUMNS = "key, last, at_us, reason, cameras, payload"
_LOST = "lost in a damaged spool"

# One b-tree, and in it each stream's records side by side: a commit writes a page or two, and what is acknowledged
# lies on pages that become free as a whole.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (
    key INTEGER PRIMARY KEY,   -- stream << 40 | first
    last INTEGER NOT NULL,     -- records first..last of the stream
    at_us INTEGER NOT NULL,    -- when they were recorded, by the wall clock
    reason TEXT,               -- of a tombstone: why they are gone
    cameras TEXT,              -- every camera's last frame by then
    payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS streams (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    lane TEXT NOT NULL,
    opened_us INTEGER NOT NULL,
    last INTEGER NOT NULL,     -- records 1..last were recorded, and those in `runs`
    acked INTEGER NOT NULL     -- of these, 1..acked are in the lake
);
CREATE TABLE IF NOT EXISTS cameras (
    camera TEXT PRIMARY KEY,
    source TEXT NOT NULL,      -- of a file camera: the file; else empty
    frame INTEGER NOT NULL     -- number of the last frame recorded when a run last left, and those in `runs`
);
CREATE TABLE IF NOT EXISTS spent (
    period TEXT PRIMARY KEY,   -- of the byte budget
    bytes INTEGER NOT NULL
);
PRAGMA user_version = {_VERSION};
"""


class SpoolLostError(SpoolError):
    """The file is damaged, gone or out of reach: trying again heals nothing."""


class DiskFailingError(SpoolError):
    """The disk reports errors; trying again helps once or twice."""


class DiskFullError(SpoolError):
    """There is no room on the disk; some may come back."""


@dataclass(frozen=True, slots=True)
class Run:
    """Records first..last of a stream: encoded, or a tombstone with its `reason`."""

    stream: int
    first: int
    last: int
    at_us: int
    payload: bytes
    reason: str | None = None
    cameras: str | None = None


@dataclass(frozen=True, slots=True)
class StreamState:
    """A stream: 1..last were recorded, of these 1..acked are in the lake. The others weigh `bytes` and the oldest was
    recorded at `oldest_us` (0: there is none); `records` of them are no tombstones."""

    number: int
    lane: Lane
    opened_us: int = 0
    last: int = 0
    acked: int = 0
    records: int = 0
    bytes: int = 0
    oldest_us: int = 0


class SpoolDatabase:
    """An open file. One thread at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._file = _identity(path)

    @classmethod
    def in_memory(cls, path: Path) -> "SpoolDatabase":
        """An empty one without a file, in the place of that at `path`."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.executescript(_SCHEMA)
        database = cls(connection, path)
        database._file = None
        return database

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or none."""
        with self._errors("written"):
            if self._file is not None and _identity(self._path) != self._file:
                # SQLite goes on writing to what nobody will find again
                raise SpoolLostError(f"the spool {self._path} was deleted or replaced by another file")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def add_stream(self, name: str, state: StreamState) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?, ?)",
            (state.number, name, state.lane, state.opened_us, state.last, state.acked),
        )

    def add(self, run: Run) -> None:
        self._connection.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)",
            (_key(run.stream, run.first), run.last, run.at_us, run.reason, run.cameras, run.payload),
        )

    def shorten(self, run: Run, last: int, payload: bytes) -> None:
        """Let a run end earlier."""
        key = _key(run.stream, run.first)
        self._connection.execute("UPDATE runs SET last = ?, payload = ? WHERE key = ?", (last, payload, key))

    def remove(self, stream: int, first: int, last: int) -> None:
        """Remove the runs that begin within first..last."""
        self._connection.execute(
            "DELETE FROM runs WHERE key BETWEEN ? AND ?", (_key(stream, first), _key(stream, last))
        )

    def runs(self, stream: int, first: int, last: int = _MAX_SEQ - 1) -> Iterator[Run]:
        """Those with a record in first..last, in order. SpoolError when they can't be read."""
        with self._errors("read"):
            before = self._connection.execute(
                "SELECT max(key) FROM runs WHERE key BETWEEN ? AND ?", (_key(stream, 0), _key(stream, first))
            ).fetchone()[0]
            cursor = self._connection.execute(
                f"SELECT {_COLUMNS} FROM runs WHERE key BETWEEN ? AND ? ORDER BY key",
                (_key(stream, first) if before is None else before, _key(stream, last)),
            )
            for row in cursor:
                run = _run(row)
                if run.last >= first:
                    yield run

    def sizes(self, stream: int, last: int = _MAX_SEQ - 1) -> Iterator[tuple[int, int, int, bool]]:
        """first, last, bytes and whether it is a tombstone, of the stream's runs that begin at or before `last`."""
        with self._errors("read"):
            cursor = self._connection.execute(
                "SELECT key, last, length(payload), reason IS NOT NULL FROM runs "
                "WHERE key BETWEEN ? AND ? ORDER BY key",
                (_key(stream, 0), _key(stream, last)),
            )
            for key, until, size, is_stone in cursor:
                yield key % _MAX_SEQ, until, size, bool(is_stone)

    def forget(self, stream: int, acked: int, last: int) -> int:
        """Note that 1..acked of 1..last are in the lake, drop runs of nothing else; when the oldest run left was
        recorded, 0 if none is left."""
        begin, end = _key(stream, 0), _key(stream, acked)
        self._connection.execute("DELETE FROM runs WHERE key BETWEEN ? AND ? AND last <= ?", (begin, end, acked))
        self._connection.execute("UPDATE streams SET acked = ?, last = ? WHERE number = ?", (acked, last, stream))
        return self.oldest_us(stream)

    def oldest_us(self, stream: int) -> int:
        row = self._connection.execute(
            "SELECT at_us FROM runs WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
            (_key(stream, 0), _key(stream, _MAX_SEQ - 1)),
        ).fetchone()
        return int(row[0]) if row else 0

    def streams(self) -> dict[str, StreamState]:
        """All streams by name, in the order in which they were opened."""
        with self._errors("read"):
            rows = self._connection.execute("SELECT * FROM streams ORDER BY number").fetchall()
            return {name: self._state(number, lane, *rest) for number, name, lane, *rest in rows}

    def drop_streams(self, numbers: Sequence[int]) -> None:
        self._connection.executemany("DELETE FROM streams WHERE number = ?", [(number,) for number in numbers])

    def cameras(self) -> dict[str, tuple[str, int]]:
        """Each camera's source and last recorded frame."""
        with self._errors("read"):
            known = {
                camera: (source, frame)
                for camera, source, frame in self._connection.execute("SELECT camera, source, frame FROM cameras")
            }
            newest = self._connection.execute(
                "SELECT (SELECT cameras FROM runs WHERE key BETWEEN number << 40 AND (number + 1 << 40) - 1 "
                "AND cameras IS NOT NULL ORDER BY key DESC LIMIT 1) FROM streams"
            ).fetchall()
        for (cameras,) in newest:
            for camera, frame in (_frames(cameras) if cameras else {}).items():
                source, before = known.get(camera, ("", -1))
                known[camera] = source, max(before, frame)
        return known

    def note_cameras(self, cameras: Mapping[str, tuple[str, int]]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO cameras VALUES (?, ?, ?)",
            [(camera, source, frame) for camera, (source, frame) in cameras.items()],
        )

    def spent(self) -> dict[str, int]:
        """Bytes by period of the budget."""
        with self._errors("read"):
            return dict(self._connection.execute("SELECT period, bytes FROM spent ORDER BY rowid").fetchall())

    def note_spent(self, period: str, total: int) -> None:
        self._connection.execute("DELETE FROM spent WHERE period = ?", (period,))
        self._connection.execute("INSERT INTO spent VALUES (?, ?)", (period, total))
        self._connection.execute(
            f"DELETE FROM spent WHERE rowid NOT IN (SELECT rowid FROM spent ORDER BY rowid DESC LIMIT {_KEPT_PERIODS})"
        )

    def checkpoint(self) -> None:
        """Make the log's room usable again, as far as there is a disk to do it on."""
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)")

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    def _state(self, number: int, lane: Lane, opened_us: int, last: int, acked: int) -> StreamState:
        begin, end = _key(number, 0), _key(number, _MAX_SEQ - 1)
        records, size, until, oldest_us = self._connection.execute(
            "SELECT coalesce(sum(CASE WHEN reason IS NULL THEN last - max(key % ?, ?) + 1 END), 0), "
            "coalesce(sum(length(payload)), 0), coalesce(max(last), 0), coalesce(min(at_us), 0) "
            "FROM runs WHERE key BETWEEN ? AND ?",
            (_MAX_SEQ, acked + 1, begin, end),
        ).fetchone()
        return StreamState(number, lane, opened_us, max(last, acked, until), acked, records, size, oldest_us)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        """sqlite3's errors leave as SpoolError."""
        try:
            yield
        except sqlite3.Error as exc:
            raise _converted(exc, f"the spool {self._path} cannot be {done}: {exc}") from exc


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database, what had to be done to it first, for a person to read (empty: nothing), and how many records
    that are known to have been there could not be saved."""

    database: SpoolDatabase
    incident: str = ""
    lost: int = 0


def open_database(path: Path) -> Opened:
    """Open it, or make it; of a damaged one, all that can be read goes into a new one. SpoolError when there can be
    none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _finish_rescue(path)
        return Opened(SpoolDatabase(_connect(path), path))
    except (sqlite3.Error, OSError) as exc:
        if isinstance(exc, OSError) or _code(exc) not in _DAMAGE:
            raise SpoolError(
                f"the spool {path} cannot be opened: {exc}; is its folder writable, and the disk not full?"
            ) from exc
        return rescue(path, str(exc))


def rescue(
    path: Path, why: str, *, known: Mapping[str, StreamState] | None = None, old: SpoolDatabase | None = None
) -> Opened:
    """A new database in the place of a damaged one, which is set aside, with all that can still be read there;
    tombstones stand for what can't. `known`: streams that the damaged one is known to hold. `old`, where it is still
    open, is closed. SpoolError when there can be no new one."""
    aside = path.with_name(f"{path.name}.damaged")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(_rescue_path(path))
        fresh = SpoolDatabase(_connect(_rescue_path(path)), _rescue_path(path))
        try:
            saved, lost = _copy(path, fresh, known or {}, old)
        finally:
            fresh.close()
        if old is not None:
            old.close()
        _move(path, aside)  # only the latest is kept, or they would fill the disk
        _finish_rescue(path)
        database = SpoolDatabase(_connect(path), path)
    except (sqlite3.Error, SpoolError, OSError) as exc:
        raise SpoolError(f"the spool {path} is damaged ({why}), and no new one can be made: {exc}") from exc
    incident = (
        f"the spool {path} was damaged ({why}): {saved} records saved, at least {lost} lost; set aside as {aside.name}"
    )
    log.error("%s", incident)
    return Opened(database, incident, lost)


def in_memory(path: Path, why: str, *, known: Mapping[str, StreamState], old: SpoolDatabase) -> Opened:
    """A database without a disk, with what can still be read in the `old` one, which is closed."""
    database = SpoolDatabase.in_memory(path)
    saved, lost = _copy(path, database, known, old)
    old.close()
    incident = (
        f"results wait in memory only, since the disk of the spool {path} takes nothing: replace it and restart; "
        f"{saved} records saved, at least {lost} lost ({why})"
    )
    log.error("%s", incident)
    return Opened(database, incident, lost)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        database.execute(
            "PRAGMA page_size = 2048"
        )  # a second's frames fill a third of it: less is written than with 4096
        database.execute("PRAGMA wal_autocheckpoint = 2000")
        # before WAL, whose index is in our memory then. A shared one is a mapped file: whoever writes to it when the
        # card has turned read-only is killed by SIGBUS
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA cache_size = -256")  # KiB
        database.execute("PRAGMA journal_size_limit = 4194304")
        database.execute("PRAGMA secure_delete = OFF")  # Debian's overwrites what is deleted, which wears the card
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(" ".join(verdict.split()))
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
        if version != (_VERSION if tables else 0):
            raise sqlite3.DatabaseError(f"format {version} is not known to this tidegate, which writes {_VERSION}")
        if not tables:  # or a full disk could not even be opened
            database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _copy(
    path: Path, fresh: SpoolDatabase, known: Mapping[str, StreamState], still_open: SpoolDatabase | None
) -> tuple[int, int]:
    """Copy what can be read; how many records that were, and how many are known to be lost."""
    old = sqlite3.connect(path, isolation_level=None) if still_open is None else still_open._connection
    try:
        streams = dict(known)
        for row in _readable(old, "SELECT number, name, lane, opened_us, last, acked FROM streams"):
            match row:
                case (int(number), str(name), str(lane), int(opened_us), int(last), int(acked)) if lane in LANES:
                    state = StreamState(number, lane, opened_us, max(last, acked), acked)
                    memory = streams.get(name, state)
                    streams[name] = replace(state, last=max(state.last, memory.last), acked=max(acked, memory.acked))
        saved = lost = 0
        for name, stream in streams.items():
            with fresh.transaction():
                got, missed = _copy_stream(old, fresh, stream)
                fresh.add_stream(name, stream)
            saved, lost = saved + got, lost + missed
        with fresh.transaction():
            for row in _readable(old, "SELECT camera, source, frame FROM cameras"):
                match row:
                    case (str(camera), str(source), int(frame)):
                        fresh.note_cameras({camera: (source, frame)})
            for row in _readable(old, "SELECT period, bytes FROM spent"):
                match row:
                    case (str(period), int(total)):
                        fresh.note_spent(period, total)
    finally:
        if still_open is None:
            old.close()
    return saved, lost


def _copy_stream(old: sqlite3.Connection, fresh: SpoolDatabase, stream: StreamState) -> tuple[int, int]:
    """Copy from the front up to the damage, then from the end; tombstones for what lies between."""
    low, high, saved = stream.acked, _MAX_SEQ, 0  # copied are those up to low, and from high on
    for run in _readable_runs(old, stream.number, "ASC"):
        if run.last > low and (run.first > low or low == stream.acked):
            fresh.add(run)
            saved += 0 if run.reason is not None else run.last - max(run.first - 1, low)
            low = run.last
    for run in _readable_runs(old, stream.number, "DESC"):
        if run.first <= low:
            break
        if run.last < high:
            fresh.add(run)
            saved += 0 if run.reason is not None else run.last - run.first + 1
            high = run.first
    lost, expected = 0, stream.acked + 1
    for first, last, _, _ in [*fresh.sizes(stream.number), (stream.last + 1, stream.last, 0, False)]:
        if first > expected:
            fresh.add(Run(stream.number, expected, first - 1, stream.opened_us, b"", _LOST))
            lost += first - expected
        expected = max(expected, last + 1)
    return saved, lost


def _readable_runs(old: sqlite3.Connection, stream: int, order: str) -> Iterator[Run]:
    query = f"SELECT {_COLUMNS} FROM runs WHERE key BETWEEN ? AND ? ORDER BY key {order}"
    for row in _readable(old, query, _key(stream, 0), _key(stream, _MAX_SEQ - 1)):
        match row:
            case (int(key), int(last), int(), str() | None, str() | None, bytes()) if key % _MAX_SEQ <= last < _MAX_SEQ:
                yield _run(row)


def _readable(database: sqlite3.Connection, query: str, *values: int) -> Iterator[tuple[object, ...]]:
    """Rows, as far as they can be read."""
    with suppress(sqlite3.Error):
        yield from database.execute(query, values)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None if it cannot be said."""
    try:
        status = os.stat(path)  # noqa: PTH116  with every commit: Path's takes three times as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _key(stream: int, first: int) -> int:
    return stream * _MAX_SEQ + first


def _run(row: tuple[Any, ...]) -> Run:
    key, last, at_us, reason, cameras, payload = row
    return Run(key // _MAX_SEQ, key % _MAX_SEQ, last, at_us, payload, reason, cameras)


def _frames(cameras: str) -> dict[str, int]:
    """What `cameras` of a run says; nothing if it is damaged."""
    try:
        return {str(camera): int(frame) for camera, frame in json.loads(cameras).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _rescue_path(path: Path) -> Path:
    return path.with_name(path.name + _RESCUE)


def _finish_rescue(path: Path) -> None:
    """Put a rescued database in its place, where that was interrupted."""
    if not path.exists() and _rescue_path(path).exists():
        _move(_rescue_path(path), path)


def _move(path: Path, to: Path) -> None:
    # the log last: SQLite ignores one without a database, and would take one beside the wrong database for its own
    _remove(to)
    for suffix in _FILES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(to.with_name(to.name + suffix))
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    for suffix in reversed(_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _code(exc: sqlite3.Error) -> int:
    """SQLite's primary result code; what Python itself raises says that the file is not what it should be."""
    return getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF


def _converted(exc: sqlite3.Error, text: str) -> SpoolError:
    match _code(exc):
        case sqlite3.SQLITE_FULL:
            return DiskFullError(text)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN:
            return DiskFailingError(text)
        case code if code in (*_DAMAGE, sqlite3.SQLITE_READONLY):
            return SpoolLostError(text)
    return SpoolError(text)
