"""Reading the lake."""

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from pyarrow.fs import LocalFileSystem

from cloud.lake.delta import DeltaSink, create_lake
from cloud.lake.lake import Lake
from cloud.lake.place import open_place
from cloud.lake.schema import TABLES
from cloud.lake.table import dataset_of
from cloud.lake.upkeep import compact, sweep
from models.errors import LakeError
from tests.cloud.lake.results import AT, CAPTURED_US, OTHER_STREAM, frame, frames_run, health, lost, run_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def upkeep(folder: Path) -> None:
    for spec in TABLES:
        compact(open_place(folder / spec.name))
        sweep(open_place(folder / spec.name))


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("view", ["frames", "results", "events", "aggregates", "pictures", "health", "losses"])
def test_an_empty_lake_can_be_queried(folder: Path, view: str) -> None:
    create_lake(folder)

    answer = Lake(folder).query(f"SELECT * FROM {view}")

    assert answer.num_rows == 0
    assert answer.column_names[:2] == ["gateway", "stream"]


def test_making_a_lake_twice_changes_nothing(folder: Path) -> None:
    DeltaSink(folder).commit([frames_run(1, 3)], at=AT)

    create_lake(folder)

    assert Lake(folder).query("SELECT count(*) AS n FROM frames").to_pylist() == [{"n": 3}]


def test_a_folder_that_is_no_lake_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        LakeError, match=r"is not a lake: no table losses, health, events, .*frames .* `tidegate ingest --lake`"
    ):
        Lake(tmp_path / "typo")


def test_a_lake_of_an_older_tidegate_can_be_queried(folder: Path) -> None:
    DeltaSink(folder).commit([frames_run(1, 3)], at=AT)
    for table in ("events", "aggregates", "pictures"):
        shutil.rmtree(folder / table)

    answer = Lake(folder).query(
        "SELECT (SELECT count(*) FROM frames) AS frames, (SELECT count(*) FROM events) AS events"
    )

    assert answer.to_pylist() == [{"frames": 3, "events": 0}]


def test_results_have_a_row_per_detection(folder: Path) -> None:
    DeltaSink(folder).commit([frames_run(1, 6)], at=AT)

    answer = Lake(folder).query("SELECT frame, label, class_id, x1, x2, track FROM results ORDER BY frame, x1")

    assert [(row["frame"], row["label"], row["x1"]) for row in answer.to_pylist()] == [
        (1, "good", 1),
        (2, "good", 2),
        (2, "defect", 3),
        (4, "good", 4),
        (5, "good", 5),
        (5, "defect", 6),
    ]


@pytest.mark.usefixtures("far_from_utc")
def test_times_are_utc_wherever_the_reader_is(folder: Path) -> None:
    now_us = time.time_ns() // 1000
    DeltaSink(folder).commit([run_of([health(now_us - 60_000_000)])], at=datetime.now(UTC))

    answer = Lake(folder).query(
        "SELECT reported_at, at_us, reported_at > now() - INTERVAL 5 MINUTE AS young, reported_at > now() AS future "
        "FROM health"
    )

    (row,) = answer.to_pylist()
    assert row["reported_at"] == datetime(1970, 1, 1) + timedelta(microseconds=now_us - 60_000_000)
    assert (row["at_us"], row["young"], row["future"]) == (now_us - 60_000_000, True, False)


def test_health_since_a_time_is_oldest_first(folder: Path) -> None:
    windows = [health(CAPTURED_US + k * 5_000_000) for k in (3, 1, 2)]
    DeltaSink(folder).commit([run_of(list(windows), stream=OTHER_STREAM)], at=AT)

    lake = Lake(folder)

    assert [row.health.at_us for row in lake.health()] == sorted(window.at_us for window in windows)
    assert [row.seq for row in lake.health(CAPTURED_US + 10_000_000)] == [3, 1]
    assert lake.health(CAPTURED_US + 10_000_000)[0].health == windows[2]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nope FROM frames", 'column "nope" not found'),
        ("SELECT * FROM nowhere", "nowhere does not exist"),
        ("SELECT 'a'::INT", "Could not convert"),
        # the lake, and nothing else
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("COPY frames TO '/tmp/frames.csv'", "disabled by configuration"),
        ("SET enable_external_access = true", "Cannot enable external access"),
        ("SELECT * FROM folder", "folder does not exist"),  # no variables of ours
    ],
)
def test_wrong_sql_is_one_clear_line(folder: Path, sql: str, words: str) -> None:
    create_lake(folder)

    with pytest.raises(LakeError) as caught:
        Lake(folder).query(sql)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hostile_text_is_only_text(folder: Path) -> None:
    evil = "\x00\x1b[31m'; DROP VIEW frames; --\u202e"
    DeltaSink(folder).commit([run_of([frame(1, camera=evil), health(last_error=evil, class_mix={evil: 1})])], at=AT)

    lake = Lake(folder)

    assert lake.query("SELECT camera FROM frames").to_pylist() == [{"camera": evil}]
    assert lake.health()[0].health.class_mix == {evil: 1}


def test_compaction_keeps_every_row_and_what_streams_had_reached(folder: Path) -> None:
    sink = DeltaSink(folder)
    for first in range(1, 41, 4):
        sink.commit([frames_run(first, first + 3), run_of([lost(1, first)], stream=OTHER_STREAM)], at=AT)
    lake = Lake(folder)
    before = lake.query("SELECT * FROM results ORDER BY seq, x1").to_pylist()
    assert len(DeltaTable(folder / "frames").file_uris()) == 10

    upkeep(folder)

    assert len(DeltaTable(folder / "frames").file_uris()) == 1
    assert lake.query("SELECT * FROM results ORDER BY seq, x1").to_pylist() == before
    # the writer's handle is from before the compaction, and goes on; repeats are still repeats
    sink.commit([frames_run(37, 44)], at=AT)
    DeltaSink(folder).commit([frames_run(1, 44)], at=AT)
    assert lake.query("SELECT count(*) AS n, count(DISTINCT seq) AS d FROM frames").to_pylist() == [{"n": 44, "d": 44}]


def test_no_thread_of_arrow_calls_python(folder: Path) -> None:
    """One that still reads for a query that had enough (LIMIT) aborts the process when Python ends before it."""
    DeltaSink(folder).commit([frames_run(1, 5)], at=AT)
    dataset = dataset_of(open_place(folder / "frames"))
    assert isinstance(dataset.filesystem.base_fs, LocalFileSystem)
    assert dataset.count_rows() == 5


def test_a_reader_of_before_a_compaction_reads_on(folder: Path) -> None:
    sink = DeltaSink(folder)
    for seq in range(1, 6):
        sink.commit([frames_run(seq, seq)], at=AT)
    dataset = DeltaTable(folder / "frames").to_pyarrow_dataset()

    upkeep(folder)

    assert dataset.count_rows() == 5
