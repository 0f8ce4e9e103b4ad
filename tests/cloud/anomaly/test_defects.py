"""A drawn defect can be seen, and where it is is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.anomaly.defects import spoil, spoil_all
from tests.cloud.anomaly.textures import texture


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), height=st.integers(8, 80), width=st.integers(8, 80), even=st.booleans())
def test_every_picture_is_spoiled_where_the_mask_says(seed: int, height: int, width: int, even: bool) -> None:
    rng = np.random.default_rng(seed)
    picture, other = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    if even:
        picture = other = np.full((height, width, 3), 128, np.uint8)
    before = picture.copy()
    spoiled, mask = spoil(picture, other, rng)
    change = np.abs(spoiled.astype(int) - picture).max(axis=2)
    assert np.array_equal(picture, before)
    assert mask.sum() >= 5
    assert change[mask].min() > 12
    assert (~mask).sum() == 0 or change[~mask].max() <= 12


def test_the_same_seed_draws_the_same_defects() -> None:
    pictures = np.stack([texture(np.random.default_rng(seed)) for seed in range(4)])
    assert np.array_equal(spoil_all(pictures, seed=1), spoil_all(pictures, seed=1))
    assert not np.array_equal(spoil_all(pictures, seed=1), spoil_all(pictures, seed=2))


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_black_or_white_picture_is_spoiled_too(shade: int) -> None:
    picture = np.full((16, 16, 3), shade, np.uint8)
    assert all(spoil(picture, picture, np.random.default_rng(seed))[1].any() for seed in range(30))
