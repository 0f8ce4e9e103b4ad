"""Opening the spool's database, and going on when it is damaged: all that can still be read goes into a new one."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edge.runs import unpack
from edge.spool_database import DiskFailingError, DiskFullError, Run, SpoolDatabase, SpoolLostError, StreamState
from models.durable import sync_folder, write_atomic
from models.errors import SpoolError

log = logging.getLogger(__name__)

_FILES = ("", "-wal", "-shm")
_PROBE_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database and its streams; what had to be done to it first, for a person to read (empty: nothing); for how
    many lost records it holds tombstones now; and whether it is on a disk."""

    database: SpoolDatabase
    streams: dict[str, StreamState]
    incident: str = ""
    lost: int = 0
    on_disk: bool = True


def open_database(path: Path) -> Opened:
    """Open it, or make it; a damaged one is replaced. SpoolError when there can be none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _finish(path)
        database = SpoolDatabase.at(path)
    except SpoolLostError as exc:
        return replace_database(path, str(exc), old=SpoolDatabase.as_it_is(path), known={})
    except (SpoolError, OSError) as exc:
        raise SpoolError(f"{exc}; is the folder of {path} writable, and its disk not full?") from exc
    try:
        return Opened(database, database.streams())
    except SpoolLostError as exc:
        return replace_database(path, str(exc), old=database, known={})


def replace_database(
    path: Path, why: str, *, old: SpoolDatabase, known: Mapping[str, StreamState], on_disk: bool = True
) -> Opened:
    """A new database in the place of a damaged one, which is closed and set aside, with all that can still be read
    there, and tombstones for what can't; in memory when it can't be on the disk, or is not to be. `known`: streams that
    the damaged one is known to hold."""
    if on_disk:
        try:
            return _on_disk(path, why, old, known)
        except (SpoolError, OSError) as exc:
            why = f"{why}; and no new one can be made: {exc}"
    return _in_memory(path, why, old, known)


def back_to_disk(path: Path, memory: SpoolDatabase, *, known: Mapping[str, StreamState]) -> Opened:
    """A database at `path` with what the one in memory holds, which is closed then; what is there is set aside. When
    the disk does not take it, SpoolError or OSError, and the one in memory is as it was."""
    try:
        copied = _copied(path, memory, known)
        _move(path, _aside(path))
        _finish(path)
        database = SpoolDatabase.at(path)
        streams = database.streams()
    except (SpoolError, OSError):
        with suppress(OSError):
            _remove(_place(path))  # half of it would take the room that is missing
        raise
    memory.close()
    incident = f"the disk of the spool {path} takes writes again: {copied.saved} records of the memory are on it"
    log.info("%s", incident)
    return Opened(database, streams, incident, copied.buried)


def takes_writes(path: Path) -> bool:
    """Whether the disk of the database at `path` takes anything now. A disk that hangs is waited for."""
    probe = path.with_name(f"{path.name}.probe")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(probe, bytes(_PROBE_BYTES))
        probe.unlink()
    except OSError:
        return False
    return True


def _on_disk(path: Path, why: str, old: SpoolDatabase, known: Mapping[str, StreamState]) -> Opened:
    copied = _copied(path, old, known)
    old.close()
    _move(path, _aside(path))  # only the latest is kept, or they would fill the disk
    _finish(path)
    incident = f"the spool was damaged: {copied}; set aside as {_aside(path)} ({why})"
    log.error("%s", incident)
    database = SpoolDatabase.at(path)
    return Opened(database, database.streams(), incident, copied.buried)


def _copied(path: Path, old: SpoolDatabase, known: Mapping[str, StreamState]) -> "_Copied":
    """Make a new database beside that at `path`, with what can be read of the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(_place(path))
    fresh = SpoolDatabase.at(_place(path))
    try:
        return _copy(old, fresh, known)
    finally:
        fresh.close()


def _in_memory(path: Path, why: str, old: SpoolDatabase, known: Mapping[str, StreamState]) -> Opened:
    database = SpoolDatabase.in_memory(path)
    copied = _copy(old, database, known)
    old.close()
    incident = (
        f"results wait in memory only, since the disk of the spool {path} takes nothing: replace it; {copied} ({why})"
    )
    log.error("%s", incident)
    return Opened(database, database.streams(), incident, copied.buried, on_disk=False)


@dataclass(slots=True)
class _Copied:
    """Records that were saved; lost ones that have tombstones; and those that are found to be damaged once they are
    read, and get theirs then."""

    saved: int = 0
    buried: int = 0
    damaged: int = 0

    def __str__(self) -> str:
        return f"{self.saved} records saved, at least {self.buried + self.damaged} lost"

    def add(self, other: "_Copied") -> None:
        self.saved += other.saved
        self.buried += other.buried
        self.damaged += other.damaged


def _copy(old: SpoolDatabase, fresh: SpoolDatabase, known: Mapping[str, StreamState]) -> _Copied:
    """Copy what can be read."""
    streams = old.surviving_streams()
    for name, memory in known.items():
        state = streams.get(name, memory)
        streams[name] = replace(memory, last=max(state.last, memory.last), acked=max(state.acked, memory.acked))
    copied = _Copied()
    for name, stream in streams.items():
        try:
            with fresh.transaction():
                of_stream = _copy_stream(old, fresh, stream)
                fresh.add_stream(name, stream)
        except (DiskFullError, DiskFailingError):
            raise
        except SpoolError:  # what can be read contradicts itself
            of_stream = _Copied(buried=stream.last - stream.acked)
        copied.add(of_stream)
    with fresh.transaction():
        fresh.note_cameras(old.surviving_cameras())
        for period, size in old.spent().items():
            fresh.note_spent(period, size)
    return copied


def _copy_stream(old: SpoolDatabase, fresh: SpoolDatabase, stream: StreamState) -> _Copied:
    """Copy what can be read, with tombstones for what lies between."""
    copied, done = _Copied(), stream.acked
    for run in old.surviving_runs(stream.number):
        if run.last > done and (run.first > done or done == stream.acked):
            copied.buried += _bury(fresh, stream, done + 1, run.first - 1)
            fresh.add(run)
            if run.reason is None:
                payloads = unpack(run.payload, run.last - run.first + 1)[max(done + 1 - run.first, 0) :]
                copied.saved += sum(payload is not None for payload in payloads)
                copied.damaged += sum(payload is None for payload in payloads)
            done = run.last
    copied.buried += _bury(fresh, stream, done + 1, stream.last)
    return copied


def _bury(fresh: SpoolDatabase, stream: StreamState, first: int, last: int) -> int:
    if first > last:
        return 0
    fresh.add(Run(stream.number, first, last, stream.opened_us, b"", "lost in a damaged spool"))
    return last - first + 1


def _place(path: Path) -> Path:
    """Where the new database is made, before it is put in its place."""
    return path.with_name(f"{path.name}.rescue")


def _aside(path: Path) -> Path:
    """Where what was damaged is kept, for whoever wants to look at it."""
    return path.with_name(f"{path.name}.damaged")


def _finish(path: Path) -> None:
    """Put a rescued database in its place, also where that was interrupted."""
    if not path.exists() and _place(path).exists():
        _move(_place(path), path)


def _move(path: Path, to: Path) -> None:
    # the log last: SQLite ignores one without a database, and would take one beside the wrong database for its own
    _remove(to)
    for suffix in _FILES:
        part = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            part.replace(to.with_name(to.name + suffix))
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    for suffix in reversed(_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
