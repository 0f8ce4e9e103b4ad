"""From runs of records to the rows of the lake's tables. Pure, and by column: frames never become objects here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from cloud.lake.runs import Run, StoredPicture, StreamKey
from cloud.lake.schema import AGGREGATES, DETECTION, EVENTS, FRAMES, HEALTH, LOSSES, PICTURES, TableSpec
from cloud.lake.spans import Span, covered, subtract
from models.columns import FrameColumns, Rows
from models.detections import Int64
from models.health import CameraHealth, Challenge, Health
from models.records import Aggregate, Event

# Records that are in the lake already, by stream: what an interrupted commit left behind (see delta.py).
Written = Mapping[StreamKey, Sequence[Span]]

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class GatewayHealth:
    """A row of the table `health`."""

    gateway: str
    stream: str
    seq: int
    health: Health


def frames_table(runs: Sequence[Run], *, written: Written, day: date) -> pa.Table:
    """A row per frame, in the columns of schema.FRAMES, but for texts, which are dictionaries."""
    keys, parts = [], []
    for run in runs:
        spans = written.get(run.key, ())
        for batch in run.batches:
            frames = batch.frames.where(~covered(batch.frames.seqs, spans)) if spans else batch.frames
            if len(frames):
                keys.append(run.key)
                parts.append(frames)
    if not parts:
        return FRAMES.schema.empty_table()
    batch_of_row = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    models = [model for part in parts for model in part.models]
    model = _shifted([part.model for part in parts], [len(part.models) for part in parts])
    columns = {
        "gateway": _strings([key.gateway for key in keys], batch_of_row),
        "stream": _strings([key.stream for key in keys], batch_of_row),
        "seq": np.concatenate([part.seqs for part in parts]),
        "camera": _strings(
            [camera for part in parts for camera in part.cameras],
            _shifted([part.camera for part in parts], [len(part.cameras) for part in parts]),
        ),
        "frame": np.concatenate([part.numbers for part in parts]),
        "captured_at": pa.array(np.concatenate([part.captured_at_us for part in parts])).cast(
            FRAMES.schema.field("captured_at").type
        ),
        "model": _strings([name for name, _ in models], model),
        "release": np.array([release for _, release in models], np.int64)[model],
        "detections": _detections(parts),
        "date": pa.repeat(pa.scalar(day, pa.date32()), len(batch_of_row)),
        "steady_us": np.concatenate([part.steady_us for part in parts]),
    }
    return pa.table(columns)


def health_table(runs: Sequence[Run], *, written: Written) -> pa.Table:
    """A row per health message, in the columns of schema.HEALTH."""
    columns, health = _records(runs, attrgetter("health"), Health, written=written)
    columns["reported_at"] = columns["at_us"]
    columns["class_mix"] = [list(row.class_mix.items()) for row in health]
    columns["cameras"] = [[_plain(camera) for camera in row.cameras] for row in health]
    columns["challenge"] = [_plain(row.challenge) if row.challenge else None for row in health]
    return _table(columns, HEALTH)


def events_table(runs: Sequence[Run], *, written: Written) -> pa.Table:
    """A row per event, in the columns of schema.EVENTS."""
    columns = _laid([(run, batch.events) for run in runs for batch in run.batches], Event, written=written)
    columns["happened_at"] = columns["at_us"]
    return _table(columns | _corners(columns["xyxy"]), EVENTS)


def aggregates_table(runs: Sequence[Run], *, written: Written) -> pa.Table:
    """A row per aggregate, in the columns of schema.AGGREGATES."""
    columns = _laid([(run, batch.aggregates) for run in runs for batch in run.batches], Aggregate, written=written)
    columns["started_at"] = columns["start_us"]
    return _table(columns, AGGREGATES)


def pictures_table(runs: Sequence[Run], *, written: Written) -> pa.Table:
    """A row per picture that has come in whole, in the columns of schema.PICTURES."""
    columns, pictures = _records(runs, attrgetter("pictures"), StoredPicture, written=written)
    columns["captured_at"] = columns["at_us"]
    return _table(columns | _corners([picture.xyxy for picture in pictures]), PICTURES)


def losses_table(runs: Sequence[Run], *, written: Written, at: datetime) -> pa.Table:
    """A row per range of records that are nowhere else, in the columns of schema.LOSSES."""
    rows = [
        {
            "gateway": run.gateway,
            "stream": run.key.stream,
            "first": first,
            "last": last,
            "reason": stone.reason,
            "committed_at": at,
        }
        for run in runs
        for stone in run.tombstones
        for first, last in subtract((stone.first, stone.last), written.get(run.key, ()))
    ]
    return pa.Table.from_pylist(rows, schema=LOSSES.schema)


def health_rows(table: pa.Table) -> list[GatewayHealth]:
    """The rows of a table in the columns of schema.HEALTH."""
    return [GatewayHealth(row["gateway"], row["stream"], row["seq"], _health_of(row)) for row in table.to_pylist()]


def _detections(parts: Sequence[FrameColumns]) -> pa.ListArray:
    found = [part.found for part in parts]
    label = _strings(
        [label for part in parts for label in part.labels],
        _shifted([part.label for part in parts], [len(part.labels) for part in parts]),
    )
    structs = pa.StructArray.from_arrays(
        [
            label,
            np.concatenate([rows.class_ids for rows in found]),
            np.concatenate([rows.scores for rows in found]),
            *(np.concatenate([rows.xyxy[:, corner] for rows in found]) for corner in range(4)),
            np.concatenate([rows.tracks for rows in found]),
        ],
        names=DETECTION.names,
    )
    counts = np.concatenate([part.counts for part in parts])
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, structs)


def _strings(values: Sequence[str], index: Int64) -> pa.Array:
    """values[index], without a string per row: Parquet's dictionary is made of the distinct ones."""
    distinct, places = np.unique(np.array(values, object), return_inverse=True) if values else ((), np.zeros(0, int))
    indices = places.astype(np.int32)[index] if len(index) else np.zeros(0, np.int32)
    return pa.DictionaryArray.from_arrays(indices, pa.array(distinct, pa.string()))


