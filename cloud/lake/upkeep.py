"""Keeping tables of many small commits readable, while others go on committing to them."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, WriterProperties

from cloud.lake.durable import make_durable
from cloud.lake.log import read_commit
from cloud.lake.table import OvertakenError, files_of, lake_errors

TARGET_BYTES = 128 << 20
_WRITER = WriterProperties(compression="ZSTD", compression_level=3)


def small_files(table: Path) -> int:
    """How many files below TARGET_BYTES the fullest folder (partition) of the table has: what `compact` would merge."""
    with lake_errors(table, "be read"):
        files = pa.table(DeltaTable(table).get_add_actions(flatten=True)).select(["path", "size_bytes"]).to_pylist()
    folders = Counter(file["path"].rpartition("/")[0] for file in files if file["size_bytes"] < TARGET_BYTES)
    return max(folders.values(), default=0)


def compact(table: Path) -> int:
    """Rewrite the files below TARGET_BYTES as few large ones; how many were replaced. Rows stay what they are."""
    try:
        with lake_errors(table, "be compacted"):
            handle = DeltaTable(table)
            before = handle.version()
            done = handle.optimize.compact(target_size=TARGET_BYTES, writer_properties=_WRITER)
            # the files replaced stay for a day; until then they hold what a power cut would take from the new ones
            for version in range(before + 1, handle.version() + 1):
                make_durable(table, version, read_commit(files_of(table), version).files)
            return int(done["numFilesRemoved"])
    except OvertakenError:
        return 0  # another worker looks after the same table, and was faster


def sweep(table: Path) -> int:
    """Delete files that no version of the last day names; how many."""
    try:
        with lake_errors(table, "be swept"):
            return len(DeltaTable(table).vacuum(dry_run=False, full=True))
    except OvertakenError:
        return 0
