"""Data files of a Delta table: written, described and made durable before a commit names them.

deltalake's own writer renames without fsync, so that after a power cut a table may name a file that is empty.
"""

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cloud.lake.commit import AddedFile
from cloud.lake.place import Place

_ROWS_OF_A_GROUP = 128 * 1024
_EDGES = ("x1", "y1", "x2", "y2")
_MAX_STATISTIC = 256  # characters; a hostile gateway's texts do not belong into the log


def write_file(
    table: Place, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, partition: Mapping[str, str], new: bool
) -> AddedFile:
    """A new durable file with these rows, as the log will name it. `schema`: without the partition's columns.
    `new`: whether the rows are, or were in the table before."""
    folder = "/".join(f"{name}={value}" for name, value in partition.items())
    name = f"{folder}/part-{uuid.uuid4()}.parquet".lstrip("/")
    table.make_folder(folder)
    footer: list[pq.FileMetaData] = []
    with table.files.open_output_stream(name) as file:
        with pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            compression_level=1,
            metadata_collector=footer,
            # what goes into the log, and what no query narrows down by is left out
            write_statistics=[field.name for field in schema if not pa.types.is_nested(field.type)],
            store_schema=False,  # texts are text, whether they are written as such or by dictionary
            use_dictionary=dictionaries(schema),
            column_encoding={field.name: "DELTA_BINARY_PACKED" for field in schema if _is_steps(field.type)},
        ) as writer:
            for group in _groups(batches, schema):
                writer.write_table(group)
        size = file.tell()
    table.make_durable([name])
    return AddedFile(
        path=name,
        bytes=size,
        partition=dict(partition),
        modified_ms=int(time.time() * 1000),
        new=new,
        stats=json.dumps(statistics(footer[0])),
    )


def dictionaries(schema: pa.Schema) -> list[str]:
    """The columns, as paths of Parquet, whose values come again and again. Not numbers and times of records, which grow
    by steps, and are told by their differences; not edges of boxes: a dictionary of them costs more than it saves."""
    return [
        path
        for field in schema
        if not _is_steps(field.type)
        for path in _leaves(field.name, field.type)
        if path.rpartition(".")[2] not in _EDGES
    ]


def _is_steps(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def _leaves(path: str, kind: pa.DataType) -> Iterator[str]:
    if pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif pa.types.is_map(kind):
        yield from _leaves(f"{path}.key_value.key", kind.key_type)
        yield from _leaves(f"{path}.key_value.value", kind.item_type)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(f"{path}.list.element", kind.value_type)
    else:
        yield path


def statistics(footer: pq.FileMetaData) -> dict[str, Any]:
    """What Delta's log says of a file, so that readers can skip it: rows, and smallest, largest and nulls of the plain
    columns (PROTOCOL.md, "Per-file Statistics"). A column is left out where it cannot be said exactly."""
    columns: dict[str, list[pq.Statistics | None]] = {}
    for group in range(footer.num_row_groups):
        for index in range(footer.num_columns):
            column = footer.row_group(group).column(index)
            if "." not in column.path_in_schema:
                columns.setdefault(column.path_in_schema, []).append(column.statistics)
    said: dict[str, Any] = {"numRecords": footer.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    for name, parts in columns.items():
        known = [part for part in parts if part is not None and part.has_min_max and part.has_null_count]
        if len(known) < len(parts):
            continue
        smallest, largest = min(part.min for part in known), max(part.max for part in known)
        if isinstance(smallest, int | str | datetime) and len(str(smallest)) + len(str(largest)) <= _MAX_STATISTIC:
            said["minValues"][name], said["maxValues"][name] = _said(smallest), _said(largest)
            said["nullCount"][name] = sum(part.null_count for part in known)
    return said


def _said(value: int | str | datetime) -> int | str:
    # cut to milliseconds, as Delta has it: readers add one to the largest
    return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z" if isinstance(value, datetime) else value


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        pending.append(batch)
        if sum(len(part) for part in pending) >= _ROWS_OF_A_GROUP:
            yield pa.Table.from_batches(pending, schema)
            pending = []
    if pending:
        yield pa.Table.from_batches(pending, schema)
