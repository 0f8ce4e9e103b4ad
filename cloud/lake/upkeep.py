"""Keeping tables of many small commits readable, while others go on committing to them.

Not by deltalake's own `optimize.compact`: since https://github.com/delta-io/delta-rs/pull/3982 two of those at once
both succeed, and every row is there twice (tried, 1.6.6). Ours carries an app transaction, so that the second one
fails. For the same reason nothing else may run OPTIMIZE on these tables.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as pa_dataset
from deltalake import DeltaTable, Transaction
from deltalake.transaction import AddAction, RemoveAction

from cloud.lake.files import write_file
from cloud.lake.place import Place
from cloud.lake.table import OvertakenError, commit, lake_errors, open_table

TARGET_BYTES = 128 << 20
_ALWAYS_MERGED_BYTES = 4 << 20
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
            actions: list[AddAction | RemoveAction] = []
            for files in mergeable(_files(handle)):
                actions += _merge(table, handle, files)
            if actions:
                commit(handle, table, actions, [Transaction(_COMPACTION, handle.version(), int(time.time() * 1000))])
            return sum(isinstance(action, RemoveAction) for action in actions)
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
    """Which files to merge into one each. A file joins only those that together outweigh it (or when all are tiny): so
    a row is rewritten some ten times on its way to TARGET_BYTES, not with every compaction."""
    by_partition: dict[tuple[tuple[str, str], ...], list[DataFile]] = defaultdict(list)
    for file in files:
        by_partition[file.partition].append(file)
    groups = []
    for together in by_partition.values():
        chosen: list[DataFile] = []
        total = 0
        for file in sorted(together, key=lambda file: file.bytes):
            if total + file.bytes > TARGET_BYTES or file.bytes > max(total, _ALWAYS_MERGED_BYTES):
                break
            chosen.append(file)
            total += file.bytes
        if len(chosen) > 1:
            groups.append(sorted(chosen, key=lambda file: file.modified))
    return groups


def _merge(table: Place, handle: DeltaTable, files: Sequence[DataFile]) -> list[AddAction | RemoveAction]:
    partition = dict(files[0].partition)
    schema = pa.schema([field for field in pa.schema(handle.schema().to_arrow()) if field.name not in partition])
    rows = pa_dataset.dataset([file.path for file in files], schema, format="parquet", filesystem=table.files)
    merged = write_file(table, rows.to_batches(), schema, partition=partition, new=False)
    now_ms = int(time.time() * 1000)
    removed = [RemoveAction(file.path, False, now_ms, file.bytes, dict(file.partition)) for file in files]
    return [merged, *removed]


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
