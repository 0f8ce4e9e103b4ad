"""What shipping needs of a spool, on the gateway's own and on that of simulated gateways."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.lanes import Lane, lane_of
from edge.outbox import Outbox
from edge.spool import Spool, Stream
from models.detections import Detections
from models.health import Health
from models.records import Event, FrameResult, Record, Tombstone
from simulator.light.spool import LightSpool

Put = Callable[..., None]


def frame(number: int) -> FrameResult:
    found = Detections.of([(1, 2, 30, 40)], [0.5], [0])
    return FrameResult.of("door", number, 1_000_000_000 + number, "coco", 1, found, ("thing",))


def health() -> Health:
    return Health(1, 60.0, "coco", 1, "d" * 64, "fp32")


@pytest.fixture(params=["on disk", "light"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Outbox, Put]]:
    """An empty one, and how records get into it."""
    if request.param == "light":
        light = LightSpool(seed="test", limit_bytes=1 << 20)

        def put(*records: Record) -> None:
            for record in records:
                light.append(lane_of(record), [record], at_s=0.0)

        yield light, put
        return
    with Spool(tmp_path / "spool.db") as spool:

        def record_and_flush(*records: Record) -> None:
            spool.append(*records)
            spool.flush()

        yield spool, record_and_flush


def stream_of(outbox: Outbox, lane: Lane) -> Stream:
    (stream,) = [stream for stream in outbox.streams() if stream.lane == lane]
    return stream


def test_each_lane_has_a_stream_numbered_from_one(outbox: tuple[Outbox, Put]) -> None:
    box, put = outbox
    put(frame(1), frame(2), health(), Event("door", 1, 1, "line", "fence", alarm=True))
    assert {(s.lane, s.acked, s.last, s.live) for s in box.streams()} == {
        ("frames", 0, 2, True),
        ("health", 0, 1, True),
        ("alarms", 0, 1, True),
    }


def test_reading_begins_after_what_was_asked_or_acknowledged(outbox: tuple[Outbox, Put]) -> None:
    box, put = outbox
    put(*(frame(number) for number in range(10)))
    stream = stream_of(box, "frames").name
    assert [seq for seq, _ in box.read(stream, after=4, limit=3)] == [5, 6, 7]
    box.acknowledge(stream, 8)
    assert [(seq, r.frame) for seq, r in box.read(stream, after=8, limit=9) if isinstance(r, FrameResult)] == [
        (9, 8),
        (10, 9),
    ]


def test_one_record_at_least_is_read_however_few_bytes_are_allowed(outbox: tuple[Outbox, Put]) -> None:
    box, put = outbox
    put(frame(1), frame(2))
    assert box.read(stream_of(box, "frames").name, after=0, limit=9, limit_bytes=1)


def test_what_is_acknowledged_no_longer_waits(outbox: tuple[Outbox, Put]) -> None:
    box, put = outbox
    put(frame(1), frame(2))
    stream = stream_of(box, "frames").name
    box.acknowledge(stream, 1)
    assert (stream_of(box, "frames").acked, stream_of(box, "frames").last) == (1, 2)
    box.acknowledge(stream, 2)
    assert not box.streams()
    assert box.last_recorded(stream) == 2
    put(frame(3))
    assert stream_of(box, "frames").name == stream  # goes on where it was


def test_after_a_turn_records_join_another_stream(outbox: tuple[Outbox, Put]) -> None:
    box, put = outbox
    put(frame(1))
    old = stream_of(box, "frames").name
    box.turn(["frames"])
    put(frame(2))
    streams = {stream.name: stream for stream in box.streams()}
    assert len(streams) == 2
    assert not box.is_live(old)
    assert not streams[old].live
    assert streams[old].last == 1


def test_what_is_buried_is_a_tombstone_in_its_place(outbox: tuple[Outbox, Put]) -> None:
    box, put = outbox
    put(*(frame(number) for number in range(5)))
    stream = stream_of(box, "frames").name
    box.bury(stream, 2, 3, "too large")
    found = box.read(stream, after=0, limit=9)
    assert [seq for seq, _ in found] == [1, 2, 4, 5]
    assert found[1][1] == Tombstone(2, 3, "too large")


def test_nobody_elses_stream_has_any_records(outbox: tuple[Outbox, Put]) -> None:
    box, _ = outbox
    assert box.last_recorded("0123456789abcdef") == 0
    assert not box.is_live("0123456789abcdef")
