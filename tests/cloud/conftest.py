"""A folder of pictures that anything can learn, and a model trained on it once."""

import shutil
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pytest

import tidegate

_HUES = {"blue": (190, 60, 50), "green": (60, 180, 70), "red": (50, 60, 200)}


def _paint(folder: Path, *, each: int, seed: int = 0, size: tuple[int, int] = (40, 30)) -> None:
    """Noisy pictures (width, height) of one colour each, `each` of them a class."""
    rng = np.random.default_rng(seed)
    for label, colour in _HUES.items():
        (folder / label).mkdir(parents=True)
        for index in range(each):
            noise = rng.normal(0, 25, (size[1], size[0], 3))
            picture = np.clip(np.array(colour) * rng.uniform(0.6, 1.1) + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / label / f"{index:03d}.png"), picture)


class Painter(Protocol):
    def __call__(self, folder: Path, *, each: int, seed: int = 0) -> None: ...


@pytest.fixture(scope="session")
def paint() -> Painter:
    """Fill a folder with pictures of a test's own, `each` of them in every class."""
    return _paint


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ and val/ with a sub-folder a colour; not to be changed."""
    folder = tmp_path_factory.mktemp("pictures")
    _paint(folder / "train", each=24, seed=1)
    _paint(folder / "val", each=8, seed=2)
    return folder


@pytest.fixture(scope="session")
def _trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    words = ["train", "--data", str(pictures), "--name", "colours", "--out", str(run), "--epochs", "5", "--batch", "8"]
    assert tidegate.main([*words, "--size", "24x32", "--width", "8", "--stages", "2", "--threads", "1"]) == 0
    return run


@pytest.fixture
def trained_run(_trained: Path, tmp_path: Path) -> Path:
    """A run folder of this test's own: a small classifier, trained on `pictures` by `tidegate train`."""
    return Path(shutil.copytree(_trained, tmp_path / "trained-run"))
