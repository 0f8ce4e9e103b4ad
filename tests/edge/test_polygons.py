"""Areas in parts of a picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.regions import counts
from edge.polygons import Polygon, check_polygon, cover, within
from models.detections import Detections

HOOK: Polygon = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.6, 0.9), (0.6, 0.4), (0.1, 0.4))  # not convex


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_inside_is_what_opencv_calls_inside(points: list[tuple[float, float]]) -> None:
    said = within(HOOK, np.array(points))
    outline = np.array(HOOK, np.float32)[:, None] * 1000
    for point, inside in zip(points, said, strict=True):
        distance = cv2.pointPolygonTest(outline, (point[0] * 1000, point[1] * 1000), True)
        assert abs(distance) < 0.01 or inside == (distance > 0)


def test_a_mask_covers_the_same_points() -> None:
    mask = cover((HOOK,), (200, 100))
    rows, columns = np.mgrid[0:100, 0:200]
    middles = np.stack(((columns.ravel() + 0.5) / 200, (rows.ravel() + 0.5) / 100), axis=1)
    assert np.mean(within(HOOK, middles) == (mask.ravel() > 0)) > 0.98  # the outline itself is painted too


@pytest.mark.parametrize(
    "polygon", [(), ((0, 0), (1, 1)), ((0, 0), (1, 1), (2, 0)), ((0, 0), (1, 1), (0.2, 0.2)), ((0, 0, 0), (1, 1, 1))]
)
def test_what_is_no_area_is_refused(polygon: Polygon) -> None:
    with pytest.raises(ValueError, match="the fence must"):
        check_polygon(polygon, what="the fence")


def test_detections_count_whose_middle_is_in_a_region() -> None:
    found = Detections.of([[0, 0, 40, 40], [30, 0, 90, 40], [60, 20, 98, 48]], [0.9, 0.8, 0.7], [0, 0, 0])
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    corner = ((0.7, 0.5), (1.0, 0.5), (1.0, 1.0), (0.7, 1.0))
    assert counts(found, (), (100, 50)).tolist() == [True, True, True]
    assert counts(found, (left,), (100, 50)).tolist() == [True, False, False]
    assert counts(found, (left, corner), (100, 50)).tolist() == [True, False, True]


def test_a_classifiers_answer_is_about_the_whole_picture_and_always_counts() -> None:
    corner = ((0.9, 0.9), (1.0, 0.9), (1.0, 1.0))
    assert counts(Detections.of([[0, 0, 100, 50]], [0.9], [3]), (corner,), (100, 50)).tolist() == [True]
    assert counts(Detections.empty(), (corner,), (100, 50)).tolist() == []
