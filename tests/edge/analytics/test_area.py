"""A zone's geometry, against OpenCV's."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.analytics.lines import meets, side_of
from edge.analytics.zones import Area

SIZE = (640, 480)
PART = st.floats(0, 1, width=32)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PART, PART), min_size=3, max_size=9), st.tuples(PART, PART))
def test_inside_and_distance_are_opencvs(polygon: list[tuple[float, float]], place: tuple[float, float]) -> None:
    area = Area(tuple(polygon), SIZE)
    point = (place[0] * SIZE[0], place[1] * SIZE[1])
    contour = (np.array(polygon) * SIZE).astype(np.float32)
    depth = cv2.pointPolygonTest(contour, point, measureDist=True)
    assert area.distance(point) == pytest.approx(abs(depth), abs=0.01)
    if abs(depth) > 0.01:  # on an edge each may say what it likes
        assert area.holds(point) == (depth > 0)


@pytest.mark.parametrize(
    ("point", "side"),
    [
        ((60, 50), 10),  # upwards on the screen, its right is the right
        ((40, 50), -10),
        ((50, 500), 0),  # on the line, though beyond its end
    ],
)
def test_the_right_is_what_people_call_so(point: tuple[float, float], side: float) -> None:
    assert side_of((50, 100), (50, 0), point) == pytest.approx(side)


@pytest.mark.parametrize(
    ("before", "after", "crossed"),
    [
        ((40, 50), (60, 50), True),
        ((40, 100), (60, 100), True),  # through its very end
        ((40, 101), (60, 101), False),
        ((40, -1), (60, -1), False),
        ((0, 150), (60, 90), True),  # aslant: it meets the line at 100
        ((0, 160), (60, 90), False),
    ],
)
def test_a_way_past_the_ends_is_no_crossing(
    before: tuple[float, float], after: tuple[float, float], crossed: bool
) -> None:
    assert meets((50, 100), (50, 0), before, after) == crossed
    assert meets((50, 100), (50, 0), after, before) == crossed
