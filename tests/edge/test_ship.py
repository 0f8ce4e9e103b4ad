"""What was recorded reaches the cloud once, whatever the link does to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge import patience, ship
from models.health import Health
from models.records import Tombstone
from models.topics import acks_topic
from models.wire import StreamAck, encode_acks
from tests.edge.ship_world import GATEWAY, TIMEOUT_S, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.spool.close()


def test_a_window_is_one_batch_and_leaves_the_spool_when_acknowledged(world: World) -> None:
    world.record(100)
    world.run(5, tides=False)
    assert world.cloud.messages == 0
    world.run(1)
    assert world.cloud.messages == 1
    assert world.cloud.frame_numbers("door") == list(range(100))
    assert world.spool.depth.records == 0


def test_a_full_message_does_not_wait_for_the_window(world: World) -> None:
    for _ in range(20):
        world.record(100)
        world.run(0.5, tides=False)
    assert world.cloud.messages >= 2
    assert min(world.cloud.sizes) >= 0.8 * 5_000
    assert max(world.cloud.sizes) <= 5_000


def test_what_is_not_acknowledged_is_sent_again_and_kept_once(world: World) -> None:
    world.uplink.deaf = True
    world.record(10)
    world.run(TIMEOUT_S * 6)
    assert 2 <= world.cloud.messages <= 5, "again after the time-out, then less and less often"
    assert world.spool.depth.records == 10
    world.uplink.deaf = False
    world.run(patience.CEILING_S)
    assert world.cloud.frame_numbers("door") == list(range(10))
    assert world.spool.depth.records == 0


def test_a_cloud_that_never_answers_is_said_once_with_what_to_look_at(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.uplink.deaf = True
    world.record(10)
    world.run(ship.OUTAGE_S)
    assert "ingest" not in caplog.text
    world.run(300)
    assert caplog.text.count(f"does `tidegate ingest` run, and does the broker let this gateway be {GATEWAY}?") == 1


def test_a_link_that_loses_a_third_of_everything_loses_nothing(world: World) -> None:
    world.uplink.loss = 0.33
    for _ in range(10):
        world.record(150)
        world.run(2)
    for _ in range(200):
        world.pass_by(10)
        world.run(0.5)
    assert world.cloud.frame_numbers("door") == list(range(1_500))
    assert world.spool.depth.records == 0


def test_a_link_that_is_down_costs_no_message_and_is_tried_again(world: World) -> None:
    world.uplink.down = True
    world.record(10)
    world.run(100)
    assert world.cloud.messages == 0
    world.uplink.down = False
    world.run(10)
    assert world.cloud.frame_numbers("door") == list(range(10))


def test_a_link_that_is_down_is_offered_the_same_message_and_costs_no_work(world: World) -> None:
    world.uplink.down = True
    world.record(1_000)
    world.run(30)
    world.record(10)  # a camera goes on meanwhile
    world.run(30)
    assert len(world.uplink.offered) > 5
    assert len({id(payload) for payload in world.uplink.offered}) == 1
    world.uplink.down = False
    world.run(20)
    assert world.cloud.frame_numbers("door") == list(range(1_010))


def test_after_a_long_outage_live_results_do_not_wait_for_the_backlog(world: World) -> None:
    world.uplink.down = True
    world.record(5_000)
    world.run(1)
    world.pass_by(ship.OUTAGE_S)
    world.uplink.down = False
    world.run(0.5)
    assert world.cloud.messages, "the backlog has begun to drain"
    world.record(10)
    world.run(0.5)
    assert set(range(5_000, 5_010)) <= set(world.cloud.frame_numbers("door")), "live results are there"
    assert world.spool.streams(), "while the backlog still drains"
    world.run(20)
    assert world.cloud.frame_numbers("door") == list(range(5_010))


def test_not_more_than_a_few_messages_are_under_way(world: World) -> None:
    world.uplink.deaf = True
    world.record(3_000)
    world.run(3)
    assert world.cloud.messages == ship.IN_FLIGHT_STREAM


def test_a_restart_sends_again_what_was_not_acknowledged_and_the_cloud_keeps_it_once(world: World) -> None:
    world.uplink.deaf = True
    world.record(500)
    world.run(2)
    assert world.cloud.frame_numbers("door")
    world.restart()
    world.uplink.deaf = False
    world.record(500)
    world.run(10)
    assert world.cloud.frame_numbers("door") == list(range(1_000))
    assert len(world.cloud.held) == 2
    assert world.spool.depth.records == 0


def test_a_kill_that_forgets_acknowledgements_leaves_nothing_behind(world: World) -> None:
    world.record(5_000)
    on_disk = world.save()
    world.run(1)
    in_lake = len(world.cloud.frame_numbers("door"))
    assert 0 < in_lake < 5_000
    world.restore(on_disk)
    assert world.spool.depth.records == 5_000
    world.run(2 * TIMEOUT_S)
    assert world.cloud.frame_numbers("door") == list(range(5_000))
    assert world.spool.depth.records == 0


def test_a_spool_that_is_older_than_the_lake_drains(world: World) -> None:
    world.record(1_000)
    on_disk = world.save()
    world.record(1_000)
    world.run(5)
    world.restore(on_disk)
    world.record(10)
    world.run(2 * TIMEOUT_S)
    assert world.cloud.frame_numbers("door") == list(range(2_010))
    assert world.spool.depth.records == 0
    assert world.shipper.account.ignored == 0


@pytest.mark.parametrize(
    "hostile",
    [
        b"garbage that is no protobuf",
        encode_acks([StreamAck("00000000000000ff", 5)]),  # a stream that is none of ours
        encode_acks([StreamAck("ffffffffffffffff", 2**62)]),
    ],
)
def test_hostile_acknowledgements_are_ignored_and_counted(world: World, hostile: bytes) -> None:
    world.record(10)
    world.uplink.inject(acks_topic(GATEWAY), hostile)
    world.hear()
    assert world.shipper.account.ignored == 1
    assert world.spool.depth.records == 10
    world.run(2)
    assert world.cloud.frame_numbers("door") == list(range(10))


def test_an_acknowledgement_of_what_was_not_sent_yet_takes_nothing_away(world: World) -> None:
    world.record(10)
    world.run(2)
    world.record(10)  # recorded, not yet sent
    world.shipper.acknowledged(encode_acks([StreamAck(world.stream(), 15)]))
    world.shipper.acknowledged(encode_acks([StreamAck(world.stream(), 21)]))
    assert world.spool.depth.records == 10
    assert world.shipper.account.ignored == 2
    world.run(2)
    assert world.cloud.frame_numbers("door") == list(range(20))


def test_a_late_repeat_of_an_old_acknowledgement_changes_nothing(world: World) -> None:
    world.record(10)
    world.run(2)
    early = encode_acks([StreamAck(world.stream(), 4)])
    world.record(10)
    world.shipper.acknowledged(early)
    world.run(2)
    assert world.cloud.frame_numbers("door") == list(range(20))
    assert world.spool.depth.records == 0


def test_a_lake_that_lost_what_it_acknowledged_is_told_which_records_are_gone(world: World) -> None:
    world.record(10)
    world.run(2)
    stream = world.stream()
    world.cloud.forget(GATEWAY, stream, 4)
    world.record(10)
    world.run(3 * TIMEOUT_S)
    assert world.cloud.frame_numbers("door") == [0, 1, 2, 3, *range(10, 20)]
    assert world.cloud.losses == [(GATEWAY, Tombstone(5, 10, "acknowledged, then lost by the lake"))]
    assert world.spool.depth.records == 0


def test_refused_records_are_counted(world: World) -> None:
    world.uplink.deaf = True
    world.record(10)
    world.run(1)
    refused = StreamAck(world.stream(), 10, refused=(Tombstone(1, 10, "unreadable"),))
    world.shipper.acknowledged(encode_acks([refused]))
    world.shipper.acknowledged(encode_acks([refused]))
    assert world.shipper.account.refused == 1
    world.spool.flush()
    assert world.spool.depth.records == 0


def test_a_record_too_large_for_the_uplink_becomes_a_tombstone_and_blocks_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, limit_bytes=1_000)
    mix = {hex(number**9): number for number in range(300)}
    world.spool.append(Health(1, 60.0, "coco", 1, "d" * 64, "fp32", class_mix=mix))
    world.spool.append(Health(2, 60.0, "coco", 1, "d" * 64, "fp32"))
    world.record(10)
    world.run(10)
    world.spool.close()
    assert world.cloud.losses == [(GATEWAY, Tombstone(1, 1, "too large for the uplink"))]
    assert [health.at_us for health in world.cloud.reports()] == [2]
    assert world.cloud.frame_numbers("door") == list(range(10))
    assert world.spool.depth.dropped == 1


def test_a_stream_that_is_never_answered_does_not_hold_up_the_others(world: World) -> None:
    world.record(10)
    world.spool.append(Health(1, 60.0, "coco", 1, "d" * 64, "fp32"))
    world.spool.flush()
    world.cloud.ignores = {stream.name for stream in world.spool.streams() if stream.lane == "health"}
    world.run(200)
    assert world.cloud.frame_numbers("door") == list(range(10))
    assert world.cloud.reports() == []
