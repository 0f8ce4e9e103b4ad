"""Simulated cameras are read as real ones are: over HTTP, by OpenCV."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from models.framecode import read
from simulator.camera_server import Camera, CameraServer
from simulator.scenes import Conveyor


@pytest.fixture(scope="module")
def server() -> Iterator[CameraServer]:
    with CameraServer({"site/line": Camera(Conveyor(7), fps=20)}) as server:
        yield server


def test_opencv_reads_frames_whose_numbers_go_up_and_whose_pictures_are_the_scene(server: CameraServer) -> None:
    capture = cv2.VideoCapture(f"{server.url}/site/line")
    numbers = []
    for _ in range(10):
        ok, stamped = capture.read()
        assert ok
        number, picture = read(np.asarray(stamped, np.uint8))
        numbers.append(number)
        expected = server.cameras["site/line"].scene.frame(number).image
        assert np.abs(picture.astype(int) - expected.astype(int)).mean() < 6  # JPEG
    capture.release()
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= server.cameras["site/line"].handed_out


def test_a_camera_that_is_not_there_cannot_be_opened(server: CameraServer) -> None:
    assert not cv2.VideoCapture(f"{server.url}/elsewhere").isOpened()
