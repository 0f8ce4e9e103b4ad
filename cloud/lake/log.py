"""A Delta table's log, read directly where deltalake has no call for it.

All app transactions at once: deltalake looks up one at a time, in 1 to 3 ms each, and a fleet has thousands of
streams. The format: https://github.com/delta-io/delta/blob/master/PROTOCOL.md ("Delta Log Entries", "Checkpoints").
"""

import json
import re
from dataclasses import dataclass

import pyarrow.parquet as pq

from cloud.lake.place import Place
from models.errors import LakeError

LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")


def entry(version: int) -> str:
    """Where a version's actions are, relative to the table."""
    return f"{LOG}/{version:020}.json"


def checkpoint_files(version: int) -> tuple[str, str]:
    """What a checkpoint at this version consists of, relative to the table."""
    return f"{LOG}/{version:020}.checkpoint.parquet", f"{LOG}/_last_checkpoint"


@dataclass(frozen=True, slots=True)
class Version:
    """What a version says that others must know: app transactions, the files that it removed, and whether it changed
    the table's columns, configuration or protocol."""

    number: int
    transactions: dict[str, int]
    removed: frozenset[str] = frozenset()
    structural: bool = False


def read_version(table: Place, number: int) -> Version:
    """FileNotFoundError when there is no such version, or its log has expired."""
    return parse_version(number, table.read(entry(number)))


def parse_version(number: int, lines: bytes) -> Version:
    """A version from its entry; ValueError for what is none."""
    actions = [json.loads(line) for line in lines.splitlines()]
    return Version(
        number,
        {action["txn"]["appId"]: action["txn"]["version"] for action in actions if "txn" in action},
        frozenset(action["remove"]["path"] for action in actions if "remove" in action),
        any("metaData" in action or "protocol" in action for action in actions),
    )


def read_transactions(table: Place) -> tuple[int, dict[str, int]]:
    """The newest version of the table, and the last version of each app transaction in it.

    LakeError when the log is not whole: a transaction overlooked would be a repeat let in.
    """
    names = [info.base_name for info in table.list(LOG)]
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
        transactions |= read_version(table, version).transactions
    return checkpoint + len(versions), transactions


def _checkpoint_transactions(table: Place, version: int) -> dict[str, int]:
    with table.files.open_input_file(checkpoint_files(version)[0]) as file:
        column = pq.read_table(file, columns=["txn"])["txn"]
    return {row["appId"]: row["version"] for row in column.drop_null().to_pylist()}
