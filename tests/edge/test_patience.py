"""How long a gateway waits for an acknowledgement follows how long they take."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import patience, ship
from edge.patience import Patience
from edge.uplink import Inbound
from tests.edge.ship_world import TIMEOUT_S, World

delay = st.floats(0, 10_000)


@given(st.lists(st.one_of(st.none(), delay)), st.integers(0, 20))
def test_it_is_never_less_than_asked_for_nor_without_end(answers: list[float | None], time_outs: int) -> None:
    asked = Patience(10.0)
    for took_s in answers:
        asked.answered(took_s)
        assert asked.seconds >= 10.0
    for _ in range(time_outs):
        asked.unanswered()
        assert 10.0 <= asked.seconds <= 2 * patience.MOST_S


@given(st.floats(0, 10), st.integers(1, 50))
def test_a_cloud_that_answers_in_time_leaves_it_as_it_is_asked_for(took_s: float, answers: int) -> None:
    asked = Patience(30.0)
    assert all(asked.answered(took_s) for _ in range(answers))
    assert asked.seconds == 30.0


@given(st.floats(20, 180), st.integers(1, 50))
def test_answers_that_take_long_are_waited_for(took_s: float, answers: int) -> None:
    asked = Patience(10.0)
    for _ in range(answers):
        assert not asked.answered(took_s)
        assert asked.seconds > 1.4 * took_s


def test_each_time_out_waits_longer_and_the_first_answer_ends_that() -> None:
    asked = Patience(10.0)
    waits = []
    for _ in range(10):
        asked.unanswered()
        waits.append(asked.seconds)
    assert 10.0 <= waits[0] <= 20.0
    assert all(patience.CEILING_S / 2 <= wait <= patience.CEILING_S for wait in waits[4:])
    asked.answered(None)
    assert asked.seconds == waits[-1], "it was sent twice: nobody knows which one was answered"
    asked.answered(1.0)
    assert asked.seconds == 10.0


class Far(World):
    """Acknowledgements take `far_s`."""

    far_s = 0.0

    def hear(self) -> None:
        self.__dict__.setdefault("_under_way", deque())
        under_way: deque[tuple[float, Inbound]] = self.__dict__["_under_way"]
        under_way.extend((self.now + self.far_s, message) for message in self.uplink.arrived())
        while under_way and under_way[0][0] <= self.now:
            self.shipper.acknowledged(under_way.popleft()[1].payload)


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    world = Far(tmp_path)
    yield world
    world.spool.close()


def test_a_cloud_that_is_behind_is_not_sent_everything_again(far: Far) -> None:
    far.record(8_000)
    far.run(60)
    needed = far.cloud.messages
    far.far_s = 4 * TIMEOUT_S
    far.record(8_000)
    far.run(1_000)
    assert far.cloud.frame_numbers("door") == list(range(16_000))
    assert far.spool.depth.records == 0
    assert far.cloud.messages <= 2 * needed + ship.IN_FLIGHT_STREAM


def test_of_a_backlog_one_message_at_a_time_goes_to_a_cloud_that_is_behind(far: Far) -> None:
    far.uplink.down = True
    far.record(4_000)
    far.run(1)
    far.pass_by(ship.OUTAGE_S)
    far.uplink.down = False
    far.far_s = 2 * TIMEOUT_S
    far.run(100)
    before = far.cloud.messages
    far.run(100)
    assert far.cloud.messages - before <= 100 / far.far_s + 1
    far.far_s = 0.0
    far.run(60)
    assert far.cloud.frame_numbers("door") == list(range(4_000)), "and as fast as before when it has caught up"
