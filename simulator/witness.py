"""An independent count of what a gateway recorded.

A trigger in the spool's own database copies each record, in the same transaction, to a table that the gateway does
not know. What a kill rolls back is rolled back here too; what was recorded stays counted after the lake acknowledged
it and the spool forgot it.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.runs import unpack
from edge.spool import Spool
from models.records import FrameResult, Record
from models.wire import decode_record

_TRIGGER = """
CREATE TABLE IF NOT EXISTS witness (stream TEXT, first INTEGER, last INTEGER, payload BLOB);
CREATE TRIGGER IF NOT EXISTS witness_runs AFTER INSERT ON runs WHEN new.reason IS NULL
BEGIN INSERT INTO witness
SELECT name, new.key % (1 << 40), new.last, new.payload FROM streams WHERE number = new.key >> 40; END;
"""


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """A frame's result that was committed to the spool."""

    stream: str
    seq: int
    camera: str
    frame: int


@dataclass(frozen=True, slots=True)
class Run:
    """Records `first`, first + 1 ... of a stream that were committed together; None for one that cannot be read."""

    stream: str
    first: int
    records: tuple[Record | None, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """What a look at a spool has shown: the runs that are new, and of each stream that the spool still knows the last
    record that the cloud has acknowledged."""

    new: tuple[Run, ...]
    acked: Mapping[str, int]


class Witness:
    """Makes the spool's database before the gateway first opens it, and watches it from then on."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._seen = 0
        self._frames: dict[tuple[str, int], RecordedFrame] = {}
        spool.parent.mkdir(parents=True, exist_ok=True)
        Spool(spool).close()
        database = sqlite3.connect(spool)
        try:
            database.executescript(_TRIGGER)
        finally:
            database.close()

    def frames(self) -> list[RecordedFrame]:
        """Every frame's result that was ever committed to this spool, in the order of commit."""
        for run in self.look().new:
            for seq, record in enumerate(run.records, run.first):
                # a run that is cut in two where its middle was dropped is inserted once more
                if isinstance(record, FrameResult) and (run.stream, seq) not in self._frames:
                    self._frames[run.stream, seq] = RecordedFrame(run.stream, seq, record.camera, record.frame)
        return list(self._frames.values())

    def look(self) -> Sight:
        """What was committed since the last look (of `frames` too), and how far the spool is."""
        with tempfile.TemporaryDirectory() as folder:
            database = sqlite3.connect(_copy(self._spool, Path(folder)))
            try:
                rows = database.execute(
                    "SELECT rowid, stream, first, last, payload FROM witness WHERE rowid > ? ORDER BY rowid",
                    (self._seen,),
                ).fetchall()
                acked = dict(database.execute("SELECT name, acked FROM streams").fetchall())
            finally:
                database.close()
        new = []
        for rowid, stream, first, last, run in rows:
            payloads = unpack(run, last - first + 1)
            records = tuple(None if payload is None else decode_record(payload) for payload in payloads)
            new.append(Run(stream, first, records))
            self._seen = rowid
        return Sight(tuple(new), acked)


def _copy(spool: Path, folder: Path) -> Path:
    """A copy to look into: the gateway keeps its database to itself."""
    copy, log = folder / spool.name, spool.with_name(f"{spool.name}-wal")
    while True:
        before = _head(log)
        shutil.copyfile(spool, copy)
        if log.exists():
            shutil.copyfile(log, folder / log.name)
        # pages that were written meanwhile are in the log, too, unless it began anew
        if _head(log) == before:
            return copy


def _head(log: Path) -> bytes:
    try:
        with log.open("rb") as file:
            return file.read(32)
    except FileNotFoundError:
        return b""
