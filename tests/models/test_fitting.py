"""A picture is fitted into a model's input, and boxes find their way back."""

from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detections import UInt8
from models.fitting import PAD, fit, place
from models.manifest import Fit, InputSpec, Interpolation

SIDES = st.integers(1, 700)
FITS = st.sampled_from(get_args(Fit))
INTERPOLATIONS = st.sampled_from(get_args(Interpolation))
SPECS = st.builds(InputSpec, st.integers(1, 512), st.integers(1, 512), FITS, INTERPOLATIONS)


@settings(deadline=None)
@given(width=SIDES, height=SIDES, spec=SPECS)
def test_any_picture_fits_any_input(width: int, height: int, spec: InputSpec) -> None:
    picture: UInt8 = np.full((height, width, 3), 200, np.uint8)
    fitted, placement = fit(picture, spec)
    assert fitted.shape == (spec.height, spec.width, 3)
    assert fitted.dtype == np.uint8
    assert placement == place((width, height), spec)
    assert set(np.unique(fitted).tolist()) <= {200, PAD}


@settings(deadline=None)
@given(width=SIDES, height=SIDES, spec=SPECS, seed=st.integers(0, 2**32 - 1))
def test_boxes_come_back_to_where_they_were(width: int, height: int, spec: InputSpec, seed: int) -> None:
    placement = place((width, height), spec)
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 1, (5, 2, 2)), axis=1).reshape(5, 4) * (width, height, width, height)
    fitted = corners * (placement.scale * 2) + placement.offset * 2
    back = placement.to_original(fitted.astype(np.float32))
    # float32 of the fitted picture's pixels, seen from the original's
    slack = 1e-3 + max(spec.width, spec.height, width, height) * 1e-6 / min(placement.scale)
    np.testing.assert_allclose(back, corners, atol=slack)


@settings(deadline=None)
@given(width=SIDES, height=SIDES, spec=SPECS)
def test_boxes_never_leave_the_picture(width: int, height: int, spec: InputSpec) -> None:
    far = np.array([[-1e6, -1e6, 1e6, 1e6]], np.float32)
    back = place((width, height), spec).to_original(far)
    assert back.tolist() == [[0, 0, width, height]]


@pytest.mark.parametrize("kind", get_args(Fit))
@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1280, 720), (333, 211)])
def test_a_thing_in_the_picture_is_where_its_box_says(kind: Fit, size: tuple[int, int]) -> None:
    width, height = size
    picture: UInt8 = np.zeros((height, width, 3), np.uint8)
    # in the middle, where no way of fitting cuts it off
    box = (width // 2 - 40, height // 2 - 30, width // 2 + 40, height // 2 + 50)
    cv2.rectangle(picture, (box[0], box[1]), (box[2] - 1, box[3] - 1), (255, 255, 255), -1)
    fitted, placement = fit(picture, InputSpec(320, 352, kind))
    rows, columns = np.nonzero((fitted > 180).all(axis=2))
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    np.testing.assert_allclose(placement.to_original(seen)[0], box, atol=1 / min(placement.scale) + 0.5)


def test_letterbox_is_the_one_of_yolox() -> None:
    picture: UInt8 = np.full((360, 640, 3), 9, np.uint8)
    fitted, placement = fit(picture, InputSpec(416, 416, "letterbox"))
    assert placement.scale == (0.65, 0.65)
    assert (fitted[:234] == 9).all()
    assert (fitted[234:] == PAD).all()


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    for kind in get_args(Fit):
        fitted, placement = fit(picture, InputSpec(64, 96, kind))
        assert (fitted == picture).all()
        assert (placement.scale, placement.offset) == ((1, 1), (0, 0))