def _shifted(indices: Sequence[Int64], sizes: Sequence[int]) -> Int64:
    """Indices into each part's own dictionary -> indices into the dictionaries laid end to end."""
    starts = np.concatenate(([0], np.cumsum(sizes[:-1]))).astype(np.int64)
    return np.concatenate([index + start for index, start in zip(indices, starts, strict=True)])


def _records(
    runs: Sequence[Run], of: Callable[[Run], Iterable[tuple[int, Kept]]], kind: type[object], *, written: Written
) -> tuple[dict[str, list[Any]], list[Kept]]:
    """The records of a kind that are not written yet, and their fields as columns, each with its identity."""
    gateways, streams, seqs, records = [], [], [], []
    for run in runs:
        numbered = list(of(run))
        if numbered and (spans := written.get(run.key)):
            numbered = [item for item in numbered if not any(first <= item[0] <= last for first, last in spans)]
        gateways += [run.gateway] * len(numbered)
        streams += [run.key.stream] * len(numbered)
        seqs += [seq for seq, _ in numbered]
        records += [record for _, record in numbered]
    columns: dict[str, list[Any]] = {"gateway": gateways, "stream": streams, "seq": seqs}
    for name in kind.__dataclass_fields__:  # type: ignore[attr-defined]
        columns[name] = list(map(attrgetter(name), records))
    return columns, records


def _laid(parts: Sequence[tuple[Run, Rows]], kind: type[object], *, written: Written) -> dict[str, list[Any]]:
    """What is not written yet of these, one after the other, each with its identity."""
    fields = kind.__dataclass_fields__  # type: ignore[attr-defined]
    columns: dict[str, list[Any]] = {name: [] for name in ("gateway", "stream", "seq", *fields)}
    for run, rows in parts:
        if len(rows) and (spans := written.get(run.key)):
            rows = rows.where(lambda seq, spans=spans: not any(first <= seq <= last for first, last in spans))  # type: ignore[misc]
        if len(rows):
            columns["gateway"] += [run.gateway] * len(rows)
            columns["stream"] += [run.key.stream] * len(rows)
            columns["seq"] += rows.seqs
            for name in fields:
                columns[name] += rows.fields[name]
    return columns


def _table(columns: Mapping[str, list[Any]], spec: TableSpec) -> pa.Table:
    return pa.table({name: columns[name] for name in spec.schema.names}, schema=spec.schema)


def _plain(record: CameraHealth | Challenge) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).__dataclass_fields__}


def _corners(boxes: Sequence[tuple[float, float, float, float]]) -> dict[str, list[Any]]:
    return {edge: [box[index] for box in boxes] for index, edge in enumerate(("x1", "y1", "x2", "y2"))}


def _health_of(row: Mapping[str, Any]) -> Health:
    # null: of a gateway, or of a lake, that did not know the column
    values = {name: row[name] for name in Health.__dataclass_fields__ if row.get(name) is not None}
    values["score_histogram"] = tuple(row["score_histogram"])
    values["class_mix"] = dict(row["class_mix"])
    values["cameras"] = tuple(CameraHealth(**_known(camera)) for camera in values.get("cameras", ()))
    if "challenge" in values:
        scores = {name: tuple(values["challenge"][name]) for name in ("our_scores", "their_scores")}
        values["challenge"] = Challenge(**{**values["challenge"], **scores})
    return Health(at_us=_epoch_us(row["reported_at"]), **values)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _epoch_us(at: datetime) -> int:
    # not timestamp(): a float has lost the microseconds by the year 2242
    since = at.replace(tzinfo=None) - datetime(1970, 1, 1)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
