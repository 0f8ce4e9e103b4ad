"""What a picture that leaves no longer shows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge.privacy import conceal
from models.detections import Detections, UInt8


def detailed() -> UInt8:
    """Every pixel differs from its neighbours."""
    return np.random.default_rng(1).integers(0, 256, (120, 160, 3), dtype=np.uint8)


FOUND = Detections.of([[40, 30, 80, 90], [100, 10, 130, 50]], [0.9, 0.4], [0, 1])
LABELS = ("person", "dog")


def test_who_is_to_be_blurred_is_left_as_a_few_cells() -> None:
    image = detailed()
    concealed = conceal(image, FOUND, LABELS, blur=("person",))
    part = concealed[30:90, 40:80]
    assert len(np.unique(part.reshape(-1, 3), axis=0)) <= 6 * 6
    assert np.array_equal(concealed[10:50, 100:130], image[10:50, 100:130]), "the dog may be seen"
    assert np.array_equal(image, detailed()), "whoever looks next sees all"


def test_a_close_cut_box_is_concealed_a_little_beyond_itself() -> None:
    concealed = conceal(detailed(), FOUND, LABELS, blur=("person",))
    changed = np.argwhere((concealed != detailed()).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    assert (left, top) <= (37, 25)
    assert (right, bottom) >= (82, 94)


def test_a_picture_without_anybody_to_conceal_is_not_copied() -> None:
    image = detailed()
    assert conceal(image, FOUND, LABELS, blur=()) is image
    assert conceal(image, Detections.empty(), (), blur=("person",)) is image


boxes = st.tuples(*[st.floats(-50, 250, width=32)] * 4)


@given(st.lists(boxes, max_size=5))
def test_no_box_is_too_odd(xyxy: list[tuple[float, ...]]) -> None:
    found = Detections.of(xyxy, [0.5] * len(xyxy), [0] * len(xyxy))
    assert conceal(detailed(), found, ("person",) * len(xyxy), blur=("person",)).shape == (120, 160, 3)


@given(st.integers(0, 150), st.integers(0, 110), st.integers(1, 60), st.integers(1, 60))
def test_not_a_pixel_of_a_concealed_box_of_some_size_is_as_it_was(x: int, y: int, width: int, height: int) -> None:
    image = detailed()
    found = Detections.of([[x, y, x + width, y + height]], [0.5], [0])
    concealed = conceal(image, found, ("person",), blur=("person",))
    within = np.s_[y : y + height, x : x + width]
    same = (concealed[within] == image[within]).all(axis=2).mean()
    assert width * height < 40 or same < 0.2
