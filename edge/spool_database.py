"""The spool's SQLite file: runs of records by stream, and what it takes to go on after a start."""

import json
import os
import re
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.lanes import LANES, Lane
from models.errors import SpoolError

_MAX_SEQ = 1 << 40
_MAX_STREAM = 1 << 22
_VERSION = 2
_STREAM_NAME = re.compile(r"[0-9a-f]{16}")
_ERRORS = (sqlite3.Error, UnicodeDecodeError)  # the latter where a message quotes what is damaged
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
_KEPT_PERIODS = 4
_COLUMNS = "key, last, at_us, reason, cameras, seal, payload"

# One b-tree, and in it each stream's records side by side: a commit writes a page or two, and what is acknowledged
# lies on pages that become free as a whole.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (
    key INTEGER PRIMARY KEY,   -- stream << 40 | first
    last INTEGER NOT NULL,     -- records first..last of the stream
    at_us INTEGER NOT NULL,    -- when they were recorded, by the wall clock
    reason TEXT,               -- of a tombstone: why they are gone
    cameras TEXT,              -- every camera's last frame by then
    seal INTEGER NOT NULL,     -- CRC-32 of the columns above; SQLite's pages have none
    payload BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS streams (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    lane TEXT NOT NULL,
    opened_us INTEGER NOT NULL,
    last INTEGER NOT NULL,     -- records 1..last were recorded, and those in `runs`
    acked INTEGER NOT NULL,    -- of these, 1..acked are in the lake
    seal INTEGER NOT NULL      -- CRC-32 of the columns above
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
        self._file: int | None = None

    @classmethod
    def at(cls, path: Path) -> "SpoolDatabase":
        """The file at `path`, which is made if it is missing. SpoolLostError if it is damaged, else SpoolError."""
        try:
            database = cls(_connect(path), path)
        except _ERRORS as exc:
            raise _converted(exc, f"the spool {path} cannot be opened: {exc}") from exc
        # closed only after SQLite has closed its own: to close any descriptor of a file gives up all locks on it
        database._file = os.open(path, os.O_RDONLY)
        return database

    @classmethod
    def as_it_is(cls, path: Path) -> "SpoolDatabase":
        """A damaged file, to get out of it what survives."""
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with suppress(*_ERRORS):
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return cls(connection, path)

    @classmethod
    def in_memory(cls, path: Path) -> "SpoolDatabase":
        """An empty one without a file, in the place of that at `path`."""
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.executescript(_SCHEMA)
        return cls(connection, path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or none."""
        with self._errors("written"):
            if self._file is not None and os.fstat(self._file).st_nlink == 0:
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
        row = (state.number, name, state.lane, state.opened_us, state.last, state.acked)
        self._connection.execute("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _seal(row)))

    def add(self, run: Run) -> None:
        """Add a run, or put it in the place of one that began alike."""
        row = (_key(run.stream, run.first), run.last, run.at_us, run.reason, run.cameras)
        self._connection.execute(
            "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, _seal(row), run.payload)
        )

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
            for *row, payload in cursor:
                run = _run(_unsealed(row, self._path), payload)
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

    def forget(self, name: str, state: StreamState, acked: int) -> int:
        """Note that 1..acked are in the lake, and drop runs of nothing else; when the oldest run left was recorded, 0
        if none is left."""
        begin, end = _key(state.number, 0), _key(state.number, acked)
        self._connection.execute("DELETE FROM runs WHERE key BETWEEN ? AND ? AND last <= ?", (begin, end, acked))
        self.add_stream(name, replace(state, acked=acked))
        row = self._connection.execute(
            "SELECT at_us FROM runs WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
            (_key(state.number, 0), _key(state.number, _MAX_SEQ - 1)),
        ).fetchone()
        return int(row[0]) if row else 0

    def streams(self) -> dict[str, StreamState]:
        """All streams by name, in the order in which they were opened. SpoolLostError if they have gaps, or rows that
        are not as they were written."""
        with self._errors("read"):
            rows = self._connection.execute("SELECT * FROM streams ORDER BY number").fetchall()
            return {row[1]: self._state(_unsealed(row, self._path)) for row in rows}

    def drop_streams(self, numbers: Sequence[int]) -> None:
        self._connection.executemany("DELETE FROM streams WHERE number = ?", [(number,) for number in numbers])

    def cameras(self) -> dict[str, tuple[str, int]]:
        """Each camera's source and last recorded frame."""
        with self._errors("read"):
            known = self.surviving_cameras()
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
        """Bytes by period of the budget, as far as they can be read."""
        rows = self._surviving("SELECT period, bytes FROM spent ORDER BY rowid")
        return {row[0]: row[1] for row in rows if [type(item) for item in row] == [str, int]}

    def note_spent(self, period: str, total: int) -> None:
        self._connection.execute("DELETE FROM spent WHERE period = ?", (period,))
        self._connection.execute("INSERT INTO spent VALUES (?, ?)", (period, total))
        self._connection.execute(
            f"DELETE FROM spent WHERE rowid NOT IN (SELECT rowid FROM spent ORDER BY rowid DESC LIMIT {_KEPT_PERIODS})"
        )

    def surviving_streams(self) -> dict[str, StreamState]:
        """Of a damaged file: the streams that can be read, by name, without what their runs say. Where a row is not as
        it was written, the first run says what was acknowledged."""
        streams: dict[str, StreamState] = {}
        for *row, seal in self._surviving("SELECT * FROM streams"):
            match row:
                case [int(number), str(name), str(lane), int(opened_us), int(last), int(acked)] if (
                    lane in LANES and 0 < number < _MAX_STREAM and _STREAM_NAME.fullmatch(name)
                ):
                    if seal != _seal(row):
                        last = acked = next((run.first - 1 for run in self.surviving_runs(number)), 0)
                    streams[name] = StreamState(number, lane, opened_us, max(last, acked), acked)
        return streams

    def surviving_runs(self, stream: int) -> Iterator[Run]:
        """Of a damaged file: the stream's runs that can be read, in order."""
        key, end = _key(stream, 0), _key(stream, _MAX_SEQ - 1)
        while key <= end:
            for row in self._rows(key, end):
                key = row[0] + 1
                yield from _if_sealed(row)
            # what is read row after row looks one ahead, so that a row before a damaged place has to be read alone
            key = key if self._is_readable(key, end) else self._beyond(key, end)
            alone = self._row(key, end)
            if alone is None:
                return
            key = alone[0] + 1
            yield from _if_sealed(alone)

    def _rows(self, key: int, end: int) -> Iterator[tuple[Any, ...]]:
        """Rows of `runs` from `key` on, until one can't be read, or is none that can follow."""
        with suppress(*_ERRORS):
            query = f"SELECT {_COLUMNS} FROM runs WHERE key BETWEEN ? AND ? ORDER BY key"
            for row in self._connection.execute(query, (key, end)):
                if not key <= row[0] <= end:
                    return
                key = row[0] + 1
                yield row

    def _row(self, key: int, end: int) -> tuple[Any, ...] | None:
        """The first row of `runs` from `key` on; None when there is none. An error when it can't be read."""
        if key > end:
            return None
        query = f"SELECT {_COLUMNS} FROM runs WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1"
        row: tuple[Any, ...] | None = self._connection.execute(query, (key, end)).fetchone()
        if row is not None and not key <= row[0] <= end:
            raise sqlite3.DatabaseError(f"row {row[0]} lies between {key} and {end}")
        return row

    def _beyond(self, key: int, end: int) -> int:
        """The first key after a damaged place from which runs can be read again."""
        step = 1
        while not self._is_readable(key + step, end):
            step *= 2
        low, high = key + step // 2, key + step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._is_readable(middle, end) else (middle, high)
        return high

    def _is_readable(self, key: int, end: int) -> bool:
        try:
            self._row(key, end)
        except _ERRORS:
            return False
        return True

    def surviving_cameras(self) -> dict[str, tuple[str, int]]:
        """Of a damaged file: as `cameras`, without what runs say."""
        rows = self._surviving("SELECT camera, source, frame FROM cameras")
        return {row[0]: (row[1], row[2]) for row in rows if [type(item) for item in row] == [str, str, int]}

    def checkpoint(self) -> None:
        """Make the log's room usable again, as far as there is a disk to do it on."""
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)")

    def close(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _state(self, row: Sequence[Any]) -> StreamState:
        number, _, lane, opened_us, last, acked = row
        records = size = oldest_us = 0
        expected = acked + 1
        query = (
            "SELECT key, last, at_us, reason, cameras, seal, length(payload) FROM runs "
            "WHERE key BETWEEN ? AND ? ORDER BY key"
        )
        for *columns, length in self._connection.execute(query, (_key(number, 0), _key(number, _MAX_SEQ - 1))):
            run = _run(_unsealed(columns, self._path), b"")
            if run.first > expected or (run.first < expected and expected != acked + 1):
                raise SpoolLostError(f"the spool {self._path} misses records before {run.first} of stream {number}")
            records += 0 if run.reason is not None else run.last - expected + 1
            size += length
            oldest_us = oldest_us or run.at_us
            expected = run.last + 1
        if expected <= last:
            raise SpoolLostError(f"the spool {self._path} misses records after {expected - 1} of stream {number}")
        return StreamState(number, lane, opened_us, expected - 1, acked, records, size, oldest_us)

    def _surviving(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Rows, as far as they can be read."""
        with suppress(*_ERRORS):
            yield from self._connection.execute(query)

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        """sqlite3's errors leave as SpoolError."""
        try:
            yield
        except _ERRORS as exc:
            raise _converted(exc, f"the spool {self._path} cannot be {done}: {exc}") from exc


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        # a second's frames fill a third of it: less is written than with 4096
        database.execute("PRAGMA page_size = 2048")
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
            database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
    except BaseException:
        database.close()
        raise
    return database


def _key(stream: int, first: int) -> int:
    return stream * _MAX_SEQ + first


def _seal(row: Sequence[object]) -> int:
    return zlib.crc32(repr(tuple(row)).encode())


def _unsealed(row: Sequence[Any], path: Path) -> Sequence[Any]:
    """The row without its seal; SpoolLostError if that is broken."""
    *columns, seal = row
    if seal != _seal(columns):
        raise SpoolLostError(f"the spool {path} holds a row that is not as it was written: {str(columns)[:80]}")
    return columns


def _run(row: Sequence[Any], payload: bytes) -> Run:
    key, last, at_us, reason, cameras = row
    return Run(key // _MAX_SEQ, key % _MAX_SEQ, last, at_us, payload, reason, cameras)


def _if_sealed(row: Sequence[Any]) -> Iterator[Run]:
    """The run, unless it is not as it was written."""
    *columns, seal, payload = row
    if seal == _seal(columns) and isinstance(payload, bytes):
        yield _run(columns, payload)


def _frames(cameras: str) -> dict[str, int]:
    """What `cameras` of a run says; nothing if it is damaged."""
    try:
        return {str(camera): int(frame) for camera, frame in json.loads(cameras).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _code(exc: Exception) -> int:
    """SQLite's primary result code; what Python itself raises says that the file is not what it should be."""
    return getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF


def _converted(exc: Exception, text: str) -> SpoolError:
    match _code(exc):
        case sqlite3.SQLITE_FULL:
            return DiskFullError(text)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN:
            return DiskFailingError(text)
        case code if code in (*_DAMAGE, sqlite3.SQLITE_READONLY):
            return SpoolLostError(text)
    return SpoolError(text)
