"""Recorded means committed; what is recorded leaves only when it is acknowledged, or under a tombstone."""

import sqlite3
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import spool as spool_module
from edge import spool_streams
from edge.pictures import parts_of
from edge.spool import Spool
from models.detections import Detections
from models.errors import SpoolError
from models.health import Health
from models.records import Aggregate, Event, FrameResult, PicturePart, Record, Tombstone
from simulator.witness import Witness
from tests.edge.bad_disks import hanging_disk


def frame(number: int, camera: str = "door") -> FrameResult:
    found = Detections.of([(1, 2, 30, 40)], [0.5], [0])
    return FrameResult.of(camera, number, 1_000_000_000 + number, "coco", 1, found, ("thing",))


def health(at_us: int = 1) -> Health:
    return Health(at_us, 60.0, "coco", 1, "d" * 64, "fp32")


def event(*, alarm: bool = False) -> Event:
    return Event("door", 1, 1, "line", "fence", alarm=alarm)


def aggregate() -> Aggregate:
    return Aggregate("door", 0, 60.0, "", "thing", 900, 3, 1, 1)


def picture(number: int) -> PicturePart:
    noise = np.random.default_rng(number).bytes(1_000)
    return PicturePart("0123456789abcdef", 0, 1, "door", number, 1, "crop", (0, 0, 8, 8), noise)


def contents(spool: Spool) -> dict[str, list[tuple[int, Record]]]:
    return {stream.name: spool.read(stream.name, after=stream.acked, limit=10_000) for stream in spool.streams()}


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool.db", commit_s=0.05) as spool:
        yield spool


def test_lanes_have_streams_of_their_own_numbered_from_one(spool: Spool) -> None:
    for number in range(3):
        spool.append(frame(number))
    spool.append(health())
    spool.flush()
    lanes = {stream.lane: stream for stream in spool.streams()}
    assert (lanes["frames"].acked, lanes["frames"].last) == (0, 3)
    assert (lanes["health"].acked, lanes["health"].last) == (0, 1)
    assert [seq for seq, _ in contents(spool)[lanes["frames"].name]] == [1, 2, 3]


def test_a_record_is_committed_soon_without_asking(tmp_path: Path, eventually: Callable[..., None]) -> None:
    with Spool(tmp_path / "spool.db") as spool:
        spool.append(frame(0))
        eventually(lambda: bool(spool.streams()), timeout_s=3.0)


