"""Recorded means committed; what is recorded leaves only when it is acknowledged, or under a tombstone."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.spool import Spool
from models.detections import Detections
from models.errors import SpoolError
from models.records import FrameResult, Health, Record, Tombstone
from models.wire import decode_record


def frame(number: int, camera: str = "door") -> FrameResult:
    found = Detections.of([(1, 2, 30, 40)], [0.5], [0])
    return FrameResult.of(camera, number, 1_000_000_000 + number, "coco", 1, found, ("thing",))


def health(at_us: int = 1) -> Health:
    return Health(at_us, 60.0, "coco", 1, "d" * 64, "fp32")


def contents(spool: Spool) -> dict[str, list[tuple[int, Record]]]:
    return {
        stream.name: [(seq, decode_record(data)) for seq, data in spool.read(stream.name, after=0, limit=10_000)]
        for stream in spool.streams()
    }


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


def test_after_an_outage_live_results_go_into_new_streams(spool: Spool) -> None:
    spool.append(frame(0))
    spool.flush()
    spool.turn()
    spool.append(frame(1))
    spool.flush()
    assert [(stream.live, stream.last) for stream in spool.streams()] == [(False, 1), (True, 1)]


def test_a_full_spool_drops_the_oldest_frames_under_a_tombstone_and_keeps_health(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool.db", limit_bytes=4_000) as spool:
        spool.append(health())
        for number in range(200):
            spool.append(frame(number))
            if number % 20 == 19:
                spool.flush()
        depth = spool.depth
        assert depth.bytes <= 4_000
        lanes = {stream.lane: contents(spool)[stream.name] for stream in spool.streams()}
        assert lanes["health"] == [(1, health())]
        (first, stone), *rest = lanes["frames"]
        assert first == 1
        assert isinstance(stone, Tombstone)
        assert stone.first == 1
        assert depth.dropped == stone.last
        assert [seq for seq, _ in rest] == list(range(stone.last + 1, 201))


def test_an_acknowledgement_may_end_inside_a_tombstone(spool: Spool) -> None:
    for number in range(10):
        spool.append(frame(number))
    spool.flush()
    (stream,) = spool.streams()
    spool.bury(stream.name, 1, 8, "no room")
    spool.acknowledge(stream.name, 5)
    spool.flush()
    assert contents(spool)[stream.name][0] == (6, Tombstone(6, 8, "no room"))
    assert spool.depth.records == 3
    assert spool.read(stream.name, after=6, limit=1)[0][0] == 7


def test_a_file_under_the_name_of_another_is_refused(spool: Spool) -> None:
    assert spool.last_frame("belt", source="/a.mp4") == -1
    spool.append(frame(7, "belt"))
    spool.flush()
    assert spool.last_frame("belt", source="/a.mp4") == 7
    with pytest.raises(SpoolError, match="give the camera another name"):
        spool.last_frame("belt", source="/b.mp4")


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(b"not a database at all" * 1000)
    with Spool(tmp_path / "spool.db") as spool:
        spool.append(frame(0))
        spool.flush()
        assert len(spool.streams()) == 1
    assert list(tmp_path.glob("spool.db.damaged-*"))


def test_a_database_that_rots_inside_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with Spool(path) as spool:
        for number in range(2_000):
            spool.append(frame(number))
    with path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 4096)
    with Spool(path) as spool:
        spool.append(frame(0))
        spool.flush()
        assert spool.depth.records == 1
    assert list(tmp_path.glob("spool.db.damaged-*"))


def test_burying_what_has_gone_meanwhile_changes_nothing(spool: Spool) -> None:
    for number in range(3):
        spool.append(frame(number))
    spool.flush()
    (stream,) = spool.streams()
    spool.bury(stream.name, 1, 3, "no room in the spool")
    spool.bury(stream.name, 2, 2, "unreadable in the spool")
    assert contents(spool) == {stream.name: [(1, Tombstone(1, 3, "no room in the spool"))]}


def test_a_tombstone_that_rots_keeps_its_place(spool: Spool, tmp_path: Path) -> None:
    for number in range(3):
        spool.append(frame(number))
    spool.flush()
    (stream,) = spool.streams()
    spool.bury(stream.name, 1, 3, "no room in the spool")
    vandal = sqlite3.connect(tmp_path / "spool.db")
    vandal.execute("UPDATE records SET payload = x'ff'")
    vandal.commit()
    vandal.close()
    spool.acknowledge(stream.name, 1)
    spool.flush()
    assert contents(spool) == {stream.name: [(2, Tombstone(2, 3, "unreadable in the spool"))]}


def test_a_spool_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "spool.db").mkdir()
    with pytest.raises(SpoolError, match="cannot be opened"):
        Spool(tmp_path / "spool.db")


def test_a_disk_that_refuses_loses_nothing_and_is_tried_again(
    spool: Spool, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    # a trigger that fails stands in for a full disk: SQLite rolls back in the same way
    saboteur = sqlite3.connect(tmp_path / "spool.db")
    saboteur.execute("CREATE TRIGGER full BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    saboteur.commit()
    for number in range(3):
        spool.append(frame(number))
    eventually(lambda: "disk is full" in spool.trouble)
    assert spool.depth.records == 0
    assert spool.streams() == []
    saboteur.execute("DROP TRIGGER full")
    saboteur.commit()
    saboteur.close()
    eventually(lambda: spool.depth.records == 3)
    (stream,) = spool.streams()
    numbers = [record.frame for _, record in contents(spool)[stream.name] if isinstance(record, FrameResult)]
    assert numbers == [0, 1, 2]
    eventually(lambda: spool.trouble == "")


def test_others_may_look_at_the_database_and_put_triggers_beside_the_records(tmp_path: Path) -> None:
    Spool(tmp_path / "spool.db").close()
    witness = sqlite3.connect(tmp_path / "spool.db")
    witness.executescript(
        "CREATE TABLE seen (stream, seq); CREATE TRIGGER see AFTER INSERT ON records "
        "BEGIN INSERT INTO seen VALUES (new.stream, new.seq); END"
    )
    with Spool(tmp_path / "spool.db", limit_bytes=3_000) as spool:
        for number in range(100):
            spool.append(frame(number))
            spool.flush()
        assert spool.depth.dropped
    assert witness.execute("SELECT count(*), count(DISTINCT seq) FROM seen").fetchone() == (100, 100)
    witness.close()


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
    database = sqlite3.connect(path)
    assert database.execute("SELECT count(*), coalesce(sum(length(payload)), 0) FROM records").fetchone() == (
        spool.depth.records,
        spool.depth.bytes,
    )
    database.close()
    spool.close()
