"""What a search keeps, and what it gives up."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.search.pareto import Point, choose, dominates, front, hopeless

points = st.lists(
    st.builds(
        Point,
        trial=st.integers(0, 10_000),
        accuracy=st.integers(0, 10).map(lambda tenth: tenth / 10),
        bytes=st.integers(1, 8),
        p50_ms=st.integers(1, 8).map(float),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda point: point.trial,
)


@given(points)
def test_none_on_the_front_is_beaten_and_all_others_are(every: list[Point]) -> None:
    best = front(every)
    assert best
    assert not any(dominates(other, point) for point in best for other in every)
    assert all(any(dominates(other, point) for other in best) for point in every if point not in best)


@given(points, st.randoms(use_true_random=False))
def test_the_front_does_not_depend_on_order(every: list[Point], shuffler: random.Random) -> None:
    shuffled = list(every)
    shuffler.shuffle(shuffled)
    assert front(shuffled) == front(every)


@given(points)
def test_what_is_chosen_is_close_to_the_best_and_on_the_front(every: list[Point]) -> None:
    chosen = choose(every)
    assert chosen is not None
    assert chosen.accuracy >= max(point.accuracy for point in every) - 0.01
    assert not any(dominates(other, chosen) and other.accuracy >= chosen.accuracy for other in every)


POINTS = [Point(0, 0.95, 900, 3.0), Point(1, 0.945, 400, 2.0), Point(2, 0.90, 100, 0.5)]


@pytest.mark.parametrize(
    ("limits", "trial"),
    [
        ({}, 1),  # half the size, within a hundredth
        ({"max_bytes": 399}, 2),
        ({"max_ms": 1.0}, 2),
        ({"max_bytes": 99}, None),
    ],
)
def test_limits_are_kept(limits: dict[str, float], trial: int | None) -> None:
    chosen = choose(POINTS, **limits)  # type: ignore[arg-type]
    assert (chosen.trial if chosen else None) == trial


@pytest.mark.parametrize(
    ("metric", "size", "earlier", "given_up"),
    [
        (0.1, 100, [(0.5, 100)] * 3, False),  # too few to compare with
        (0.1, 100, [(0.5, 100)] * 4, True),
        (0.6, 100, [(0.5, 100)] * 4, False),
        (0.4, 100, [(0.5, 900)] * 4, False),  # smaller than all that were better
        (0.4, 100, [(0.5, 900)] * 4 + [(0.5, 90)] * 2, True),  # but not than these
        (0.5, 100, [(0.5, 100)] * 9, False),
    ],
)
def test_hopeless_is_what_smaller_ones_beat(
    metric: float, size: int, earlier: list[tuple[float, int]], given_up: bool
) -> None:
    assert hopeless(metric, size, earlier) is given_up
