"""A Delta table's log, read directly where deltalake has no call for it.

All app transactions at once: deltalake looks up one at a time, in 1 to 3 ms each, and a fleet has thousands of
streams. And the files that a commit names, so that they can be made durable.
The format: https://github.com/delta-io/delta/blob/master/PROTOCOL.md ("Delta Log Entries", "Checkpoints").
"""

import json
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

import pyarrow.fs as pa_fs
import pyarrow.parquet as pq

from models.errors import LakeError

LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")


@dataclass(frozen=True, slots=True)
class Commit:
    """What one version of the table changed: last version of each app transaction, and data files added (paths
    relative to the table)."""

    transactions: dict[str, int] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def read_commit(table: pa_fs.FileSystem, version: int) -> Commit:
    """FileNotFoundError when there is no such version, or the log of it has expired."""
    transactions, files = {}, []
    for line in table.open_input_stream(f"{LOG}/{version:020}.json").read().splitlines():
        action = json.loads(line)
        if "txn" in action:
            transactions[action["txn"]["appId"]] = action["txn"]["version"]
        elif "add" in action:
            files.append(unquote(action["add"]["path"]))
    return Commit(transactions, tuple(files))


def read_transactions(table: pa_fs.FileSystem) -> tuple[int, dict[str, int]]:
    """The newest version of the table, and the last version of each app transaction in it.

    LakeError when the log is not whole: a transaction overlooked would be a repeat let in.
    """
    names = [info.base_name for info in table.get_file_info(pa_fs.FileSelector(LOG))]
    checkpoint = max((int(match[1]) for name in names if (match := _CHECKPOINT.fullmatch(name))), default=-1)
    versions = sorted(int(match[1]) for name in names if (match := _COMMIT.fullmatch(name)))
    versions = [version for version in versions if version > checkpoint]
    if versions != list(range(checkpoint + 1, checkpoint + 1 + len(versions))) or checkpoint + len(versions) < 0:
        raise LakeError(
            f"the log goes on with versions {versions[:3]}... after checkpoint {checkpoint}; expected every version "
            f"(checkpoints in several parts are not read)"
        )
    transactions = _checkpoint_transactions(table, checkpoint) if checkpoint >= 0 else {}
    for version in versions:
        transactions |= read_commit(table, version).transactions
    return checkpoint + len(versions), transactions


def _checkpoint_transactions(table: pa_fs.FileSystem, version: int) -> dict[str, int]:
    with table.open_input_file(f"{LOG}/{version:020}.checkpoint.parquet") as file:
        column = pq.read_table(file, columns=["txn"])["txn"]
    return {row["appId"]: row["version"] for row in column.drop_null().to_pylist()}
