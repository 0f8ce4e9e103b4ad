"""Class mixes and scores compared."""

import pytest

from cloud.rollout.figures import mean_score, mix_distance


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ({"good": 3, "defect": 1}, {"good": 30, "defect": 10}, 0.0),  # shares, not counts
        ({"good": 1}, {"defect": 1}, 1.0),
        ({"good": 3, "defect": 1}, {"good": 1, "defect": 3}, 0.5),
        ({}, {"good": 1}, 0.0),  # nothing seen has no mix
    ],
)
def test_the_distance_of_class_mixes(a: dict[str, int], b: dict[str, int], distance: float) -> None:
    assert mix_distance(a, b) == pytest.approx(distance)
    assert mix_distance(b, a) == pytest.approx(distance)


def test_the_mean_score_of_a_histogram() -> None:
    assert mean_score([1, 0, 0, 0, 0, 0, 0, 0, 0, 1]) == pytest.approx(0.5)
    assert mean_score([0] * 10) == 0.0
