"""A window of health ends at an even pace, and sooner when there is news."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge.windows import NEWS_S, Windows


def test_without_news_windows_end_at_an_even_pace() -> None:
    windows = Windows(60, now=0, state="ok")
    ended = [now for now in range(1, 200) if windows.is_over(now + 0.5, "ok")]
    assert ended == [60, 120, 180], "half a second late each time, and never later"


def test_news_ends_a_window_at_once() -> None:
    windows = Windows(60, now=0, state="ok")
    assert not windows.is_over(29, "ok")
    assert windows.is_over(30, "down")
    assert not windows.is_over(31, "down"), "it is known now"
    assert windows.left_s(31) == 59, "and the next window is a whole one"


def test_a_camera_that_comes_and_goes_is_told_every_few_seconds_at_most() -> None:
    windows = Windows(3600, now=0, state=0)
    ended = [now for now in range(1, 3600) if windows.is_over(now, now)]
    assert len(ended) <= 3600 / NEWS_S
    assert min(later - sooner for sooner, later in itertools.pairwise(ended)) >= NEWS_S


def test_what_went_and_came_back_between_two_reports_is_no_news() -> None:
    windows = Windows(60, now=0, state="ok")
    assert not windows.is_over(NEWS_S - 1, "down")
    assert not windows.is_over(NEWS_S + 1, "ok")


def test_a_machine_that_slept_makes_up_for_nothing() -> None:
    windows = Windows(60, now=0, state="ok")
    assert windows.is_over(10_000, "ok")
    assert not windows.is_over(10_001, "ok")
    assert windows.left_s(10_000) == 60


@given(
    st.floats(0.1, 3600),
    st.lists(st.tuples(st.floats(0.01, 500), st.integers(0, 2)), min_size=1, max_size=60),
)
def test_news_is_told_in_time_and_nothing_waits_longer_than_a_window(
    window_s: float, steps: list[tuple[float, int]]
) -> None:
    windows, now, told, began = Windows(window_s, now=0.0, state=0), 0.0, 0, 0.0
    for step_s, state in steps:
        now += step_s
        over = windows.is_over(now, state)
        due = (state != told and now - began >= NEWS_S) or now - began >= window_s
        assert over or not due
        if over:
            told, began = state, now
        assert windows.left_s(now) <= window_s + 1e-6
