"""Data files: what the log says of them, and which are merged."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from cloud.lake.delta import DeltaSink
from cloud.lake.files import statistics
from cloud.lake.lake import Lake
from cloud.lake.place import open_place
from cloud.lake.upkeep import TARGET_BYTES, DataFile, compact, mergeable
from tests.cloud.lake.results import AT, CAPTURED_US, frame, frames_run, run_of

KB, MB = 1 << 10, 1 << 20


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def test_the_log_says_what_is_in_a_file(tmp_path: Path) -> None:
    captured = datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC)
    table = pa.table(
        {
            "seq": pa.array([5, 3, 9]),
            "gateway": pa.array(["gw-2", None, "gw-1"]),
            "captured_at": pa.array([captured] * 3, pa.timestamp("us", "UTC")),
            "camera": pa.array(["x" * 500] * 3),  # too long for the log
            "detections": pa.array([[1], [], [2, 3]]),  # nested
            "p50_ms": pa.array([1.0, float("nan"), 2.0]),  # NaN has no order
        }
    )
    pq.write_table(table, tmp_path / "file.parquet", row_group_size=2)

    assert statistics(pq.read_metadata(tmp_path / "file.parquet")) == {
        "numRecords": 3,
        "minValues": {"seq": 3, "gateway": "gw-1", "captured_at": "2026-01-02T03:04:05.678Z"},
        "maxValues": {"seq": 9, "gateway": "gw-2", "captured_at": "2026-01-02T03:04:05.678Z"},
        "nullCount": {"seq": 0, "gateway": 1, "captured_at": 0},
    }


def test_a_query_by_time_finds_rows_at_the_edge_of_a_file(lake: Path) -> None:
    sink = DeltaSink(lake)
    sink.commit([run_of([frame(999)])], at=AT)  # captured_at ends in .000999
    sink.commit([frames_run(2, 3)], at=AT)

    edge = datetime(1970, 1, 1) + timedelta(microseconds=CAPTURED_US + 999)

    for condition, rows in ((f"= TIMESTAMP '{edge}'", 1), (f"> TIMESTAMP '{edge}'", 0), (f"< TIMESTAMP '{edge}'", 2)):
        answer = Lake(lake).query(f"SELECT frame FROM frames WHERE captured_at {condition}")
        assert answer.num_rows == rows, condition


def test_deltalake_itself_reads_what_we_wrote_and_merged(lake: Path) -> None:
    sink = DeltaSink(lake)
    for seq in range(1, 6):
        sink.commit([frames_run(seq, seq)], at=AT)

    assert compact(open_place(lake / "frames")) == 5

    table = DeltaTable(lake / "frames")
    assert sorted(table.to_pyarrow_table()["seq"].to_pylist()) == [1, 2, 3, 4, 5]
    assert [action["dataChange"] for action in _adds(lake, table.version())] == [False]
    (added,) = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    assert (added["num_records"], added["min.seq"], added["max.seq"]) == (5, 1, 5)
    assert added["partition.date"] == AT.date()


def test_a_second_compaction_of_the_same_files_is_refused(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = DeltaSink(lake)
    for seq in range(1, 6):
        sink.commit([frames_run(seq, seq)], at=AT)
    stale = DeltaTable(lake / "frames")
    assert compact(open_place(lake / "frames")) == 5

    monkeypatch.setattr("cloud.lake.upkeep.open_table", lambda _: stale)
    assert compact(open_place(lake / "frames")) == 0

    assert Lake(lake).query("SELECT count(*) AS n FROM frames").to_pylist() == [{"n": 5}]


@pytest.mark.parametrize(
    ("sizes", "merged"),
    [
        ([], []),
        ([10 * KB], []),  # nothing to merge it with
        ([10 * KB] * 5, [[10 * KB] * 5]),
        ([3 * MB, 10 * KB, 10 * KB], [[3 * MB, 10 * KB, 10 * KB]]),  # tiny all the same
        ([50 * MB, 10 * KB, 10 * KB], [[10 * KB, 10 * KB]]),  # not rewritten for two little ones
        ([6 * MB, 5 * MB, 3 * MB, 2 * MB], [[3 * MB, 2 * MB]]),
        ([6 * MB] * 7, []),  # not yet worth it
        ([6 * MB] * 8, [[6 * MB] * 8]),
        ([40 * MB] * 4, [[40 * MB] * 3]),  # as many as there is room for
        ([TARGET_BYTES - KB, 60 * MB, 50 * MB, 4 * MB], []),
        ([TARGET_BYTES + KB, KB], []),
    ],
)
def test_files_are_merged_with_their_like(sizes: list[int], merged: list[list[int]]) -> None:
    files = [DataFile(f"{k}", size, k, (("date", "2026-11-20"),)) for k, size in enumerate(sizes)]

    assert [[file.bytes for file in group] for group in mergeable(files)] == merged


def test_files_of_different_days_are_not_merged() -> None:
    files = [DataFile(f"{k}", KB, k, (("date", f"2026-11-2{k % 2}"),)) for k in range(4)]

    assert [{file.partition for file in group} for group in mergeable(files)] == [
        {(("date", "2026-11-20"),)},
        {(("date", "2026-11-21"),)},
    ]


def _adds(lake: Path, version: int) -> list[dict[str, object]]:
    lines = (lake / "frames" / "_delta_log" / f"{version:020}.json").read_text().splitlines()
    return [action["add"] for action in map(json.loads, lines) if "add" in action]


def test_columns_are_told_as_suits_them(lake: Path) -> None:
    DeltaSink(lake).commit([run_of([frame(7)])], at=AT)
    (path,) = DeltaTable(lake / "frames").file_uris()
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(index) for index in range(group.num_columns)]
    encodings = {column.path_in_schema.rpartition(".")[2]: set(column.encodings) for column in columns}
    steps = {name for name, told in encodings.items() if "DELTA_BINARY_PACKED" in told}
    dictionary = {name for name, told in encodings.items() if "RLE_DICTIONARY" in told}

    assert steps == {"seq", "frame", "captured_at", "release", "steady_us"}
    assert dictionary == {"gateway", "stream", "camera", "model", "label", "class_id", "score", "track"}
    assert set(encodings) - steps - dictionary == {"x1", "y1", "x2", "y2"}
