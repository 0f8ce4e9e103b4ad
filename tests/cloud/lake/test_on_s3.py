"""The lake on S3: what a bucket, a network and an account do to it, and that whoever reads it reads it there too."""

import json
import threading

import pytest
from deltalake import DeltaTable

import tidegate
from cloud.ingest.upkeep import compact_where_due
from cloud.lake.delta import DeltaSink
from cloud.lake.lake import Lake
from cloud.lake.place import open_place
from cloud.lake.runs import StreamKey
from cloud.lake.upkeep import compact, sweep
from models.errors import LakeError
from tests.cloud.lake.results import AT, STREAM, frame, frames_run, health, lost, run_of, seqs_in_lake
from tests.s3 import S3

KEY = StreamKey("gw-1", STREAM)


@pytest.fixture
def lake(s3: S3) -> str:
    return f"s3://{s3.new_bucket()}/some/lake"


def log_entry(table: str, version: int) -> str:
    return f"{table}/_delta_log/{version:020}.json"


def test_of_two_writers_of_one_version_one_is_refused_and_looks_again(lake: str) -> None:
    """Three at once, each with the whole stream: a version that overwrote another's would lose or repeat records."""
    sinks = [DeltaSink(lake) for _ in range(3)]
    ready = threading.Barrier(len(sinks))
    failed: list[LakeError] = []

    def send(number: int) -> None:
        ready.wait()
        try:
            for last in range(1, 4):
                sinks[number].commit([frames_run(1, last), frames_run(1, last, gateway=f"own-{number}")], at=AT)
        except LakeError as exc:
            failed.append(exc)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(len(sinks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failed
    for gateway in ("gw-1", *(f"own-{number}" for number in range(3))):
        assert seqs_in_lake(lake, gateway=gateway) == [1, 2, 3]


def test_a_crash_between_the_file_and_the_commit_leaves_a_file_that_nobody_names(lake: str, s3: S3) -> None:
    sink = DeltaSink(lake)
    with s3.refusing(lambda method, path: method == "PUT" and "frames/_delta_log" in path):
        with pytest.raises(LakeError, match="access denied: grant"):
            sink.commit([run_of([frame(1), lost(2, 4), health()])], at=AT)
        assert sink.last(KEY) == 0
    assert len([path for path in s3.put if path.startswith(f"/{lake[5:]}/frames/date=2026-11-20/")]) == 1

    sink.commit([run_of([frame(1), lost(2, 4), health(), frame(6)])], at=AT)

    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5, 6]


def test_a_commit_whose_answer_is_lost_is_made_once(lake: str, s3: S3) -> None:
    sink = DeltaSink(lake)
    s3.lose_the_answer(lambda method, path: method == "PUT" and path.endswith(log_entry("frames", 1)))

    sink.commit([frames_run(1, 3)], at=AT)
    sink.commit([frames_run(2, 5)], at=AT)

    assert s3.put.count(f"/{lake[5:]}/{log_entry('frames', 1)}") > 1
    assert DeltaSink(lake).last(KEY) == 5
    assert seqs_in_lake(lake) == [1, 2, 3, 4, 5]


def test_upkeep_and_readers(lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.ingest.upkeep.COMPACT_AT_FILES", 4)
    sink = DeltaSink(lake)
    for seq in range(1, 5):
        sink.commit([frames_run(seq, seq), run_of([health()], stream=f"{seq:016x}")], at=AT)

    compact_where_due(open_place(lake))

    table = DeltaTable(f"{lake}/frames", storage_options=dict(open_place(lake).options))
    assert len(table.file_uris()) == 1
    assert seqs_in_lake(lake) == [1, 2, 3, 4]
    assert [row.gateway for row in Lake(lake).health()] == ["gw-1"] * 4
    assert compact(open_place(lake) / "frames") == 0
    assert sweep(open_place(lake) / "frames") == 0  # a day has not passed


def test_it_is_queried_like_any_other(lake: str, capsys: pytest.CaptureFixture[str]) -> None:
    DeltaSink(lake).commit([frames_run(1, 3)], at=AT)

    assert tidegate.main(["query", "SELECT count(*) AS n FROM frames", "--lake", lake, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 3}]


def test_mistakes_are_one_line(s3: S3, lake: str) -> None:
    with pytest.raises(LakeError, match=r"^s3://.*/some/lake is not a lake: no table .*frames"):
        Lake(lake)
    with pytest.raises(LakeError, match=r"no-such-bucket/lake/losses cannot be made: NoSuchBucket: .* exist"):
        DeltaSink("s3://no-such-bucket/lake")
    with pytest.raises(LakeError, match=r"expected s3://BUCKET/PREFIX or a folder"):
        DeltaSink("gs://bucket/lake")
    with s3.refusing(), pytest.raises(LakeError, match=r"be read: .*ACCESS_DENIED"):
        Lake(lake)
