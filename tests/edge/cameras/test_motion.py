"""What the motion gate takes for movement, and what not."""

import numpy as np
import pytest

from edge.cameras.motion import MotionGate, Stillness
from models.detections import UInt8

SECOND = 10**9


class Scene:
    """A textured scene with sensor noise, 480p."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)
        coarse = self.rng.integers(30, 200, (15, 20, 3), dtype=np.uint8)
        self.background = np.kron(coarse, np.ones((32, 32, 1), np.uint8)).astype(np.int16)  # (480, 640, 3)
        self.grain = self.rng.normal(0, 100, (544, 704, 3)).astype(np.int16)  # cut out anew for each picture

    def shot(self, *, x: int | None = None, side: int = 40, lighter: int = 0, noise: int = 6) -> UInt8:
        """The scene with a bright thing of `side` pixels at `x`, in another light."""
        picture = self.background + lighter
        if x is not None:
            picture[200 : 200 + side, x : x + side] = 240 + lighter
        top, left = self.rng.integers(0, 64, 2)
        picture += self.grain[top : top + 480, left : left + 640] * noise // 100
        return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def gate(scene: Scene) -> MotionGate:
    gate = MotionGate(threshold=12, area=0.001)
    assert gate.moved(scene.shot()), "the first picture is worth a look"
    return gate


def test_a_sensors_noise_is_no_movement(scene: Scene, gate: MotionGate) -> None:
    assert not any(gate.moved(scene.shot(noise=10)) for _ in range(50))


def test_something_small_that_comes_or_goes_is_movement(scene: Scene, gate: MotionGate) -> None:
    assert gate.moved(scene.shot(x=300))
    assert not gate.moved(scene.shot(x=300)), "it stands now"
    assert gate.moved(scene.shot())


@pytest.mark.parametrize("lighter", [-25, -8, 8, 25])
def test_another_light_is_no_movement(scene: Scene, gate: MotionGate, lighter: int) -> None:
    assert not gate.moved(scene.shot(lighter=lighter))
    assert gate.moved(scene.shot(lighter=lighter, x=300)), "but what moves in it is"


def test_what_creeps_is_seen_once_it_has_gone_far_enough(scene: Scene, gate: MotionGate) -> None:
    assert gate.moved(scene.shot(x=100))
    moved = [gate.moved(scene.shot(x=100 + step)) for step in range(1, 30)]
    assert 2 <= sum(moved) < 29


def test_movement_outside_the_regions_does_not_count(scene: Scene) -> None:
    left_half = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    gate = MotionGate(threshold=12, area=0.001, regions=(left_half,))
    gate.moved(scene.shot())
    assert not gate.moved(scene.shot(x=400))
    assert gate.moved(scene.shot(x=100))


def test_a_camera_that_changes_its_picture_size_is_compared_all_the_same(scene: Scene, gate: MotionGate) -> None:
    gate.moved(scene.shot()[::2, ::2])
    assert not gate.moved(scene.shot()[::2, ::2])


def test_a_still_picture_is_looked_at_every_so_often(scene: Scene) -> None:
    stillness = Stillness(MotionGate(threshold=12, area=0.001), every_s=2)
    looked = [at for at in range(50) if not stillness.holds_back(scene.shot(), at * SECOND // 10)]
    assert looked == [0, 20, 40]


def test_after_movement_the_wait_begins_anew(scene: Scene) -> None:
    stillness = Stillness(MotionGate(threshold=12, area=0.001), every_s=2)
    pictures = [scene.shot(x=300 if at >= 15 else None) for at in range(40)]
    looked = [at for at, picture in enumerate(pictures) if not stillness.holds_back(picture, at * SECOND // 10)]
    assert looked == [0, 15, 35]
