"""Compaction beside the commits."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from cloud.ingest import upkeep
from cloud.ingest.upkeep import COMPACT_AT_FILES, compact_where_due, keep_up
from cloud.lake.delta import DeltaSink
from cloud.lake.place import open_place
from cloud.lake.upkeep import compact
from tests.cloud.lake.results import AT, frames_run, seqs_in_lake


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def files(lake: Path) -> int:
    return len(DeltaTable(lake / "frames").file_uris())


def test_a_table_is_compacted_when_it_has_many_small_files(lake: Path) -> None:
    sink = DeltaSink(lake)
    for seq in range(1, COMPACT_AT_FILES):
        sink.commit([frames_run(seq, seq)], at=AT)
    compact_where_due(open_place(lake))
    assert files(lake) == COMPACT_AT_FILES - 1

    sink.commit([frames_run(COMPACT_AT_FILES, COMPACT_AT_FILES)], at=AT)
    compact_where_due(open_place(lake))

    assert files(lake) == 1
    assert seqs_in_lake(lake) == list(range(1, COMPACT_AT_FILES + 1))


def test_commits_and_compactions_do_not_hurt_each_other(lake: Path) -> None:
    sinks = [DeltaSink(lake), DeltaSink(lake)]
    stop = threading.Event()

    def compact_all_the_time() -> None:
        while not stop.is_set():
            compact(open_place(lake / "frames"))

    compactors = [threading.Thread(target=compact_all_the_time) for _ in range(2)]
    for thread in compactors:
        thread.start()
    for seq in range(1, 31):
        for k, sink in enumerate(sinks):
            sink.commit([frames_run(seq, seq, gateway=f"gw-{k}")], at=AT)
    stop.set()
    for thread in compactors:
        thread.join()

    for k in range(2):
        assert seqs_in_lake(lake, gateway=f"gw-{k}") == list(range(1, 31))


def test_upkeep_goes_on_after_a_failure_and_says_it_once(
    lake: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(upkeep, "COMPACT_AT_FILES", 2)
    stop = threading.Event()
    thread = threading.Thread(target=keep_up, args=(open_place(lake), stop))
    thread.start()
    _wait_until(lambda: "upkeep of the lake failed" in caplog.text)  # there is no lake yet

    sink = DeltaSink(lake)
    for seq in (1, 2, 3):
        sink.commit([frames_run(seq, seq)], at=AT)

    _wait_until(lambda: files(lake) == 1)
    stop.set()
    thread.join()
    assert caplog.text.count("upkeep of the lake failed") == 1


def _wait_until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(1000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it did not happen within 10 s")
