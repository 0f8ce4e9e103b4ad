"""A version of a table, put after those of others: what forbids it, and what deltalake makes of it."""

import time
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field
from deltalake.schema import PrimitiveType

from cloud.lake.commit import AddedFile, Change, OvertakenError, RemovedFile, commit, touches
from cloud.lake.delta import DeltaSink
from cloud.lake.log import Version
from cloud.lake.place import Place, open_place
from cloud.lake.runs import StreamKey
from cloud.lake.schema import CHECKPOINT_EVERY
from models.errors import StoreError
from tests.cloud.lake.results import AT, STREAM, frames_run, seqs_in_lake

KEY = StreamKey("gw-1", STREAM)
OLD = RemovedFile("old.parquet", 10, {})


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def frames(lake: Path) -> Place:
    DeltaSink(lake)
    return open_place(lake / "frames")


@pytest.mark.parametrize(
    ("other", "ours", "forbidden"),
    [
        (Version(1, {"a": 1}), Change(transactions={"b": 1}), False),
        (Version(1, {"a": 1, "b": 7}), Change(transactions={"b": 1}), True),
        (Version(1, {}, frozenset(["old.parquet"])), Change(transactions={"b": 1}), False),  # compacted meanwhile
        (Version(1, {}, frozenset(["old.parquet"])), Change(removed=[OLD]), True),
        (Version(1, {}, frozenset(["other.parquet"])), Change(removed=[OLD]), False),
        (Version(1, {}, structural=True), Change(transactions={"b": 1}), True),
    ],
)
def test_what_came_first_forbids_what_touches_it(other: Version, ours: Change, forbidden: bool) -> None:
    assert touches(other, ours) is forbidden


def test_a_change_goes_behind_those_of_others_that_do_not_touch_it(frames: Place) -> None:
    for name in ("a", "b"):
        commit(frames, Change(transactions={name: 5}), seen=0, now_ms=1)

    versions = commit(frames, Change(transactions={"c": 9}), seen=0, now_ms=1)

    assert [(version.number, version.transactions) for version in versions] == [
        (1, {"a": 5}),
        (2, {"b": 5}),
        (3, {"c": 9}),
    ]
    with pytest.raises(OvertakenError, match="version 2"):
        commit(frames, Change(transactions={"b": 6}), seen=0, now_ms=1)


def test_a_table_that_was_changed_meanwhile_is_looked_at_again(lake: Path) -> None:
    sink = DeltaSink(lake)
    DeltaTable(lake / "frames").alter.add_columns([Field("later", PrimitiveType("string"))])

    sink.commit([frames_run(1, 3)], at=AT)

    assert seqs_in_lake(lake) == [1, 2, 3]


def test_deltalake_reads_what_is_committed(frames: Place) -> None:
    now_ms = int(time.time() * 1000)
    added = AddedFile("some.parquet", 7, {"date": "2026-11-21"}, now_ms, True, '{"numRecords":2}')
    commit(frames, Change([added], transactions={"gw/1": 5}), seen=0, now_ms=now_ms)
    table = DeltaTable(frames.uri)

    (row,) = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    assert (row["path"], row["size_bytes"], row["num_records"]) == ("some.parquet", 7, 2)
    assert (table.transaction_version("gw/1"), table.history(1)[0]["operation"]) == (5, "WRITE")
    commit(frames, Change(removed=[RemovedFile("some.parquet", 7, {"date": "2026-11-21"})]), seen=1, now_ms=now_ms)
    assert DeltaTable(frames.uri).file_uris() == []


def test_a_log_that_nobody_looked_at_for_long_is_read_anew(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others went on and their versions expired: the next one being absent does not say that it is free."""
    sink, other = DeltaSink(lake), DeltaSink(lake)
    for seq in range(1, CHECKPOINT_EVERY + 2):
        other.commit([frames_run(seq, seq)], at=AT)
    for entry in (lake / "frames/_delta_log").glob("*.json"):
        if int(entry.stem) < CHECKPOINT_EVERY:
            entry.unlink()
    now_s = time.time()
    monkeypatch.setattr("cloud.lake.table.time.time", lambda: now_s + 3600)

    sink.commit([frames_run(1, CHECKPOINT_EVERY + 3)], at=AT)

    assert sink.last(KEY) == CHECKPOINT_EVERY + 3
    assert seqs_in_lake(lake) == list(range(1, CHECKPOINT_EVERY + 4))


def test_a_full_disk_puts_no_version(frames: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("greengrass.objects.os.fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            commit(frames, Change(transactions={"a": 5}), seen=0, now_ms=1)

    assert [version.number for version in commit(frames, Change(transactions={"a": 5}), seen=0, now_ms=1)] == [1]
