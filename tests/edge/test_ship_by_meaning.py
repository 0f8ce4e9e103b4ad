"""What goes first, and what stands back: alarms, live results, the backlog, and a byte budget that is kept."""

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import ship
from edge.byte_budget import ByteBudget
from models.health import Health
from models.records import Aggregate, Event, FrameResult, PicturePart, Tombstone
from models.wire import StreamAck, decode_batch, encode_acks, open_envelope
from tests.edge.ship_world import World

NOISE = np.random.default_rng(0)
HOUR_S = 3600


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.spool.close()


def event(number: int, *, alarm: bool = False) -> Event:
    return Event("door", number, number, "line", "fence", alarm=alarm)


def health(number: int) -> Health:
    return Health(number, 60.0, "coco", 1, "d" * 64, "fp32")


def aggregate(number: int) -> Aggregate:
    return Aggregate("door", number, 60.0, "", "thing", 900, 3, 1, 1)


def picture(number: int) -> PicturePart:
    return PicturePart(f"{number:016x}", 0, 1, "door", number, 1, "crop", (0, 0, 8, 8), NOISE.bytes(3_000))


def one_of_each(world: World, number: int) -> None:
    world.spool.append(picture(number), aggregate(number), event(number), health(number), event(number, alarm=True))
    world.record(1)


def offered_kinds(world: World) -> list[str]:
    """What each message held that was handed to the link, in order."""
    kinds = []
    for payload in world.uplink.offered:
        batch = decode_batch(payload)
        kinds += [
            name
            for name in ("frames", "health", "events", "aggregates", "pictures")
            if getattr(batch, name) and not (name == "events" and batch.events[0][1].alarm)
        ] or ["alarms"]
    return kinds


def test_what_matters_most_goes_first(world: World) -> None:
    one_of_each(world, 1)
    world.run(0.5)
    assert offered_kinds(world) == ["alarms", "health", "events", "aggregates", "frames", "pictures"]


def test_after_an_outage_alarms_then_what_is_live_then_the_backlog_then_pictures(world: World) -> None:
    world.uplink.down = True
    one_of_each(world, 1)
    world.run(2)
    world.pass_by(ship.OUTAGE_S)
    world.spool.turn()
    one_of_each(world, 2)
    world.uplink.offered.clear()
    world.uplink.down = False
    world.run(5)
    kinds = offered_kinds(world)
    assert kinds[:2] == ["alarms", "alarms"]
    assert kinds[2:6] == ["health", "events", "aggregates", "frames"]
    assert kinds[6:10] == ["health", "events", "aggregates", "frames"]
    assert kinds[10:] == ["pictures", "pictures"]
    assert [item.at_us for item in world.cloud.health.values()] == [2, 1], "the live one first"


def test_an_alarm_wakes_whoever_sends_and_needs_no_window(world: World, eventually: Callable[..., None]) -> None:
    world.spool.urgent.clear()
    world.record(3)
    assert not world.spool.urgent.is_set()
    world.spool.append(event(1, alarm=True))
    eventually(world.spool.urgent.is_set)
    world.step(0.0, tide=False)
    assert len(world.cloud.events) == 1
    assert not world.cloud.frames, "those wait for their window"


def test_an_alarm_does_not_wait_for_what_is_not_answered(world: World) -> None:
    world.uplink.deaf = True
    world.record(3_000)
    world.run(2)
    world.spool.append(event(1, alarm=True))
    world.spool.flush()
    world.step(0.5, tide=False)
    assert len(world.cloud.events) == 1


@pytest.mark.parametrize("hours", [1 / 6, 10])
def test_an_outage_loses_nothing_and_live_results_do_not_wait(world: World, hours: float) -> None:
    world.uplink.down = True
    minutes = int(hours * 60)
    for minute in range(minutes):
        world.record(15)
        world.spool.append(event(minute), aggregate(minute), health(minute))
        world.step(60)
    backlog = world.recorded
    assert world.cloud.messages == 0
    world.uplink.down = False
    world.run(6)  # it is tried again after five at most
    for _ in range(120):
        world.record(1)
        world.step(0.5)
        if len(world.cloud.frames) == world.recorded:
            break
        fresh = world.cloud.frame_numbers("door")
        assert world.recorded - 1 in fresh, "what was recorded last is there before the backlog has drained"
    assert world.cloud.frame_numbers("door") == list(range(world.recorded))
    assert world.recorded > backlog
    assert len(world.cloud.events) == len(world.cloud.aggregates) == len(world.cloud.health) == minutes
    assert world.cloud.losses == []
    world.run(1)
    assert world.spool.depth.records == 0


