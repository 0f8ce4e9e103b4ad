"""Whatever a link does to messages, everything that was recorded is in the lake once. Simulated time, real ingest."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.mqtt import Message
from models.topics import acks_topic, results_topic
from models.wire import MAX_ACK_BYTES, StreamAck, encode_acks, open_envelope, seal
from simulator.bad_post import Knobs
from tests.flows.world import GATEWAY, WINDOW_S, World

ACKS = acks_topic(GATEWAY)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.mark.parametrize(("outage_s", "limit_bytes", "fps"), [(600, 5_000, 5), (36_000, 128 * 1024, 0.2)])
def test_an_outage_loses_nothing_and_alarms_come_first_afterwards(
    tmp_path: Path, outage_s: int, limit_bytes: int, fps: float
) -> None:
    world = World(tmp_path, limit_bytes=limit_bytes, fps=fps)
    world.run(2 * WINDOW_S)
    world.drain(at_most_s=60)
    before = len(world.published)
    world.down = True
    world.run(outage_s // 2)
    world.alarm()
    world.run(outage_s // 2)
    assert len(world.published) == before, "a link that is down costs no message"
    world.down = False
    world.run(2 * WINDOW_S)
    world.drain(at_most_s=outage_s)
    assert world.published[before] == "events"
    world.check_nothing_is_lost()
    world.close()


def test_a_link_that_loses_a_third_and_takes_two_seconds_each_way(world: World) -> None:
    world.up.knobs = Knobs(loss=0.3, delay_s=2.0)
    world.back.knobs = Knobs(loss=0.3, delay_s=2.0)
    for _ in range(5):
        world.run(WINDOW_S)
        world.alarm()
    world.drain(at_most_s=3_600)
    world.check_nothing_is_lost()
    assert world.up.lost > 0
    assert world.back.lost > 0


def test_lost_acknowledgements_double_nothing_and_cost_little(world: World) -> None:
    world.back.knobs = Knobs(loss=1.0)
    world.run(5 * WINDOW_S)
    assert world.frames() == Counter(range(world.frames().total())), "the lake has them, the gateway cannot know"
    assert world.shipper.account.refused == 0
    sent = world.up.sent
    assert sent <= 40, "the same few messages again and again, less and less often"
    world.back.knobs = Knobs()
    world.drain(at_most_s=300)
    world.check_nothing_is_lost()


@pytest.mark.parametrize("seed", range(2))
def test_messages_doubled_overtaken_late_and_lost_both_ways(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, fps=4, seed=seed)
    bad = Knobs(delay_s=0.5, loss=0.2, doubled=0.3, overtaken=0.3, overtaken_s=30.0)
    world.up.knobs = world.back.knobs = bad
    for _ in range(4):
        world.run(WINDOW_S)
        world.alarm()
        world.restart()
    world.drain(at_most_s=3_600)
    world.check_nothing_is_lost()
    world.close()


def test_messages_damaged_on_the_way_are_sent_again(world: World) -> None:
    world.up.knobs = Knobs(damaged=0.5)
    world.run(5 * WINDOW_S)
    world.drain(at_most_s=3_600)
    world.check_nothing_is_lost()
    assert not world.quarantine.exists(), "a checksum that does not fit says nothing about what was meant"


def test_an_ingest_that_is_away_is_asked_less_and_less_often(world: World) -> None:
    world.run(WINDOW_S)
    world.away = True
    world.run(10 * WINDOW_S)
    before = world.up.sent
    world.run(10 * WINDOW_S)
    assert world.up.sent - before <= 2 * 10, "the broker takes everything: only the missing answer slows it down"
    world.away = False
    world.drain(at_most_s=1_800)
    world.check_nothing_is_lost()


def test_a_batch_that_the_cloud_cannot_read_is_set_aside_there_acknowledged_and_counted(world: World) -> None:
    world.run(WINDOW_S)
    world.run(WINDOW_S - 1)
    broken: list[tuple[int, int]] = []

    def break_one(message: Message) -> Message:
        """As an encoder does that fails on one batch of frames: a whole envelope around rubbish."""
        envelope = open_envelope(message.payload)
        if broken or envelope.last - envelope.first < 5:
            return message
        broken.append((envelope.first, envelope.last))
        return Message(message.topic, seal(envelope.stream, envelope.first, envelope.last, b"rubbish"))

    world.tamper = break_one
    world.run(3 * WINDOW_S)
    world.drain(at_most_s=300)
    ((first, last),) = broken
    losses = world.lake().query("SELECT first, last, reason FROM losses").to_pylist()
    assert [(row["first"], row["last"]) for row in losses] == [(first, last)]
    assert losses[0]["reason"].startswith("refused: ")
    assert len(list(world.quarantine.rglob("*.bin"))) == 1
    assert world.shipper.account.refused == 1
    assert world.spool.depth.records == 0
    held = world.frames()
    assert set(held.values()) == {1}
    assert len(held) == world.recorded - (last - first + 1), "all the others are there"


def test_hostile_messages_change_nothing_and_are_counted(world: World) -> None:
    hostile = [
        b"",
        b"garbage that is no protobuf",
        b"x" * (MAX_ACK_BYTES + 1),
        encode_acks([StreamAck("00000000000000ff", 5)]),
        encode_acks([StreamAck("ffffffffffffffff", 2**39)]),
    ]
    for payload in hostile:
        world.run(WINDOW_S // 2)
        world.back.send(Message(ACKS, payload), world.now)
    for stream in [stream.name for stream in world.spool.streams()]:
        world.back.send(Message(ACKS, encode_acks([StreamAck(stream, 10_000)])), world.now)  # never recorded
    # nor does the cloud believe what is none of the gateway's
    world.up.send(Message(results_topic(GATEWAY), b"garbage"), world.now)
    world.run(2 * WINDOW_S)
    world.drain(at_most_s=300)
    world.check_nothing_is_lost()
    assert world.shipper.account.ignored >= len(hostile) - 1  # nothing at all is no message, and no acknowledgement
