"""Events, aggregates and pictures on their way from a video to the cloud."""

import threading
from pathlib import Path

import cv2
import numpy as np

from edge.analytics.config import AnalyticsConfig, LineConfig, ZoneConfig
from edge.cameras.config import CameraConfig
from edge.config import GatewayConfig
from edge.gateway import run_gateway
from edge.running import Outcome
from simulator.small_cloud import SmallCloud, SmallUplink
from tests.edge.lamp import HEIGHT, WIDTH, lamp_run, shown

FRAMES = 60


def test_what_happens_before_a_camera_reaches_the_cloud_with_its_pictures(tmp_path: Path) -> None:
    video = tmp_path / "belt.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (WIDTH, HEIGHT))
    for number in range(FRAMES):
        writer.write(shown(number))
    writer.release()
    analytics = AnalyticsConfig(
        lines=(LineConfig("gate", (0.5, 1), (0.5, 0), alarm=True, picture="crop"),),
        zones=(ZoneConfig("right", ((0.5, 0), (1, 0), (1, 1), (0.5, 1)), leave=False),),
    )
    cloud = SmallCloud()
    config = GatewayConfig(
        model="lamp",
        cameras=(CameraConfig("belt", str(video), analytics=analytics),),
        state=tmp_path / "state",
        package=lamp_run(tmp_path),
        allow_unsigned=True,
        window_s=1.0,
    )
    outcome = run_gateway(
        config, gateway="g1", stop=threading.Event(), keep_running=False, uplink=SmallUplink(cloud, limit_bytes=5_000)
    )
    assert outcome == Outcome(waiting=0, failures=())

    assert {tuple(result.detections.tracks.tolist()) for result in cloud.frames.values()} == {(1,)}
    crossing, entry, *camera = sorted(cloud.events.values(), key=lambda event: event.kind, reverse=True)
    assert [event.label for event in camera] == ["ok", "ended"]
    assert (crossing.kind, crossing.rule, crossing.value, crossing.track) == ("line", "gate", 1.0, 1)
    assert (entry.kind, entry.rule, entry.label, entry.alarm) == ("enter", "right", "lamp", False)
    assert crossing.alarm
    assert 30 <= entry.frame <= crossing.frame <= 34  # the lamp's middle is at 19.5 + 2 n, the gate at 80

    totals = {(row.zone, row.label): 0 for row in cloud.aggregates.values()}
    for row in cloud.aggregates.values():
        totals[row.zone, row.label] += row.detections
    assert totals == {("", ""): FRAMES, ("", "lamp"): FRAMES, ("right", "lamp"): FRAMES - 31}

    parts = [part for _, part in sorted(cloud.pictures.items())]
    assert {part.picture for part in parts} == {crossing.picture}
    jpeg = np.frombuffer(b"".join(part.data for part in parts), np.uint8)
    crop = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    left, top, right, bottom = parts[0].xyxy
    assert crop.shape == (bottom - top, right - left, 3)
    assert crop.max() > 230
    assert crop.min() < 90
