"""A frozen or covered camera is told apart from an empty scene."""

from collections.abc import Callable

import numpy as np
import pytest

from edge.cameras.camera import Sight
from edge.cameras.sight import SightWatch, shows_nothing
from models.detections import UInt8

SECOND = 10**9
RNG = np.random.default_rng(3)


def scene(level: float = 110.0, spread: float = 60.0, noise: float = 4.0) -> UInt8:
    """An empty scene: some gradient, and a sensor's noise."""
    ramp = np.linspace(-spread / 2, spread / 2, 320)[None, :, None]
    return np.clip(level + ramp + RNG.normal(0, noise, (240, 320, 3)), 0, 255).astype(np.uint8)


def states(pictures: Callable[[int], UInt8], seconds: int, *, frozen_s: float = 3, dark_s: float = 3) -> list[Sight]:
    """What is said once a second, at 10 pictures a second."""
    watch = SightWatch(frozen_s=frozen_s, dark_s=dark_s)
    said = [watch.see(pictures(at), at * SECOND // 10) for at in range(seconds * 10)]
    return said[9::10]


def test_an_empty_scene_is_neither_frozen_nor_dark() -> None:
    assert states(lambda at: scene(), 8) == ["ok"] * 8


def test_the_very_same_picture_for_too_long_is_frozen_until_it_moves_again() -> None:
    stuck = scene()
    said = states(lambda at: stuck if 20 <= at < 80 else scene(), 10)
    assert said == ["ok"] * 5 + ["frozen"] * 3 + ["ok"] * 2


def test_a_still_source_behind_an_encoder_is_frozen_too() -> None:
    # key frame, two that refine it, and then the same until the next
    pictures = [scene() for _ in range(3)]
    said = states(lambda at: pictures[min(at % 20, 2)] if at >= 20 else scene(), 8)
    assert said == ["ok"] * 5 + ["frozen"] * 3


def test_a_live_scene_whose_noise_shows_only_in_key_frames_is_not() -> None:
    keys = {at: scene() for at in range(0, 100, 20)}
    assert states(lambda at: keys[at // 20 * 20], 10) == ["ok"] * 10


def test_a_film_in_a_loop_is_not_frozen() -> None:
    film = [scene() for _ in range(30)]
    assert states(lambda at: film[at % 30], 12) == ["ok"] * 12


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_black_is_dark_also_when_the_sensor_hums(noise: float) -> None:
    said = states(lambda at: scene(4, 0, noise) if at >= 20 else scene(), 8)
    assert said == ["ok"] * 5 + ["dark"] * 3


def test_a_short_blackout_is_none() -> None:
    assert states(lambda at: scene(0, 0, 0) if 20 <= at < 40 else scene(), 6) == ["ok"] * 6


@pytest.mark.parametrize("changes", [{"frozen_s": 0.0}, {"dark_s": 0.0}])
def test_either_can_be_switched_off(changes: dict[str, float]) -> None:
    black = scene(0, 0, 0)
    settings = {"frozen_s": 2.0, "dark_s": 2.0, **changes}
    said = states(lambda at: black, 4, **settings)
    assert said[-1] == ("dark" if settings["dark_s"] else "frozen")


@pytest.mark.parametrize(
    ("picture", "nothing"),
    [
        (scene(0, 0, 0), True),
        (scene(10, 0, 5), True),  # black, gain turned up
        (scene(50, 3, 8), True),  # a hand on the lens: dim, even, noisy
        (scene(60, 40, 5), False),  # dusk
        (scene(30, 60, 5), False),  # night, with a lamp at one side
        (scene(200, 0, 2), False),  # an empty, well-lit belt
        (scene(128, 0, 0), False),  # a grey card
        (np.full((240, 320, 3), (200, 0, 0), np.uint8), False),  # a blue lamp: dim in grey, and even
        (np.zeros((9, 7, 3), np.uint8), True),  # smaller than the cells it is cut into
    ],
)
def test_what_shows_nothing(picture: UInt8, nothing: bool) -> None:
    assert shows_nothing(picture) is nothing