def test_short_outages_open_no_streams(world: World) -> None:
    for number in range(20):
        world.uplink.down = True
        world.record(50)
        world.spool.append(event(number), health(number))
        world.spool.flush()
        world.step(2 * ship.OUTAGE_S)
        world.uplink.down = False
        world.run(6)
    assert world.cloud.frame_numbers("door") == list(range(1_000))
    assert len(world.cloud.held) == 3, "each lane goes on in the stream it had"


def test_the_backlog_drains_at_a_pace(world: World) -> None:
    world.uplink.down = True
    for number in range(200):
        world.spool.append(picture(number))
    world.spool.flush()
    world.uplink.down = False
    world.run(4)
    assert len(world.cloud.pictures) > 20
    assert world.spool.depth.records, "it is not through yet"
    assert sum(world.cloud.sizes) <= 5 * ship.BACKLOG_BYTES_PER_S + 5_000


@pytest.fixture
def thrifty(tmp_path: Path) -> Iterator[World]:
    """Much less than its frames take."""
    world = World(tmp_path, budget=ByteBudget(300_000))
    yield world
    world.spool.close()


def test_a_byte_budget_is_kept_by_what_matters_least(thrifty: World) -> None:
    world, hours = thrifty, 12
    for minute in range(0, hours * 60, 10):
        world.record(300, things=3)
        world.spool.append(health(minute), event(minute), aggregate(minute), picture(minute))
        if minute % 100 == 0:
            world.spool.append(event(minute, alarm=True))
        world.spool.flush()
        world.step(600)
    allowed = 300_000 * (hours / 24 + 1 / 24)
    assert sum(world.cloud.sizes) == world.shipper.account.bytes_sent <= allowed + 1_000
    assert sum(world.cloud.sizes) > 0.8 * allowed, "kept, and used"
    assert len(world.cloud.health) == len(world.cloud.aggregates) == hours * 6
    assert Counter(item.alarm for item in world.cloud.events.values()) == {True: 8, False: hours * 6}
    assert not world.cloud.pictures, "which stand back first"
    account, waiting = world.shipper.account, world.spool.depth.records
    assert account.thin > 1
    assert account.held == waiting > world.recorded / 2
    assert world.cloud.losses == [], "held back, not thrown away"
    # what there was room for is spread over the time
    numbers = world.cloud.frame_numbers("door")
    by_hour = np.histogram(numbers, bins=hours, range=(0, world.recorded))[0]
    assert by_hour.min() > 0
    # nothing happens any more, and what waits uses the room
    for _ in range(100):
        world.step(600)
    assert world.spool.depth.records < waiting
    assert len(world.cloud.frames) > len(numbers)


