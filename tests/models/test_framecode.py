"""A frame's number survives what a camera's stream does to it."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detections import UInt8
from models.errors import CameraError
from models.framecode import HEIGHT, MIN_WIDTH, read, stamp


def picture(seed: int, height: int, width: int) -> UInt8:
    """Between plain and noisy."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return noise if seed % 2 else np.asarray(cv2.GaussianBlur(noise, (9, 9), 0), np.uint8)


SIZES = {"height": st.integers(1, 200), "width": st.integers(MIN_WIDTH, 400), "seed": st.integers(0, 2**32 - 1)}
NUMBERS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 0x55555555, 0xAAAAAAAA, 2**32 - 1]))


@settings(deadline=None)
@given(number=NUMBERS, **SIZES)
def test_the_number_and_the_picture_come_back(number: int, height: int, width: int, seed: int) -> None:
    image = picture(seed, height, width)
    found, rest = read(stamp(image, number))
    assert found == number
    assert (rest == image).all()


@settings(deadline=None, max_examples=200)
@given(number=NUMBERS, quality=st.sampled_from([75, 80, 95]), **SIZES)
def test_the_number_survives_jpeg(number: int, quality: int, height: int, width: int, seed: int) -> None:
    encoded, data = cv2.imencode(
        ".jpg", stamp(picture(seed, height, width), number), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert encoded
    found, rest = read(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8))
    assert found == number
    assert rest.shape == (height, width, 3)


@settings(deadline=None)
@given(number=NUMBERS, **SIZES)
def test_a_code_that_was_painted_over_is_not_believed(number: int, height: int, width: int, seed: int) -> None:
    stamped = stamp(picture(seed, height, width), number)
    stamped[-HEIGHT:, : width // 2] = 255 - stamped[-HEIGHT:, : width // 2]
    with pytest.raises(CameraError, match="no readable frame code"):
        read(stamped)


@settings(deadline=None)
@given(shade=st.integers(0, 255), **SIZES)
def test_a_picture_without_a_code_has_none(shade: int, height: int, width: int, seed: int) -> None:
    with pytest.raises(CameraError, match="no readable frame code"):
        read(np.concatenate((picture(seed, height, width), np.full((HEIGHT, width, 3), shade, np.uint8))))


@pytest.mark.parametrize("shape", [(0, 640, 3), (HEIGHT, 640, 3), (480, MIN_WIDTH - 1, 3), (1, 1, 3)])
def test_a_picture_too_small_for_a_code_is_said_to_be(shape: tuple[int, ...]) -> None:
    with pytest.raises(CameraError, match="too small"):
        read(np.zeros(shape, np.uint8))


def test_a_picture_too_narrow_is_not_stamped() -> None:
    with pytest.raises(ValueError, match="at least 96 pixels wide"):
        stamp(np.zeros((10, 95, 3), np.uint8), 1)


def test_numbers_start_again_after_32_bits() -> None:
    image = picture(1, 32, 96)
    assert read(stamp(image, 2**32 + 5))[0] == 5
