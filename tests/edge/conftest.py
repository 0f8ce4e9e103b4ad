"""Gateways in small: videos that say which frame is which, signed releases of the colour model, a link with faults."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud.sign import Keys, create_keys, sign_release

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """`make_video(frames)`: frame n is blue, green or red as n % 3 is 0, 1 or 2, which the colour model tells apart."""

    def make(frames: int, name: str = "camera.avi") -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
        for number in range(frames):
            writer.write(np.full((48, 64, 3), np.eye(3)[number % 3] * 200, np.uint8))
        writer.release()
        return path

    return make


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """The colour model's signing keys; `tmp_path`/trust is what a gateway is provisioned with."""
    keys = create_keys(tmp_path / "keys", "colour")
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "colour.root.json").write_bytes(keys.root)
    return keys


@pytest.fixture
def trust(keys: Keys, tmp_path: Path) -> Path:
    return tmp_path / "trust"


@pytest.fixture
def make_release(colour_run: Path, keys: Keys, tmp_path: Path) -> MakeRelease:
    """`make_release(7)`: a signed package of the colour model. `floor` and `expires` as in sign_release."""

    def make(release: int, *, floor: int = 0, expires: datetime | None = None, name: str = "") -> Path:
        until = expires or datetime.now(UTC) + timedelta(days=30)
        out = tmp_path / "packages" / (name or str(release))
        return sign_release(colour_run, keys, release=release, floor=floor, expires=until, out=out)

    return make


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Return once it holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen within {timeout_s:g} s"
        time.sleep(0.005)


@pytest.fixture
def eventually() -> Callable[..., None]:
    return wait_until
