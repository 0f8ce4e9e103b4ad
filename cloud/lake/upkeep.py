"""Keeping tables of many small commits readable, while others go on committing to them.

Not by deltalake's own `optimize.compact`: since https://github.com/delta-io/delta-rs/pull/3982 two of those at once
both succeed, and every row is there twice (tried, 1.6.6). Ours carries an app transaction, so that the second one
fails. For the same reason nothing else may run OPTIMIZE on these tables.
"""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as pa_dataset
from deltalake import DeltaTable

from cloud.lake.commit import AddedFile, Change, OvertakenError, RemovedFile, commit
from cloud.lake.files import write_file
from cloud.lake.place import Place
from cloud.lake.table import lake_errors, open_table

TARGET_BYTES = 128 << 20
_SMALL_BYTES = 4 << 20
_OF_A_SIZE = 8
_ROWS_READ = 16 * 1024
_COMPACTION = "tidegate/compaction"  # the app transaction; a stream's is <gateway>/<16 hex digits>


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of the table as it is now."""

    path: str
    bytes: int
    modified: int
    partition: tuple[tuple[str, str], ...]


def compact(table: Place) -> int:
    """Rewrite small files as few large ones; how many were replaced. Rows stay what they are, and in their order."""
    try:
        with lake_errors(table, "be compacted"):
            handle = open_table(table)
            groups = mergeable(_files(handle))
            if groups:
                added = [_merge(table, handle, files) for files in groups]
                old = [file for files in groups for file in files]
                removed = [RemovedFile(file.path, file.bytes, dict(file.partition)) for file in old]
                change = Change(added, removed, {_COMPACTION: handle.version()})
                commit(table, change, seen=handle.version(), now_ms=int(time.time() * 1000))
            return sum(map(len, groups))
    except OvertakenError:
        return 0  # another worker looks after the same table, and was faster


def small_files(table: Place) -> int:
    """How many files `compact` would replace."""
    with lake_errors(table, "be read"):
        return sum(len(files) for files in mergeable(_files(open_table(table))))


def sweep(table: Place) -> int:
    """Delete files that no version of the last day names; how many."""
    with lake_errors(table, "be swept"):
        return len(open_table(table).vacuum(dry_run=False, full=True))


def mergeable(files: Sequence[DataFile]) -> list[list[DataFile]]:
    """Which files to merge into one each: all small ones of a day, and of larger ones eight of a size. So a row is
    rewritten three or four times on its way to TARGET_BYTES, not with every compaction."""
    tiers: dict[tuple[tuple[tuple[str, str], ...], int], list[DataFile]] = defaultdict(list)
    for file in files:
        if file.bytes < TARGET_BYTES // 2:
            tiers[file.partition, _tier(file.bytes)].append(file)
    groups = []
    for (_, tier), together in tiers.items():
        chosen: list[DataFile] = []
        for file in sorted(together, key=lambda file: file.bytes):
            if sum(other.bytes for other in chosen) + file.bytes > TARGET_BYTES:
                break
            chosen.append(file)
        full = len(chosen) < len(together)
        if len(chosen) > 1 and (tier == 0 or full or len(chosen) >= _OF_A_SIZE):
            groups.append(sorted(chosen, key=lambda file: file.modified))
    return groups


def _tier(size: int) -> int:
    """0: small; from then on files within a factor of eight."""
    return 0 if size < _SMALL_BYTES else 1 + int(math.log(size / _SMALL_BYTES, _OF_A_SIZE))


def _merge(table: Place, handle: DeltaTable, files: Sequence[DataFile]) -> AddedFile:
    partition = dict(files[0].partition)
    schema = pa.schema([field for field in pa.schema(handle.schema().to_arrow()) if field.name not in partition])
    return write_file(table, _rows(table, files, schema), schema, partition=partition, new=False)


def _rows(table: Place, files: Sequence[DataFile], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """File by file, on this thread: what is read ahead of the writer is memory that a busy worker cannot spare."""
    for file in files:
        rows = pa_dataset.dataset([file.path], schema, format="parquet", filesystem=table.files)
        yield from rows.to_batches(batch_size=_ROWS_READ, batch_readahead=1, fragment_readahead=1, use_threads=False)


def _files(handle: DeltaTable) -> list[DataFile]:
    rows = pa.table(handle.get_add_actions(flatten=True)).to_pylist()
    columns = [(name, f"partition.{name}") for name in handle.metadata().partition_columns]
    return [
        DataFile(
            row["path"],
            row["size_bytes"],
            row["modification_time"],
            tuple((name, str(row[column])) for name, column in columns),
        )
        for row in rows
    ]
