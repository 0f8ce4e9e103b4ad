"""What the Delta sink owes beyond the contract: crashes between its tables, checkpoints, durability."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.lake.delta import DeltaSink
from cloud.lake.lake import Lake
from cloud.lake.place import open_place
from cloud.lake.runs import StreamKey
from cloud.lake.schema import CAMERA_HEALTH, FRAMES, HEALTH
from cloud.lake.table import LakeTable
from cloud.lake.tables import health_table
from cloud.lake.upkeep import compact
from models.errors import LakeError
from models.health import CameraHealth
from models.records import Record
from tests.cloud.lake.results import (
    AT,
    STREAM,
    aggregate,
    event,
    frame,
    frames_run,
    health,
    in_lake,
    lost,
    run_of,
    seqs_in_lake,
)

KEY = StreamKey("gw-1", STREAM)
NEW = ("steady_us", "frames_still", "cpu_s", "cameras", "challenge")  # some columns that came later


class PowerCutError(BaseException):
    """Nobody gets to tidy up."""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def cut_power(monkeypatch: pytest.MonkeyPatch, *, after_tables: int) -> None:
    """The process dies when it has committed to so many tables."""
    append, left = LakeTable.append, [after_tables]

    def dying(*args: object) -> None:
        if left[0] == 0:
            raise PowerCutError
        left[0] -= 1
        append(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(LakeTable, "append", dying)


@pytest.mark.parametrize("after_tables", range(5))
def test_a_crash_between_two_tables_is_made_good(
    lake: Path, monkeypatch: pytest.MonkeyPatch, after_tables: int
) -> None:
    mixed: list[Record] = [frame(1), lost(2, 6), health(), frame(8), event(), aggregate(), event(9)]
    sink = DeltaSink(lake)
    with monkeypatch.context() as patch:
        cut_power(patch, after_tables=after_tables)
        with pytest.raises(PowerCutError):
            sink.commit([run_of(mixed)], at=AT)

    restarted = DeltaSink(lake)
    assert restarted.last(KEY) == 0  # nothing may be acknowledged yet
    restarted.commit([run_of(mixed)], at=AT)

    assert restarted.last(KEY) == 11
    assert seqs_in_lake(lake) == list(range(1, 12))


def test_what_was_declared_lost_before_a_crash_stays_lost_when_it_comes_again_readable(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = DeltaSink(lake)
    with monkeypatch.context() as patch:
        cut_power(patch, after_tables=1)
        with pytest.raises(PowerCutError):
            sink.commit([run_of([frame(1), lost(2, 6), frame(7)])], at=AT)

    DeltaSink(lake).commit([frames_run(1, 4)], at=AT)
    DeltaSink(lake).commit([frames_run(5, 7)], at=AT)

    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5, 6, 7]


_RECORDS = st.lists(st.sampled_from(["frame", "health", "lost", "event", "aggregate"]), min_size=1, max_size=8)


@given(
    attempts=st.lists(st.tuples(_RECORDS, st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=5),
)
@settings(max_examples=20, deadline=None)
def test_any_crashes_and_any_cuts_leave_each_record_once(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[list[str], int, int]]
) -> None:
    """Each attempt sends from what is acknowledged on (or some records before it), perhaps judged otherwise than
    before (a record refused then may be readable now), and dies after some tables, or after none."""
    lake = tmp_path_factory.mktemp("crash") / "lake"
    make: dict[str, Callable[[int], Record]] = {
        "frame": frame,
        "health": lambda _: health(),
        "lost": lambda seq: lost(seq, seq),
        "event": event,
        "aggregate": aggregate,
    }
    for kinds, overlap, after_tables in attempts:
        sink = DeltaSink(lake)
        first = max(1, sink.last(KEY) + 1 - overlap)
        run = run_of([make[kind](first + k) for k, kind in enumerate(kinds)], first=first)
        with pytest.MonkeyPatch.context() as patch:
            cut_power(patch, after_tables=after_tables)
            try:
                sink.commit([run], at=AT)
            except PowerCutError:
                continue
    last = DeltaSink(lake).last(KEY)
    DeltaSink(lake).commit([frames_run(last + 1, last + 20)], at=AT)

    assert seqs_in_lake(lake) == list(range(1, last + 21))


def test_streams_are_remembered_through_checkpoints_and_expired_logs(lake: Path) -> None:
    sink = DeltaSink(lake)
    sink.commit([frames_run(1, 9, gateway=f"gw-{k}") for k in range(20)], at=AT)
    for seq in range(1, 67):
        sink.commit([frames_run(seq, seq, gateway="busy")], at=AT)
    log = lake / "frames" / "_delta_log"
    checkpoints = sorted(log.glob("*.checkpoint.parquet"))
    assert checkpoints  # after 64 commits
    for entry in log.glob("*.json"):
        if entry.name[:20] <= checkpoints[-1].name[:20]:
            entry.unlink()

    restarted = DeltaSink(lake)

    assert [restarted.last(StreamKey(f"gw-{k}", STREAM)) for k in range(20)] == [9] * 20
    assert restarted.last(StreamKey("busy", STREAM)) == 66
    # as deltalake reads it
    assert DeltaTable(lake / "frames").transaction_version(f"gw-7/{STREAM}") == 9
    assert pq.read_table(checkpoints[-1], columns=["txn"])["txn"].drop_null()[0].as_py()["lastUpdated"] > 0


def test_transactions_outlive_any_spool_and_the_log_stays_short(lake: Path) -> None:
    DeltaSink(lake)

    for table in ("frames", "health", "losses"):
        configuration = DeltaTable(lake / table).metadata().configuration
        assert configuration["delta.setTransactionRetentionDuration"] == "interval 366 days"
        assert configuration["delta.logRetentionDuration"] == "interval 2 hours"


def test_a_commit_that_returned_survives_a_power_cut(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = DeltaSink(lake)
    before = {path for path in lake.rglob("*") if path.is_file()}
    synced = set()

    def spying(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)  # whatever it is called by then
        real(handle)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", spying)

    sink.commit([run_of([frame(1), lost(2, 6), health()])], at=AT)

    files = {path for path in lake.rglob("*") if path.is_file()} - before
    assert len(files) == 6  # a data file and a log entry in each of three tables
    folders = {path.parent for path in files} | {lake / "frames"}
    assert {path.stat().st_ino for path in files | folders} <= synced


def test_a_lake_of_an_older_tidegate_goes_on_with_new_columns(lake: Path) -> None:
    older = {spec: pa.schema([field for field in spec.schema if field.name not in NEW]) for spec in (FRAMES, HEALTH)}
    for spec, schema in older.items():
        (lake / spec.name).mkdir(parents=True)
        DeltaTable.create(lake / spec.name, schema, partition_by=list(spec.partition_by) or None)
    table = LakeTable(open_place(lake), HEALTH)
    rows = health_table([run_of([health(at_us=1)])], written={}).select(older[HEALTH].names)
    table.append(rows, {str(KEY): 1})

    DeltaSink(lake).commit([run_of([health(at_us=2, frames_still=5)], gateway="gw-2")], at=AT)

    assert [(row.health.at_us, row.health.frames_still) for row in Lake(lake).health()] == [(1, 0), (2, 5)]
    compact(open_place(lake / "health"))
    assert Lake(lake).health()[0].health == health(at_us=1)


def test_a_lake_of_an_older_tidegate_goes_on_where_a_struct_has_grown(lake: Path) -> None:
    grown = pa.struct([field for field in CAMERA_HEALTH if field.name not in ("failed", "pictures_withheld")])
    older = HEALTH.schema.set(HEALTH.schema.get_field_index("cameras"), pa.field("cameras", pa.list_(grown)))
    (lake / "health").mkdir(parents=True)
    DeltaTable.create(lake / "health", older)
    was, told = health(at_us=1, cameras=(CameraHealth("door", "ok", seen=3),)), CameraHealth("door", "ok", 9, failed=4)
    rows = health_table([run_of([was])], written={}).cast(older)
    LakeTable(open_place(lake), HEALTH).append(rows, {str(KEY): 1})

    DeltaSink(lake).commit([run_of([health(at_us=2, cameras=(told,))], gateway="gw-2")], at=AT)

    assert [row.health.cameras for row in Lake(lake).health()] == [was.cameras, (told,)]
    version = DeltaTable(lake / "health").version()
    DeltaSink(lake)
    assert DeltaTable(lake / "health").version() == version, "nothing is added twice"
    compact(open_place(lake / "health"))
    assert [row.health.cameras for row in Lake(lake).health()] == [was.cameras, (told,)]


def test_a_lake_that_cannot_be_read_says_which_table(lake: Path) -> None:
    DeltaSink(lake)
    (lake / "health" / "_delta_log" / "00000000000000000000.json").write_text("{")

    with pytest.raises(LakeError, match=r"lake/health cannot be read"):
        DeltaSink(lake)


def test_nothing_else_is_counted_twice_by_the_tests_own_count(lake: Path) -> None:
    DeltaSink(lake).commit([frames_run(1, 2), run_of([lost(1, 3)], gateway="gw-2")], at=AT)

    assert sorted(in_lake(lake).values()) == [1] * 5
