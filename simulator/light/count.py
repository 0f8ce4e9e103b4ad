"""The count that believes nobody: every record that a light gateway recorded, against every row of the lake's files.

What was recorded comes from the ledger, what arrived from the lake's tables as Arrow reads them; neither spool, shipper
nor ingest is asked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_dataset
from deltalake import DeltaTable

from simulator.light.ledger import Ledger

_ROWS = 200_000  # at once
Key = tuple[str, str]  # gateway and stream


@dataclass(frozen=True, slots=True)
class Count:
    """`recorded` records and `in_lake` rows; `lost`: recorded, with neither a row nor a tombstone; `given_up`: with a
    tombstone only, because a spool was full; `left`: only in a spool, since the gateway was shut down; `repeated`: rows
    beyond one; `unknown`: rows that nobody recorded; `mistaken`: rows with another frame's number than was recorded.
    `detections` in the lake."""

    recorded: int = 0
    in_lake: int = 0
    lost: int = 0
    given_up: int = 0
    repeated: int = 0
    unknown: int = 0
    mistaken: int = 0
    detections: int = 0
    left: int = 0

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.repeated or self.unknown or self.mistaken)


def count_lake(ledger: Ledger, lake: Path, *, waiting: Mapping[Key, int] = MappingProxyType({})) -> Count:
    """Compare what was recorded with a lake that nobody writes any more. `waiting`: the streams whose records from
    that number on are in a spool that nobody ships any more."""
    seen = {key: np.zeros(noted.last, np.uint8) for key, noted in ledger.streams.items()}
    expected = {key: np.concatenate(noted.frames) for key, noted in ledger.streams.items()}
    in_lake = repeated = unknown = mistaken = detections = 0
    for name in ("frames", "health", "events", "aggregates"):
        for rows in _batches(lake / name, name):
            in_lake += len(rows)
            if name == "frames":
                detections += pc.sum(pc.list_value_length(rows["detections"])).as_py() or 0
            for key, seqs, frames in _runs(rows):
                if key not in seen:
                    unknown += len(seqs)
                    continue
                marks = seen[key]
                known = (seqs >= 1) & (seqs <= len(marks))
                unknown += int((~known).sum())
                seqs, frames = seqs[known], frames[known]
                repeated += len(seqs) - len(np.unique(seqs)) + int((marks[np.unique(seqs) - 1] > 0).sum())
                marks[seqs - 1] = 1
                mistaken += int((expected[key][seqs - 1] != frames).sum()) if name == "frames" else 0
    given_up = 0
    for rows in _batches(lake / "losses", "losses"):
        for gateway, stream, first, last in zip(
            *(rows[name].to_pylist() for name in ("gateway", "stream", "first", "last")), strict=True
        ):
            missing = seen[gateway, stream][first - 1 : last] == 0
            given_up += int(missing.sum())
            seen[gateway, stream][first - 1 : last] = 1
    left = 0
    for key, first in waiting.items():
        missing = seen[key][first - 1 :] == 0
        left += int(missing.sum())
        seen[key][first - 1 :] = 1
    recorded = sum(len(marks) for marks in seen.values())
    lost = sum(int((marks == 0).sum()) for marks in seen.values())
    return Count(recorded, in_lake, lost, given_up, repeated, unknown, mistaken, detections, left)


def _batches(table: Path, name: str) -> Iterator[pa.RecordBatch]:
    if not DeltaTable.is_deltatable(str(table)):
        return
    columns = ["gateway", "stream"]
    columns += {"frames": ["seq", "frame", "detections"], "losses": ["first", "last"]}.get(name, ["seq"])
    files = DeltaTable(str(table)).file_uris()
    if files:
        yield from pa_dataset.dataset(files, format="parquet").to_batches(columns=columns, batch_size=_ROWS)


def _runs(rows: pa.RecordBatch) -> Iterator[tuple[Key, npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Rows of one stream that lie together: whose, their seqs and their frames' numbers."""
    if not len(rows):
        return
    gateways, streams = (pc.dictionary_encode(rows[name]) for name in ("gateway", "stream"))
    codes = np.asarray(gateways.indices), np.asarray(streams.indices)
    changes = np.flatnonzero((np.diff(codes[0]) != 0) | (np.diff(codes[1]) != 0)) + 1
    seqs = np.asarray(rows["seq"])
    frames = np.asarray(rows["frame"]) if "frame" in rows.schema.names else np.zeros_like(seqs)
    for begin, end in zip([0, *changes.tolist()], [*changes.tolist(), len(rows)], strict=True):
        key = gateways.dictionary[int(codes[0][begin])].as_py(), streams.dictionary[int(codes[1][begin])].as_py()
        yield key, seqs[begin:end], frames[begin:end]
