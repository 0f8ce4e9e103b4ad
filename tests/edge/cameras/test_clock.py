"""UTC keeps in step with the clock that never jumps, and follows when the clock is put right."""

from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.clock import UtcClock

DAY = 86_400 * 10**9


class Clocks:
    def __init__(self) -> None:
        self.steady = 5 * 10**9
        self.ahead = 1_700_000_000 * 10**9

    def wall(self) -> int:
        return self.steady + self.ahead


def clock_on(clocks: Clocks) -> UtcClock:
    return UtcClock(clocks.wall, lambda: clocks.steady)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(-200_000, 200_000)), max_size=30))
def test_a_slewing_clock_does_not_change_the_offset_of_every_frame(steps: list[tuple[int, int]]) -> None:
    clocks = Clocks()
    clock = clock_on(clocks)
    offsets = set()
    for forward, slew in steps:
        clocks.steady += forward
        clocks.ahead += slew
        offsets.add(clock.at(clocks.steady) - clocks.steady)
    assert len(offsets) <= 1


@given(st.integers(-400 * DAY, 400 * DAY).filter(lambda jump: abs(jump) > 10**9))
def test_a_jump_moves_utc_and_not_the_order(jump: int) -> None:
    clocks = Clocks()
    clock = clock_on(clocks)
    before = clock.at(clocks.steady)
    clocks.steady += 10**9
    clocks.ahead += jump
    assert clock.at(clocks.steady) - before == 10**9 + jump


def test_it_is_never_off_by_more_than_a_slew() -> None:
    clocks = Clocks()
    clock = clock_on(clocks)
    for _ in range(1000):
        clocks.steady += 10**9
        clocks.ahead += 500_000  # a crystal off by 500 ppm
        assert abs(clock.at(clocks.steady) - clocks.wall()) <= 50_000_000
