"""Compaction beside the commits."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from cloud.ingest import upkeep
from cloud.ingest.pictures import Pictures
from cloud.ingest.upkeep import COMPACT_AT_FILES, compact_where_due, keep_up, sweep_all
from cloud.ingest.waiting import KEEP, expired
from cloud.lake.delta import DeltaSink
from cloud.lake.place import open_place
from cloud.lake.upkeep import compact
from greengrass.objects import DiskStore
from tests.cloud.lake.results import AT, frames_run, picture, run_of, seqs_in_lake


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
    thread = threading.Thread(target=keep_up, args=(open_place(lake), DiskStore(lake / "objects"), stop))
    thread.start()
    _wait_until(lambda: "upkeep of the lake failed" in caplog.text)  # there is no lake yet

    sink = DeltaSink(lake)
    for seq in (1, 2, 3):
        sink.commit([frames_run(seq, seq)], at=AT)

    _wait_until(lambda: files(lake) == 1)
    stop.set()
    thread.join()
    assert caplog.text.count("upkeep of the lake failed") == 1


def test_while_ingest_has_no_time_compaction_waits_until_there_are_very_many_files(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(upkeep, "COMPACT_AT_FILES", 2)
    monkeypatch.setattr(upkeep, "COMPACT_AT_FILES_BUSY", 6)
    sink = DeltaSink(lake)
    stop, busy, looks = threading.Event(), threading.Event(), list[float]()
    busy.set()

    def worked_s() -> float:
        looks.append(time.monotonic())
        return looks[-1] if busy.is_set() else 0.0

    for seq in range(1, 6):
        sink.commit([frames_run(seq, seq)], at=AT)
    thread = threading.Thread(
        target=keep_up, args=(open_place(lake), DiskStore(lake / "objects"), stop), kwargs={"worked_s": worked_s}
    )
    thread.start()
    _wait_until(lambda: len(looks) > 5)
    assert files(lake) == 5
    sink.commit([frames_run(6, 6)], at=AT)
    _wait_until(lambda: files(lake) == 1)
    sink.commit([frames_run(7, 7)], at=AT)
    busy.clear()
    _wait_until(lambda: files(lake) == 1)
    stop.set()
    thread.join()


def test_parts_of_a_picture_that_never_became_whole_expire_and_are_named(
    lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    DeltaSink(lake)
    store = DiskStore(lake / "objects")
    pictures, now = Pictures(store), datetime.now(UTC)
    for number, parts in ((5, 3), (6, 1)):
        pictures.keep([run_of([*picture(number, parts=parts)[:2]])])
    assert len(list(store.list("waiting/"))) == 1

    sweep_all(open_place(lake), store, now=now + KEEP / 2)
    assert len(list(store.list("waiting/"))) == 1
    sweep_all(open_place(lake), store, now=now + KEEP + timedelta(minutes=2))

    assert [key.rpartition("/")[2] for key in store.list("")] == [f"{6:016x}.jpg"]
    assert "1 picture(s) were not whole 30 days after a part of theirs came" in caplog.text
    assert f"gateway-gw-1/2026-11-18/{5:016x}-of-3" in caplog.text


def test_when_a_part_came_counts_and_not_when_it_was_captured() -> None:
    came = "waiting/gateway-gw-1/1970-01-01/00000000000000a5-of-3/0000-0001-20261120T1200"
    of_an_older_tidegate = "waiting/gateway-gw-1/2026-11-18/00000000000000a5-of-3/0000-0001"
    not_ours = "waiting/README"

    keys = [came, of_an_older_tidegate, not_ours]
    assert expired(keys, before=datetime(2026, 11, 20, 12, 0, tzinfo=UTC)) == [of_an_older_tidegate]
    assert expired(keys, before=datetime(2026, 11, 20, 12, 1, tzinfo=UTC)) == [came, of_an_older_tidegate]


def _wait_until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(3000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it did not happen within 30 s")
