"""What a camera is told, from its configuration to the rows in the cloud."""

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cameras.config import CameraConfig, MotionConfig
from edge.config import GatewayConfig
from edge.gateway import run_gateway
from edge.running import Outcome
from models.records import FrameResult
from simulator.small_cloud import SmallCloud, SmallUplink
from tests.edge.lamp import HEIGHT, WIDTH, lamp_run, shown

FRAMES = 60
LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A lamp that goes from left to right, two pixels a frame; then it stands for a second."""
    path = tmp_path / "belt.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (WIDTH, HEIGHT))
    for number in range(FRAMES + 30):
        writer.write(shown(min(number, FRAMES - 1)))
    writer.release()
    return path


def seen(tmp_path: Path, video: Path, **settings: Any) -> tuple[dict[int, FrameResult], SmallCloud]:
    """What is in the cloud of each frame."""
    tmp_path.mkdir(exist_ok=True)
    cloud = SmallCloud()
    config = GatewayConfig(
        model="lamp",
        cameras=(CameraConfig("belt", str(video), **settings),),
        state=tmp_path / "state",
        package=lamp_run(tmp_path),
        allow_unsigned=True,
        window_s=1.0,
    )
    outcome = run_gateway(
        config, gateway="g1", stop=threading.Event(), keep_running=False, uplink=SmallUplink(cloud, limit_bytes=5_000)
    )
    assert outcome == Outcome(waiting=0, failures=())
    return {result.frame: result for result in cloud.frames.values()}, cloud


def middle(result: FrameResult) -> tuple[float, float]:
    """Where the one lamp is, in pixels."""
    ((left, top, right, bottom),) = result.detections.xyxy.tolist()
    return (left + right) / 2, (top + bottom) / 2


def test_boxes_are_in_pixels_of_the_turned_and_cut_picture(tmp_path: Path, video: Path) -> None:
    plain, _ = seen(tmp_path / "plain", video)
    turned, _ = seen(tmp_path / "turned", video, rotate=180, crop=(0.25, 0.0, 1.0, 1.0))
    for number in (0, 20, 40):
        x, y = middle(plain[number])
        assert middle(turned[number]) == pytest.approx((WIDTH - x - WIDTH / 4, HEIGHT - y), abs=2)
    assert not len(turned[59].detections), "it has gone where the picture was cut off"


def test_what_a_mask_covers_is_in_no_result(tmp_path: Path, video: Path) -> None:
    frames, _ = seen(tmp_path, video, masks=(LEFT_HALF,))
    lit = [number for number, result in frames.items() if len(result.detections)]
    assert len(frames) == FRAMES + 30
    assert 20 <= min(lit) <= 40
    assert sorted(lit) == list(range(min(lit), FRAMES + 30))


def test_still_pictures_leave_no_rows_and_are_counted(tmp_path: Path, video: Path) -> None:
    frames, cloud = seen(tmp_path, video, motion=MotionConfig(every_s=0.5))
    standing = [number for number in frames if number >= FRAMES]
    assert len(standing) in (1, 2), "every half second of the video's own time"
    reports = cloud.reports()
    assert sum(report.frames_seen for report in reports) == FRAMES + 30
    assert sum(report.frames_inferred for report in reports) == len(frames)
    assert sum(report.frames_still for report in reports) == FRAMES + 30 - len(frames)
    assert np.diff(sorted(frames)).max() <= 15
