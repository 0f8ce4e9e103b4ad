"""Turning, cutting and masking, in parts of the picture that is left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cameras.view import View
from models.detections import UInt8


def picture(height: int = 40, width: int = 60) -> UInt8:
    """Its top left quarter is blue, top right green, bottom left red, bottom right white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (0, 0, 255)
    image[height // 2 :, width // 2 :] = 255
    return image


def names(image: UInt8) -> list[str]:
    """The colours of its corners: top left, top right, bottom left, bottom right."""
    known = {(255, 0, 0): "blue", (0, 255, 0): "green", (0, 0, 255): "red", (255, 255, 255): "white"}
    return [known.get(tuple(image[y, x].tolist()), "grey") for y in (0, -1) for x in (0, -1)]


@pytest.mark.parametrize(
    ("rotate", "corners"),
    [
        (90, ["red", "blue", "white", "green"]),  # clockwise: what was at the left is at the top
        (180, ["white", "red", "green", "blue"]),
        (270, ["green", "white", "blue", "red"]),
    ],
)
def test_it_turns_clockwise(rotate: int, corners: list[str]) -> None:
    assert names(View(rotate=rotate).turn(picture(), None)) == corners


def test_the_crop_is_of_the_turned_picture_and_the_mask_of_what_is_left() -> None:
    view = View(rotate=90, crop=(0.0, 0.5, 1.0, 1.0), masks=(((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)),))
    upright = view.turn(picture(), None)
    left = view.cut(upright)
    assert left.shape == (30, 40, 3)
    assert names(left) == ["grey", "green", "grey", "green"]
    assert left.base is upright, "nothing is copied"


def test_a_buffer_of_the_right_shape_is_used() -> None:
    buffer = np.empty((60, 40, 3), np.uint8)
    assert View(rotate=90).turn(picture(), buffer) is buffer
    assert View(rotate=90).turn(picture(20, 20), buffer).shape == (20, 20, 3)


@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.tuples(*[st.floats(0, 1)] * 4).filter(lambda crop: crop[0] < crop[2] and crop[1] < crop[3]),
)
def test_at_least_a_pixel_is_left(shape: tuple[int, int], crop: tuple[float, ...]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    left = View(crop=crop).cut(image)
    assert 1 <= left.shape[0] <= shape[0]
    assert 1 <= left.shape[1] <= shape[1]
