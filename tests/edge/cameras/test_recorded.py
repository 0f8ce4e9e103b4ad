"""Recordings: their times, and what is wrong with some of them."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.camera import Tally
from edge.cameras.config import CameraConfig, MotionConfig
from edge.cameras.opening import open_camera
from models.errors import CameraError

FRAMES = 60


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds at 30 frames a second."""
    path = tmp_path / "belt.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), number * 4, np.uint8))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(10):
        cv2.imwrite(str(folder / f"{number}.JPG"), np.full((48, 64, 3), number * 20, np.uint8))
    return folder


def test_a_second_of_a_video_is_a_second_however_fast_it_is_read(video: Path) -> None:
    opened_ns = time.time_ns()
    times = [
        (frame.captured_at_ns, frame.steady_ns) for frame in open_camera(CameraConfig("belt", str(video)), Tally())
    ]
    assert np.allclose(np.diff(times, axis=0), 1e9 / 30, atol=2e6)
    assert opened_ns - 2.1e9 < times[0][0] < opened_ns
    assert times[-1][0] <= time.time_ns(), "nothing lies in the future"


def test_a_video_that_is_resumed_goes_on_later(video: Path) -> None:
    camera = CameraConfig("belt", str(video))
    first = {frame.number: frame.captured_at_ns for frame in open_camera(camera, Tally())}
    second = {frame.number: frame.captured_at_ns for frame in open_camera(camera, Tally(last=29))}
    assert min(second.values()) > first[29]


def test_a_paced_video_is_dated_when_it_is_shown(video: Path) -> None:
    opened_ns = time.time_ns()
    times = [frame.captured_at_ns for frame in open_camera(CameraConfig("belt", str(video), fps=100), Tally())]
    assert opened_ns <= times[0]
    assert times[-1] <= time.time_ns()
    assert times[-1] - times[0] >= 0.5e9


def test_a_still_video_is_looked_at_by_its_own_time(tmp_path: Path) -> None:
    path = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for _ in range(90):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    writer.release()
    tally = Tally()
    camera = open_camera(CameraConfig("belt", str(path), motion=MotionConfig(every_s=1)), tally)
    assert [frame.number for frame in camera] == [0, 30, 60]
    assert (tally.seen, tally.still, tally.last) == (90, 87, 89)


def test_pictures_of_a_folder_that_cannot_be_read_are_missed_and_named_in_the_end(folder: Path) -> None:
    (folder / "3.JPG").write_bytes(b"no picture")
    (folder / "5.JPG").write_bytes((folder / "5.JPG").read_bytes()[:40])
    tally = Tally()
    numbers: list[int] = []
    camera = open_camera(CameraConfig("line", str(folder)), tally)
    with pytest.raises(CameraError, match=r"2 of its 10 pictures cannot be read, the first is 3\.JPG"):
        numbers.extend(frame.number for frame in camera)
    assert numbers == [0, 1, 2, 4, 6, 7, 8, 9]
    assert (tally.seen, tally.missed, tally.last) == (8, 2, 9)
    assert list(open_camera(CameraConfig("line", str(folder)), tally)) == [], "it has been through them all"


@pytest.mark.parametrize("kind", ["empty", "gone"])
def test_a_folder_without_pictures_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "empty":
        path.mkdir()
        (path / "notes.txt").write_text("none yet")
    with pytest.raises(CameraError, match=r"holds no pictures|is not there"):
        open_camera(CameraConfig("line", str(path)), Tally())
