"""The line between good and wrong lies where the false alarms asked for are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.anomaly.boundary import boundary, expected_false_alarms, spread, steepness


@pytest.mark.parametrize("count", [30, 100, 1000])
@pytest.mark.parametrize("asked", [0.002, 0.01, 0.05, 0.3])
@pytest.mark.parametrize("shape", ["normal", "exponential", "gumbel", "logistic"])
def test_false_alarms_are_near_those_asked_for(shape: str, asked: float, count: int) -> None:
    rng = np.random.default_rng(0)
    fresh = getattr(rng, shape)(size=20_000)
    rates = [(fresh > boundary(getattr(rng, shape)(size=count), asked)).mean() for _ in range(40)]
    assert asked / 3 < np.mean(rates) < 3 * asked + 0.3 / count  # one that is drawn by 30 pictures is no exact one


def test_a_part_that_the_pictures_hold_is_counted_off() -> None:
    assert boundary(np.arange(100.0), 0.5) == pytest.approx(49.5)


@given(
    scores=st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=60),
    asked=st.floats(1e-4, 0.5),
    moved=st.floats(-100, 100),
)
def test_a_boundary_goes_with_the_scores_and_rises_as_fewer_alarms_are_asked_for(
    scores: list[float], asked: float, moved: float
) -> None:
    values = np.array(scores)
    line = boundary(values, asked)
    assert np.isfinite(line)
    assert boundary(values, asked / 2) >= line - 1e-9
    assert boundary(values + moved, asked) == pytest.approx(line + moved, abs=1e-6)
    assert 0 <= expected_false_alarms(values, asked) <= 1


def test_answers_are_the_surer_the_further_defects_are_away() -> None:
    rng = np.random.default_rng(0)
    goods = rng.normal(0, 1, 200)
    near, far = (steepness(goods, rng.normal(distance, 1, 200), 2.0) for distance in (2, 8))
    assert 0 < near < far < 60


def test_scores_that_are_all_equal_have_a_width() -> None:
    assert spread(np.zeros(10))[1] > 0
