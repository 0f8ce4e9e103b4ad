"""How much boxes overlap, for few pairs and for many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.overlap import overlapping, overlaps

PLACES = st.floats(-1e4, 1e4, width=32)
BOXES = st.lists(st.tuples(PLACES, PLACES, PLACES, PLACES), max_size=12)


@given(a=BOXES, b=BOXES, many=st.booleans())
def test_pairs_are_what_the_table_says(
    a: list[tuple[float, float, float, float]], b: list[tuple[float, float, float, float]], many: bool
) -> None:
    a, b = [_right_way_round(box) for box in a], [_right_way_round(box) for box in b]
    if many:  # more pairs than a loop is good for
        a, b = a * 30, b * 5
    table = overlaps(np.array(a).reshape(-1, 4), np.array(b).reshape(-1, 4))
    rows, columns = np.nonzero(table)
    expected = list(zip(rows.tolist(), columns.tolist(), table[rows, columns].tolist(), strict=True))
    assert [pair for pair in overlapping(a, b) if pair[2]] == expected


def _right_way_round(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)
