"""The sink on Delta tables: every record once, over any crash, with tables that commit one after the other.

`frames` is the ledger: it is committed last, and only its app transactions say what a stream's last record in the lake
is, for streams of every lane. Before it go the other rows, `losses`, `health` and so on, each with app transactions of
their own. When these are ahead of the ledger, a commit was cut off between two tables; whatever the gateway then sends,
cut otherwise perhaps, the rows that are there already are left out.
"""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from cloud.lake.commit import OvertakenError
from cloud.lake.place import Where, open_place
from cloud.lake.runs import Run, StreamKey, newer
from cloud.lake.schema import AGGREGATES, EVENTS, FRAMES, HEALTH, LOSSES, PICTURES, TABLES
from cloud.lake.spans import Span, merge
from cloud.lake.table import LakeTable, create
from cloud.lake.tables import (
    Written,
    aggregates_table,
    events_table,
    frames_table,
    health_table,
    losses_table,
    pictures_table,
)
from models.errors import LakeError

_ATTEMPTS = 10
# tables with a row per record, and how runs become their rows
_NUMBERED = (
    (HEALTH, health_table),
    (EVENTS, events_table),
    (AGGREGATES, aggregates_table),
    (PICTURES, pictures_table),
)


def create_lake(where: Where) -> None:
    """Make the lake's tables where they are not there yet; empty ones can be queried. LakeError."""
    lake = open_place(where)
    for spec in TABLES:
        create(lake, spec)


class DeltaSink:
    """cloud.lake.sink.Sink on Delta tables in a folder or under `s3://BUCKET/PREFIX`, for one thread."""

    def __init__(self, where: Where) -> None:
        """Open the lake, and make it first if it is not there. LakeError."""
        create_lake(where)
        lake = open_place(where)
        self._losses = LakeTable(lake, LOSSES)
        self._numbered = {spec.name: LakeTable(lake, spec) for spec, _ in _NUMBERED}
        self._frames = LakeTable(lake, FRAMES)
        self._in_doubt = False

    def refresh(self) -> None:
        in_doubt, self._in_doubt = self._in_doubt, True  # until it has worked
        if in_doubt:
            for table in (self._losses, *self._numbered.values(), self._frames):
                table.reload()
        else:
            self._frames.refresh()  # the ledger; of the others a commit knows when it was overtaken
        self._in_doubt = False

    def last(self, key: StreamKey) -> int:
        return self._frames.last(str(key))

    def commit(self, runs: Sequence[Run], *, at: datetime) -> None:
        for _ in range(_ATTEMPTS):
            try:
                # what others have committed must be known before anything is written
                self.refresh()
                fresh = [part for run in runs if (part := newer(run, self.last(run.key))) is not None]
                if fresh:
                    self._append(fresh, at)
                return
            except OvertakenError:
                self._in_doubt = True
            except LakeError:
                self._in_doubt = True
                raise
        raise LakeError(
            f"other writers of the same streams came first {_ATTEMPTS} times; is another `tidegate ingest` on the same "
            f"shards?"
        )

    def _append(self, runs: Sequence[Run], at: datetime) -> None:
        written = self._left_behind(runs)
        if losses := losses_table(runs, written=written, at=at):
            self._losses.append(losses, _lasts(_named_in(losses, runs)))
        for spec, rows_of in _NUMBERED:
            if rows := rows_of(runs, written=written):
                self._numbered[spec.name].append(rows, _lasts(_named_in(rows, runs)))
        self._frames.append(frames_table(runs, written=written, day=at.date()), _lasts(runs))

    def _left_behind(self, runs: Sequence[Run]) -> Written:
        """What a commit that was cut off has already written of these runs."""
        written: dict[StreamKey, list[Span]] = {}
        for run in runs:
            key = str(run.key)
            ledger = self._frames.last(key)
            if self._losses.last(key) > ledger:
                rows = self._losses.rows(["first", "last"], _of(run.key) & (pc.field("last") > ledger))
                spans = zip(rows["first"].to_pylist(), rows["last"].to_pylist(), strict=True)
                written.setdefault(run.key, []).extend(spans)
            for table in self._numbered.values():
                if table.last(key) > ledger:
                    seqs = table.rows(["seq"], _of(run.key) & (pc.field("seq") > ledger))["seq"].to_pylist()
                    written.setdefault(run.key, []).extend(merge(seqs))
        return written


def _of(key: StreamKey) -> pc.Expression:
    return (pc.field("gateway") == key.gateway) & (pc.field("stream") == key.stream)


def _named_in(rows: pa.Table, runs: Sequence[Run]) -> list[Run]:
    """The runs that have a row there, and perhaps one whose stream bears the name of another's."""
    gateways, streams = (set(rows[name].unique().to_pylist()) for name in ("gateway", "stream"))
    return [run for run in runs if run.key.stream in streams and run.gateway in gateways]


def _lasts(runs: Sequence[Run]) -> dict[str, int]:
    return {str(run.key): run.last for run in runs}
