"""A new version of a Delta table, put where no other may put it too.

The format: https://github.com/delta-io/delta/blob/master/PROTOCOL.md ("Actions"). deltalake could do it, but looks
through all versions since the last checkpoint each time: 5 to 35 ms for a table whose streams a fleet moves, against
one write here. Tables stay what deltalake makes them, of writer version 2, and it reads them.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cloud.lake.log import Version, entry, parse_version
from cloud.lake.place import Place
from models.errors import LakeError, StoreError

_MOST_OVERTAKEN = 10_000  # versions that others may put before ours: a bound on what would go on for ever


class OvertakenError(LakeError):
    """Another writer committed first: reload, look at what is there now, and do it again."""


@dataclass(frozen=True, slots=True)
class AddedFile:
    """A data file that is part of the table from now on. `new`: its rows are, too. `stats`: as JSON."""

    path: str
    bytes: int
    partition: Mapping[str, str]
    modified_ms: int
    new: bool
    stats: str


@dataclass(frozen=True, slots=True)
class RemovedFile:
    """A data file that is not part of it any more; its rows are elsewhere."""

    path: str
    bytes: int
    partition: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What a version changes: files, and by app transaction its new number."""

    added: Sequence[AddedFile] = ()
    removed: Sequence[RemovedFile] = ()
    transactions: Mapping[str, int] = field(default_factory=dict)


def commit(table: Place, change: Change, *, seen: int, now_ms: int) -> list[Version]:
    """Put the change after version `seen`, or after what others have put since; durable on return. All versions from
    `seen` + 1 on, the last being this one.

    OvertakenError if one of the others' touched the same transactions, removed the same files or changed the table
    itself. StoreError or OSError when it is not known whether it was put.
    """
    body = lines(change, now_ms=now_ms)
    versions: list[Version] = []
    for number in range(seen + 1, seen + 1 + _MOST_OVERTAKEN):
        if put_new(table, entry(number), body):
            return [*versions, Version(number, dict(change.transactions))]
        other = parse_version(number, table.read(entry(number)))
        if touches(other, change):
            raise OvertakenError(f"table {table}: another writer committed version {number} first")
        versions.append(other)
    raise OvertakenError(f"table {table}: others committed {_MOST_OVERTAKEN} versions meanwhile")


def touches(other: Version, change: Change) -> bool:
    """Whether a version that came first forbids the change."""
    removed = {file.path for file in change.removed}
    shared = other.transactions.keys() & change.transactions.keys()
    return other.structural or bool(shared) or not removed.isdisjoint(other.removed)


def put_new(table: Place, name: str, body: bytes) -> bool:
    """Put what must not be there yet; False if another's is."""
    try:
        table.put_new(name, body)
    except StoreError:
        # it may have been put, and only the answer was lost
        if not table.exists(name):
            raise
        if table.read(name) != body:
            return False
        table.make_durable([name])
    return True


def lines(change: Change, *, now_ms: int) -> bytes:
    """A version's entry in the log: an action a line."""
    info: dict[str, object] = {
        "timestamp": now_ms,
        "operation": "OPTIMIZE" if change.removed else "WRITE",
        "operationParameters": {},
        "isBlindAppend": not change.removed,
        "engineInfo": "tidegate",
        "txnId": str(uuid.uuid4()),  # tells it from every other's
    }
    actions: list[dict[str, object]] = [{"commitInfo": info}]
    actions += [
        {"txn": {"appId": name, "version": number, "lastUpdated": now_ms}}
        for name, number in change.transactions.items()
    ]
    actions += [
        {
            "add": {
                "path": file.path,
                "partitionValues": dict(file.partition),
                "size": file.bytes,
                "modificationTime": file.modified_ms,
                "dataChange": file.new,
                "stats": file.stats,
            }
        }
        for file in change.added
    ]
    actions += [
        {
            "remove": {
                "path": file.path,
                "deletionTimestamp": now_ms,
                "dataChange": False,
                "extendedFileMetadata": True,
                "partitionValues": dict(file.partition),
                "size": file.bytes,
            }
        }
        for file in change.removed
    ]
    return "\n".join(json.dumps(action, separators=(",", ":")) for action in actions).encode()
