"""A fair game stays fair however often it is looked at, and finds what there is to be found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollout.sequential import half_width, log_e, log_e_apart, log_mean

LOOKS = np.arange(1, 151)


def running_means(seed: int, *, games: int, mean: float, wander: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Of normal observations around a centre that is itself off by chance: estimates (games, looks), variances."""
    draw = np.random.default_rng(seed)
    centres = mean + wander * draw.standard_normal((games, 1))
    values = centres + draw.standard_normal((games, len(LOOKS)))
    return values.cumsum(axis=1) / LOOKS, 1 / LOOKS + wander**2


@pytest.mark.parametrize("wander", [0.0, 0.3])
@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_looking_a_hundred_and_fifty_times_raises_no_more_false_alarms_than_alpha(mean: float, wander: float) -> None:
    estimates, variances = running_means(1, games=1500, mean=mean, wander=wander)
    alarmed = (log_e(estimates, variances, tolerance=0.5, size=0.5) >= np.log(1 / 0.05)).any(axis=1)
    assert alarmed.mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)


def test_a_shift_beyond_the_tolerance_is_found_and_one_within_it_never() -> None:
    estimates, variances = running_means(2, games=500, mean=1.0)
    found = log_e(estimates, variances, tolerance=0.2, size=0.5) >= np.log(100)
    assert found.any(axis=1).mean() > 0.99
    assert np.median(found.argmax(axis=1)) < 40
    within = log_e(np.full(3, 0.1), np.array([1e-3, 1e-6, 1e-9]), tolerance=0.2, size=0.5)
    assert (within < 0).all()


def test_the_truth_lies_within_the_confidence_sequence_at_all_looks() -> None:
    estimates, variances = running_means(3, games=1500, mean=0.7)
    outside = np.abs(estimates - 0.7) > half_width(variances, alpha=0.05, size=0.5)
    assert outside.any(axis=1).mean() <= 0.05
    assert half_width(np.array([np.inf, 0.0]), alpha=0.05, size=1.0).tolist() == [np.inf, np.inf]


def test_gateways_that_differ_as_their_variances_say_raise_no_alarm_and_others_do() -> None:
    draw = np.random.default_rng(5)
    noise = draw.standard_normal((8, 1000, 100)).cumsum(axis=2) / np.arange(1, 101)
    variance = np.broadcast_to(1 / np.arange(1, 101), noise.shape)
    size = np.full((1000, 100), 0.5)
    alarmed = (log_e_apart(noise - noise.mean(axis=0), variance, size=size) >= np.log(20)).any(axis=1)
    assert alarmed.mean() <= 0.05
    apart = noise + np.where(np.arange(8) % 2, 1.0, -1.0)[:, None, None]
    assert (log_e_apart(apart - apart.mean(axis=0), variance, size=size)[:, -1] >= np.log(1000)).all()


def test_nothing_known_is_no_evidence() -> None:
    unknown = log_e(np.array([np.nan, 9.0, 9.0]), np.array([1.0, np.inf, 0.0]), tolerance=0.1, size=1.0)
    assert unknown.tolist() == [0.0, 0.0, 0.0]
    assert log_mean(np.zeros((3, 0))).tolist() == [0.0, 0.0, 0.0]


@given(st.lists(st.floats(-50, 700), min_size=1, max_size=8), st.data())
def test_an_average_lies_between_its_parts(logs: list[float], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 9), min_size=len(logs), max_size=len(logs)))
    mean = float(log_mean(np.array(logs), np.array(weights)))
    assert min(logs) - 1e-9 <= mean <= max(logs) + 1e-9
