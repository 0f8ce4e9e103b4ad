"""Average precision as COCO's evaluation computes it."""

import math

import numpy as np
import pytest

from cloud.average_precision import Truth, average_precision
from models.detections import Detections

A, B = [0, 0, 10, 10], [20, 20, 40, 40]


def truth(*rows: tuple[list[int], int]) -> Truth:
    return Truth(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4), np.array([row[1] for row in rows], np.int64)
    )


def seen(*rows: tuple[list[int], float, int]) -> Detections:
    return Detections.of([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


@pytest.mark.parametrize(
    ("truths", "found", "ap50"),
    [
        # all right, whatever the order
        ([truth((A, 0), (B, 1))], [seen((B, 0.9, 1), (A, 0.3, 0))], 1.0),
        # a class that is missed counts as 0
        ([truth((A, 0), (B, 1))], [seen((A, 0.9, 0))], 0.5),
        # of another class: wrong, and class 2 has no box that would count
        ([truth((A, 0))], [seen((A, 0.9, 2))], 0.0),
        # a false one below the true one costs nothing, above it half
        ([truth((A, 0))], [seen((A, 0.9, 0), (B, 0.8, 0))], 1.0),
        ([truth((A, 0))], [seen((A, 0.8, 0), (B, 0.9, 0))], 0.5),
        # a box is found once
        ([truth((A, 0), (B, 0))], [seen((A, 0.9, 0), (A, 0.8, 0))], 51 / 101),
        # scores are ranked over all pictures: true, false, true -> precision 1 to recall 0.5, then 2/3
        ([truth((A, 0)), truth((A, 0))], [seen((A, 0.9, 0), (B, 0.8, 0)), seen((A, 0.7, 0))], (51 + 50 * 2 / 3) / 101),
        # nothing seen
        ([truth((A, 0))], [seen()], 0.0),
        # a picture that shows nothing
        ([truth((A, 0)), truth()], [seen((A, 0.9, 0)), seen((B, 0.95, 0))], 0.5),
    ],
)
def test_ap50_of_small_cases(truths: list[Truth], found: list[Detections], ap50: float) -> None:
    assert average_precision(truths, found).ap50 == pytest.approx(ap50)


def test_a_box_off_by_a_quarter_counts_for_the_lenient_thresholds() -> None:
    # IoU 0.6: right at 0.5, 0.55 and 0.6 of ten thresholds
    precision = average_precision([truth(([0, 0, 10, 10], 0))], [seen(([0, 0, 6, 10], 0.9, 0))])
    assert precision.ap50 == 1
    assert precision.ap50_95 == pytest.approx(0.3)
    assert precision.by_class[0].boxes == 1


def test_a_detection_takes_the_box_that_it_overlaps_most() -> None:
    near = ([1, 0, 11, 10], 0)
    precision = average_precision([truth((A, 0), near)], [seen(([1, 0, 11, 10], 0.9, 0), ([0, 0, 10, 10], 0.8, 0))])
    assert precision.ap50_95 == pytest.approx(1)


def test_no_more_than_a_hundred_of_a_class_count_in_a_picture() -> None:
    misses = [(B, 0.9, 0)] * 100
    assert average_precision([truth((A, 0))], [seen(*misses, (A, 0.1, 0))]).ap50 == 0
    assert average_precision([truth((A, 0))], [seen(*misses[1:], (A, 0.1, 0))]).ap50 == pytest.approx(0.01)


def test_without_a_single_box_there_is_no_figure() -> None:
    precision = average_precision([truth()], [seen((A, 0.9, 0))])
    assert math.isnan(precision.ap50)
    assert math.isnan(precision.ap50_95)


def test_pictures_and_answers_go_together() -> None:
    with pytest.raises(ValueError, match="2 pictures have a truth, but 1"):
        average_precision([truth(), truth()], [seen()])