def test_a_restart_does_not_forget_what_was_spent(thrifty: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = thrifty
    world.record(1_500, things=3)
    world.run(60)
    assert caplog.text.count("the byte budget has no room now for") == 1, "told once a day"
    sent = sum(world.cloud.sizes)
    assert sent > 3_000
    held = world.shipper.account.held
    assert held > 0
    world.restart()
    world.run(60)
    assert sum(world.cloud.sizes) - sent < 2_000
    assert world.shipper.account.held > 0


def test_a_clock_that_jumps_opens_another_period_and_comes_back_to_the_one_before(thrifty: World) -> None:
    world = thrifty
    world.record(1_500, things=3)
    world.run(60)
    sent = sum(world.cloud.sizes)
    world.now += 365 * 86_400
    world.run(60)
    assert sum(world.cloud.sizes) > sent
    world.now -= 365 * 86_400
    again = sum(world.cloud.sizes)
    world.run(60)
    assert sum(world.cloud.sizes) - again < 2_000


def test_without_pressure_all_frames_are_dense_again(thrifty: World) -> None:
    world = thrifty
    for _ in range(60):
        world.record(60, things=10)
        world.step(60)
    assert world.shipper.account.thin > 1
    for _ in range(40):
        world.step(HOUR_S)
    assert world.spool.depth.records == 0
    assert world.shipper.account.thin == 1
    assert world.cloud.frame_numbers("door") == list(range(world.recorded)), "what was spared came later"


def test_a_flood_of_hostile_messages_is_counted_and_changes_nothing(world: World) -> None:
    world.record(10)
    world.run(1)
    known = world.stream()
    for number in range(2_000):
        world.shipper.acknowledged(NOISE.bytes(number % 200))
        world.shipper.acknowledged(encode_acks([StreamAck(f"{number:016x}", 2**40)]))
        world.shipper.acknowledged(encode_acks([StreamAck(known, 2**40 + number)]))
    world.shipper.acknowledged(bytes(1 << 20))
    assert world.shipper.account.ignored > 4_000
    assert len(world.shipper.account.last_ignored) < 200
    world.record(10)
    world.run(2)
    assert world.cloud.frame_numbers("door") == list(range(20))
    assert world.spool.depth.records == 0


def test_streams_that_are_done_are_forgotten_and_late_answers_to_them_are_no_strangers(world: World) -> None:
    world.record(1)
    world.run(1)
    first = world.stream()
    for _ in range(300):
        world.spool.turn()
        world.record(1)
        world.step(1)
    assert len(world.shipper._courses) < 200
    world.shipper.acknowledged(encode_acks([StreamAck(world.spool_streams()[-1], 1)]))
    assert world.shipper.account.ignored == 0
    assert world.spool.streams() == []
    assert open_envelope(world.uplink.offered[-1]).stream != first
    assert not any(isinstance(record, Tombstone) for _, record in world.cloud.losses)
    assert all(isinstance(record, FrameResult) for record in world.cloud.frames.values())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.integers(1, 120)),
        st.tuples(st.just("other"), st.integers(1, 5)),
        st.tuples(st.just("link"), st.sampled_from([0, 33, 70, 100])),  # per cent lost; at 100 it takes nothing
        st.tuples(st.just("deaf"), st.sampled_from([0, 1])),
        st.tuples(st.just("time"), st.sampled_from([1, 30, 600])),
        st.tuples(st.just("thin"), st.sampled_from([1, 2, 8])),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("lake"), st.integers(1, 50)),  # forgets so many records of a stream
    ),
    max_size=20,
)


@settings(max_examples=8, deadline=None)
@given(steps=STEPS, spool_bytes=st.sampled_from([3_000, 1 << 20]))
def test_whatever_happens_each_record_is_there_once_or_counted_as_lost(
    steps: list[tuple[str, int]], spool_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), spool_bytes=spool_bytes)
        others = 0
        for what, amount in steps:
            match what:
                case "record":
                    world.record(amount)
                case "other":
                    for _ in range(amount):
                        others += 1
                        world.spool.append(event(others), health(others), picture(others))
                case "link":
                    world.uplink.down, world.uplink.loss = amount == 100, min(amount, 99) / 100
                case "deaf":
                    world.uplink.deaf = bool(amount)
                case "time":
                    world.pass_by(amount)
                case "thin":
                    world.spool.thin(amount)
                case "restart":
                    world.restart()
                case "lake" if world.cloud.held:
                    key = list(world.cloud.held)[amount % len(world.cloud.held)]
                    world.cloud.forget(key[0], key[1], max(0, world.cloud.held[key] - amount))
            world.step(1)
        world.uplink.down = world.uplink.deaf = False
        world.uplink.loss = 0.0
        for _ in range(25):
            world.record(1)  # or the lake would not hear of a stream that it forgot a part of
            world.spool.append(event(others), health(others), picture(others))
            others += 1
            world.step(60)
        world.run(5)
        assert world.spool.depth.records == 0
        cloud = world.cloud
        there = len(cloud.frames) + len(cloud.events) + len(cloud.health) + len(cloud.pictures)
        lost = sum(stone.last - stone.first + 1 for _, stone in world.cloud.losses)
        numbers = world.cloud.frame_numbers("door")
        assert len(numbers) == len(set(numbers)), "none twice"
        assert sum(world.cloud.held.values()) <= there + lost, "no stream has a gap"
        if not any(what == "lake" for what, _ in steps):  # which is told of a loss again that it forgot
            assert there + lost == world.recorded + 3 * others, "every record is accounted for, once"
        world.spool.close()