def test_a_new_start_opens_new_streams_and_keeps_the_old_ones(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db") as before:
        before.append(frame(0))
    with Spool(tmp_path / "spool.db") as spool:
        (old,) = spool.streams()
        assert not old.live
        spool.append(frame(1))
        spool.flush()
        assert [stream.live for stream in spool.streams()] == [False, True]
        assert spool.last_frame("door") == 1


def test_an_acknowledgement_lets_records_go_and_survives_a_restart(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db") as before:
        for number in range(5):
            before.append(frame(number))
        before.flush()
        (stream,) = before.streams()
        before.acknowledge(stream.name, 3)
        assert before.streams()[0].acked == 3
    with Spool(tmp_path / "spool.db") as spool:
        assert [seq for seq, _ in contents(spool)[stream.name]] == [4, 5]
        spool.acknowledge(stream.name, 5)
        assert spool.streams() == []
        spool.flush()
        assert spool.depth.records == spool.depth.bytes == 0
        assert spool.last_frame("door") == 4


def test_an_acknowledgement_beyond_what_is_recorded_takes_no_number_from_the_future(spool: Spool) -> None:
    spool.append(frame(0))
    spool.flush()
    (stream,) = spool.streams()
    spool.acknowledge(stream.name, 100)
    spool.append(frame(1))
    spool.flush()
    assert spool.streams()[0].acked == 1


def test_what_is_gone_or_was_never_there_reads_as_nothing(spool: Spool) -> None:
    for number in range(5):
        spool.append(frame(number))
    spool.flush()
    (stream,) = spool.streams()
    assert spool.read(stream.name, after=5, limit=10) == []
    assert spool.read("00000000000000aa", after=0, limit=10) == []
    spool.acknowledge(stream.name, 5)
    spool.flush()
    assert spool.read(stream.name, after=0, limit=10) == []
    assert spool.incidents() == []


def test_after_an_outage_live_results_go_into_new_streams(spool: Spool) -> None:
    spool.append(frame(0))
    spool.flush()
    spool.turn()
    spool.append(frame(1))
    spool.flush()
    assert [(stream.live, stream.last) for stream in spool.streams()] == [(False, 1), (True, 1)]


def test_a_full_spool_gives_up_by_meaning_under_tombstones(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", limit_bytes=20_000) as spool:
        spool.append(health(), event(alarm=True), event(), aggregate())
        spool.append(*(picture(number) for number in range(5)))
        for number in range(3_000):
            spool.append(frame(number))
            if number % 10 == 9:
                spool.flush()
        depth = spool.depth
        assert depth.bytes <= 20_000
        lanes = {stream.lane: contents(spool)[stream.name] for stream in spool.streams()}
    for lane in ("health", "alarms", "events", "aggregates"):
        assert [seq for seq, record in lanes[lane] if not isinstance(record, Tombstone)] == [1]
    assert lanes["pictures"] == [(1, Tombstone(1, 5, "no room in the spool"))]
    lost = [record for records in lanes.values() for _, record in records if isinstance(record, Tombstone)]
    assert sum(stone.last - stone.first + 1 for stone in lost) == depth.dropped
    kept = [record.frame for _, record in lanes["frames"] if isinstance(record, FrameResult)]
    spared = [record.frame for _, record in lanes["spare"] if isinstance(record, FrameResult)]
    assert min(spared) > min(kept), "thinned before anything is given up as a whole"
    dense = next(number for number in kept if number + 1 not in kept)
    assert all(later - earlier == 8 for earlier, later in pairwise(kept[dense + 1 :]))
    assert kept[-1] >= 3_000 - 8


def test_a_picture_is_dropped_whole_or_not_at_all(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", limit_bytes=100_000, commit_s=3600) as spool:
        for number in range(60):
            jpeg = np.random.default_rng(number).bytes(4_000 + number * 211 % 3_000)
            spool.append(
                *parts_of(
                    jpeg,
                    picture=f"{number:016x}",
                    camera="door",
                    frame=number,
                    at_us=1,
                    kind="crop",
                    xyxy=(0, 0, 8, 8),
                    part_bytes=1_000,
                )
            )
            spool.flush()
            ((_, records),) = contents(spool).items()
            assert_whole([record for _, record in records])
        assert spool.depth.dropped > 0
        (stream,) = spool.streams()
        third = next(seq for seq, record in records if isinstance(record, PicturePart) and record.part == 2)
        spool.bury(stream.name, stream.acked + 1, third, "too large for the uplink")
        assert_whole([record for _, record in contents(spool)[stream.name]])


def assert_whole(records: list[Record]) -> None:
    """A tombstone, and then pictures without a part missing."""
    parts = [record for record in records if isinstance(record, PicturePart)]
    assert len(records) - len(parts) <= 1
    expected = 0
    for part in parts:
        assert part.part == expected
        expected = (part.part + 1) % part.parts
    assert expected == 0


def test_a_disk_that_hangs_is_said_and_neither_a_stop_nor_a_question_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    monkeypatch.setattr(spool_module, "HANGS_S", 0.2)
    with hanging_disk(monkeypatch) as disk:
        spool = Spool(tmp_path / "spool.db", commit_s=0.01)
        spool.append(*(frame(number) for number in range(5)))
        spool.flush()
        (stream,) = spool.streams()
        disk.clear()
        spool.append(frame(5))
        eventually(lambda: "has not answered for" in spool.trouble)
        spool.append(frame(6))
        spool.hasten(wait_s=60)
        spool.acknowledge(stream.name, 2)
        spool.spend("2026-01-01", 5)
        assert [(one.acked, one.last) for one in spool.streams()] == [(2, 5)]
        assert (spool.depth.records, spool.last_recorded(stream.name), spool.is_live(stream.name)) == (5, 5, True)
        assert (spool.spent("2026-01-01"), spool.takes_more, spool.incidents()) == (5, True, [])
        with pytest.raises(SpoolError, match="left without it: 2 records are not written, 3 wait for the next start"):
            spool.close()
        disk.set()
        eventually(lambda: spool.trouble == "")
        spool.close()  # it goes on where it was
    with Spool(tmp_path / "spool.db") as again:
        assert [seq for seq, _ in contents(again)[stream.name]] == [3, 4, 5, 6, 7]


def test_a_commit_that_is_hastened_is_on_disk(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", commit_s=3600) as spool:
        for number in range(3):
            spool.append(frame(number))
            spool.hasten(wait_s=60)
            assert spool.depth.records == number + 1
        spool.hasten(wait_s=60)


def test_an_acknowledgement_may_end_inside_a_tombstone(spool: Spool) -> None:
    for number in range(10):
        spool.append(frame(number))
    spool.flush()
    (stream,) = spool.streams()
    spool.bury(stream.name, 1, 8, "no room")
    assert spool.depth.records == 2
    spool.acknowledge(stream.name, 5)
    spool.flush()
    assert contents(spool)[stream.name][0] == (6, Tombstone(6, 8, "no room"))
    assert spool.depth.records == 2
    assert spool.read(stream.name, after=6, limit=1)[0][0] == 7


def test_a_file_under_the_name_of_another_is_refused(spool: Spool) -> None:
    assert spool.last_frame("belt", source="/a.mp4") == -1
    spool.append(frame(7, "belt"))
    spool.flush()
    assert spool.last_frame("belt", source="/a.mp4") == 7
    with pytest.raises(SpoolError, match="give the camera another name"):
        spool.last_frame("belt", source="/b.mp4")


def test_a_file_name_put_right_before_anything_was_seen_is_no_other_file(spool: Spool) -> None:
    assert spool.last_frame("belt", source="/bolt.mp4") == -1
    assert spool.last_frame("belt", source="/belt.mp4") == -1
    spool.append(frame(7, "belt"))
    spool.flush()
    assert spool.last_frame("belt", source="/belt.mp4") == 7


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"not a database at all" * 1000)
    with Spool(tmp_path / "spool.db") as spool:
        spool.append(frame(0))
        spool.flush()
        assert len(spool.streams()) == 1
    assert list(tmp_path.glob("spool.db.damaged"))


def test_of_a_database_that_rots_all_that_can_be_read_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with Spool(path) as spool:
        for number in range(6_000):
            spool.append(frame(number))
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 4096)
    with Spool(path) as spool:
        (incident,) = spool.incidents()
        assert "was damaged" in incident
        assert "records saved" in incident
        (stream,) = spool.streams()
        (records,) = [spool.read(stream.name, after=0, limit=30_000)]
        stones = [record for _, record in records if isinstance(record, Tombstone)]
        lost = sum(stone.last - stone.first + 1 for stone in stones)
        assert {stone.reason for stone in stones} == {"lost in a damaged spool"}
        assert 0 < lost < 3_000
        assert lost == spool.depth.dropped
        assert spool.depth.records == 6_000 - lost
        whole = [record for _, record in records if isinstance(record, FrameResult)]
        assert len(whole) == 6_000 - lost
        assert all(record.frame == seq - 1 for seq, record in records if isinstance(record, FrameResult))
        spool.append(frame(6_000))
        spool.flush()
        assert [stream.live for stream in spool.streams()] == [False, True]
    with Spool(path) as spool:
        assert spool.incidents() == []
        assert spool.depth.records == 6_001 - lost
    assert [path.name for path in tmp_path.glob("spool.db.*")] == ["spool.db.damaged"]


def test_burying_what_has_gone_meanwhile_changes_nothing(spool: Spool) -> None:
    for number in range(3):
        spool.append(frame(number))
    spool.flush()
    (stream,) = spool.streams()
    spool.bury(stream.name, 1, 3, "no room in the spool")
    spool.bury(stream.name, 2, 2, "unreadable in the spool")
    assert contents(spool) == {stream.name: [(1, Tombstone(1, 3, "no room in the spool"))]}


def test_a_record_that_rots_goes_out_as_a_tombstone_and_leaves_its_neighbours(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db") as spool:
        for number in range(40):
            spool.append(frame(number))
            spool.flush()
    vandal = sqlite3.connect(tmp_path / "spool.db")
    vandal.execute("UPDATE runs SET payload = x'00ff' WHERE last = 7")
    vandal.commit()
    vandal.close()
    with Spool(tmp_path / "spool.db") as spool:
        (stream,) = spool.streams()
        records = dict(contents(spool)[stream.name])
        assert records.pop(7) == Tombstone(7, 7, "unreadable in the spool")
        assert [record.frame for record in records.values() if isinstance(record, FrameResult)] == [
            number for number in range(40) if number != 6
        ]
        assert spool.depth.dropped == 1, "counted once"
        assert len(contents(spool)[stream.name]) == 40
        assert spool.depth.dropped == 1


def test_a_spool_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "spool.db").mkdir()
    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path / "spool.db")


def test_whoever_comes_after_the_end_damages_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db") as before:
        for number in range(10):
            before.append(frame(number))
        before.flush()
        (stream,) = before.streams()
    with pytest.raises(SpoolError, match="is closed"):
        before.read(stream.name, after=0, limit=10)
    with pytest.raises(SpoolError, match="is closed"):
        before.bury(stream.name, 1, 1, "too large")
    before.append(frame(10))
    with pytest.raises(SpoolError, match="is closed"):
        before.flush()
    with Spool(tmp_path / "spool.db") as after:
        assert [type(record) for _, record in contents(after)[stream.name]] == [FrameResult] * 10
        assert after.incidents() == []


def test_a_stream_that_has_been_quiet_for_long_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_streams, "_FINISHED_STREAMS", 2)
    with Spool(tmp_path / "spool.db", commit_s=3600) as spool:
        spool.append(health(1))
        spool.flush()
        (quiet,) = spool.streams()
        spool.acknowledge(quiet.name, 1)
        for number in range(20):
            spool.append(frame(number))
            spool.flush()
            (busy,) = spool.streams()
            spool.acknowledge(busy.name, 1)
            spool.turn({"frames"})
        spool.append(health(2))
        spool.flush()
        assert contents(spool) == {quiet.name: [(2, health(2))]}


def test_to_record_nothing_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_MAX_PENDING", 1)
    with Spool(tmp_path / "spool.db", commit_s=3600) as spool:
        spool.append(frame(0))
        assert not spool.takes_more
        spool.append()


def test_others_may_put_triggers_beside_the_records(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "spool.db")
    with Spool(tmp_path / "spool.db", limit_bytes=3_000) as spool:
        for number in range(100):
            spool.append(frame(number))
            spool.flush()
        assert spool.depth.dropped
    assert sorted(record.frame for record in witness.frames()) == list(range(100))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(1, 30)),
        st.tuples(st.just("acknowledge"), st.integers(0, 100)),
        st.tuples(st.just("bury"), st.integers(1, 10)),
        st.tuples(st.just("turn"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=15,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_streams_never_have_a_gap_and_the_books_agree_with_the_database(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("spool") / "spool.db"
    spool = Spool(path, limit_bytes=2_500)
    number = 0
    for what, amount in steps:
        streams = spool.streams()
        match what:
            case "record":
                for _ in range(amount):
                    spool.append(frame(number))
                    number += 1
                spool.flush()
            case "acknowledge" if streams:
                stream = streams[amount % len(streams)]
                spool.acknowledge(stream.name, stream.acked + (stream.last - stream.acked) * amount // 100)
                spool.flush()
            case "bury" if streams:
                stream = streams[0]
                first = spool.read(stream.name, after=stream.acked, limit=1)[0][0]
                spool.bury(stream.name, first, min(stream.last, first + amount), "test")
            case "turn":
                spool.turn()
            case "restart":
                spool.close()
                spool = Spool(path, limit_bytes=2_500)
        for stream in spool.streams():
            expected = stream.acked + 1
            for seq, record in contents(spool)[stream.name]:
                assert seq == expected
                expected = record.last + 1 if isinstance(record, Tombstone) else seq + 1
            assert expected == stream.last + 1
    waiting = [record for records in contents(spool).values() for _, record in records]
    assert spool.depth.records == sum(not isinstance(record, Tombstone) for record in waiting)
    spool.close()
    database = sqlite3.connect(path)
    assert database.execute("SELECT coalesce(sum(length(payload)), 0) FROM runs").fetchone() == (spool.depth.bytes,)
    database.close()
