"""A byte budget is kept, evenly, by what matters least; alarms and health go in any case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.byte_budget import MAX_THIN, ByteBudget, Period, next_thin, period_of
from edge.lanes import GIVEN_UP_FIRST, LANES, Lane, is_backlog, precedence

DAY_US = 86_400 * 1_000_000
BUDGET = ByteBudget(1_000_000)
LANE = st.sampled_from(LANES)
RANK: tuple[Lane, ...] = ("alarms", "health", "events", "aggregates", "frames", "spare", "pictures")


@pytest.mark.parametrize(
    ("per", "at_us", "expected"),
    [
        ("day", 0, Period("1970-01-01", 0.0)),  # a Pi without a clock
        ("day", DAY_US * 365 + DAY_US // 4, Period("1971-01-01", 0.25)),
        ("month", 0, Period("1970-01", 0.0)),
        ("month", DAY_US * 31 + DAY_US * 14, Period("1970-02", 0.5)),
        ("month", 1_798_675_200_000_000, Period("2026-12", 30 / 31)),  # the last day of a year
    ],
)
def test_periods_are_days_and_months_of_utc(per: str, at_us: int, expected: Period) -> None:
    found = period_of("day" if per == "day" else "month", at_us)
    assert (found.name, found.elapsed) == (expected.name, expected.elapsed)


@given(at_us=st.integers(0, 253_402_300_799_999_999), per=st.sampled_from(("day", "month")))
def test_a_period_is_between_its_beginning_and_its_end(at_us: int, per: str) -> None:
    assert 0 <= period_of("day" if per == "day" else "month", at_us).elapsed < 1 + 1e-9


@given(lane=LANE, live=st.booleans(), spent=st.integers(0, 2_000_000), elapsed=st.floats(0, 1))
def test_whatever_has_room_leaves_the_budget_kept(lane: Lane, live: bool, spent: int, elapsed: float) -> None:
    room = BUDGET.room(lane, live=live, spent=spent, elapsed=elapsed)
    if lane in ("alarms", "health"):
        assert room == float("inf")
    else:
        assert spent + room <= BUDGET.limit_bytes
        assert room == BUDGET.room(lane, live=live, spent=0, elapsed=elapsed) - spent


@given(spent=st.integers(0, 2_000_000), elapsed=st.floats(0, 1), live=st.booleans())
def test_what_stands_higher_never_has_less_room(spent: int, elapsed: float, live: bool) -> None:
    rooms = [BUDGET.room(lane, live=live, spent=spent, elapsed=elapsed) for lane in RANK]
    assert rooms == sorted(rooms, reverse=True)
    backlog = BUDGET.room("frames", live=False, spent=spent, elapsed=elapsed)
    assert backlog < BUDGET.room("frames", live=True, spent=spent, elapsed=elapsed)


@pytest.mark.parametrize("limit_bytes", [0, -1, 299_999, 1 << 60])
def test_a_budget_that_health_alone_would_break_is_refused(limit_bytes: int) -> None:
    with pytest.raises(ValueError, match="limit_bytes must be at least 300000 a day"):
        ByteBudget(limit_bytes)


@given(thin=st.sampled_from([1, 2, 4, 8, 16, 32, 64]), frames=st.booleans(), other=st.booleans())
def test_frames_are_thinned_within_bounds(thin: int, frames: bool, other: bool) -> None:
    then = next_thin(thin, frames_held=frames, anything_held=frames or other)
    assert 1 <= then <= MAX_THIN
    assert (then > thin) == (frames and thin < MAX_THIN)
    assert (then < thin) == (not frames and not other and thin > 1)


def test_the_order_of_sending() -> None:
    everything = [(lane, live) for lane in LANES for live in (True, False)]
    ordered = sorted(everything, key=lambda item: precedence(item[0], live=item[1]))
    assert [item[0] for item in ordered[:2]] == ["alarms", "alarms"], "of any age"
    assert ordered[2:6] == [("health", True), ("events", True), ("aggregates", True), ("frames", True)]
    assert {item[0] for item in ordered[-2:]} == {"pictures"}
    assert [item for item in ordered if is_backlog(item[0], live=item[1])] == ordered[6:]


def test_what_is_sent_first_is_given_up_last() -> None:
    assert set(GIVEN_UP_FIRST) == set(LANES)
    assert GIVEN_UP_FIRST[0] == "pictures"
    assert GIVEN_UP_FIRST[-2:] == ("health", "alarms")
