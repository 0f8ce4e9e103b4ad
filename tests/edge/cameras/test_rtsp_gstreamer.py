"""RTSP as a server of other people's speaks it: H.264, by GStreamer."""

import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edge.cameras.camera import Tally
from edge.cameras.config import CameraConfig
from edge.cameras.opencv import prepare_opencv
from edge.cameras.opening import open_camera
from models.errors import CameraError

SERVER = Path(__file__).with_name("gstreamer_rtsp.py")
PYTHON = Path("/usr/bin/python3")
_IMPORT = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def has_gstreamer() -> bool:
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", _IMPORT], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        not has_gstreamer(), reason=f"needs GStreamer's RTSP server ({SERVER.name} says what to install)"
    ),
]


class Ball:
    """The server's process."""

    def __init__(self, port: int = 0) -> None:
        self._process = subprocess.Popen([PYTHON, SERVER, str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"rtsp://127.0.0.1:{self.port}/ball"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@pytest.fixture
def ball() -> Iterator[Ball]:
    prepare_opencv()
    ball = Ball()
    yield ball
    ball.kill()


def test_pictures_come_in_order_and_are_dated_by_the_server(ball: Ball) -> None:
    tally = Tally()
    camera = open_camera(CameraConfig("ball", ball.url), tally)
    frames = [
        (frame.number, (time.time_ns() - frame.captured_at_ns) / 1e9, frame.image.mean())
        for frame in islice(camera, 60)
    ]
    camera.close()
    numbers, ages, light = zip(*frames, strict=True)
    assert list(numbers) == sorted(set(numbers))
    # what was kept while the stream was looked into is older, and says so
    assert 0 < max(ages[-15:]) < 1
    assert np.ptp(light) < 20, "a ball on black, in every picture"
    assert camera.sight == "ok"


def test_a_server_that_dies_has_gone_away_and_is_found_again(ball: Ball) -> None:
    tally = Tally()
    config = CameraConfig("ball", ball.url, stall_s=2)
    camera = open_camera(config, tally)
    last = next(iter(camera)).number
    ball.kill()
    with pytest.raises(CameraError):
        list(camera)
    camera.close()
    with pytest.raises(CameraError, match="does not answer"):
        open_camera(config, tally)
    again = Ball(ball.port)
    try:
        camera = open_camera(config, tally)
        assert next(iter(camera)).number > last
        camera.close()
    finally:
        again.kill()


def test_nobody_at_that_path_is_an_error(ball: Ball) -> None:
    with pytest.raises(CameraError, match="does not answer"):
        open_camera(CameraConfig("ball", f"{ball.url}/elsewhere"), Tally())
