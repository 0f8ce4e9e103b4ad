"""Whatever a camera does, every frame that it counted is accounted for once."""

import os
import random
import threading
import time

import pytest

from edge.cameras.camera import Tally
from edge.cameras.config import CameraConfig, MotionConfig
from edge.cameras.opencv import prepare_opencv
from edge.cameras.opening import open_camera
from models.errors import CameraError
from simulator.camera_server import Camera, CameraServer, Shows
from simulator.rtsp_server import RtspServer
from simulator.scenes import Conveyor

MOODS: tuple[Shows, ...] = ("scene", "scene", "scene", "frozen", "black", "garbage", "nothing", "gone")


@pytest.mark.parametrize("fps", [None, 12.0])
@pytest.mark.parametrize("kind", [CameraServer, RtspServer])
@pytest.mark.parametrize("seconds", [3, pytest.param(60, marks=pytest.mark.soak)])
def test_seen_is_delivered_or_skipped_or_still_and_the_rest_was_missed(
    kind: type[CameraServer | RtspServer], fps: float | None, seconds: int
) -> None:
    seed = int(os.environ.get("TIDEGATE_SEED", time.time_ns() % 10**6))
    print(f"seed {seed}")
    dice = random.Random(seed)
    prepare_opencv()
    camera = Camera(Conveyor(seed), fps=40)
    tally = _TallyFromTheFirst()
    numbers: list[int] = []
    over = threading.Event()
    with kind({"line": camera}) as server:
        config = CameraConfig(
            *("line", f"{server.url}/line"),
            numbered=True,
            fps=fps,
            stall_s=0.4,
            frozen_s=0.3,
            dark_s=0.3,
            motion=MotionConfig(threshold=100, every_s=0.3),
        )
        threading.Thread(target=_change_moods, args=(camera, dice, over), daemon=True).start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                opened = open_camera(config, tally)
            except CameraError:
                time.sleep(0.05)
                continue
            patience = time.monotonic() + dice.uniform(0.1, 1.5)
            try:
                for frame in opened:
                    numbers.append(frame.number)
                    time.sleep(dice.choice((0, 0, 0.06)))
                    if time.monotonic() > min(until, patience):
                        break
            except CameraError:
                pass
            finally:
                opened.close()
        over.set()
    assert numbers == sorted(set(numbers))
    # asked for once the server is closed: a frame may arrive before whoever wrote it has said so
    assert set(numbers) <= server.cameras["line"].handed_out
    assert tally.seen == len(numbers) + tally.skipped + tally.still
    assert tally.last + 1 - tally.first == tally.seen + tally.missed


class _TallyFromTheFirst(Tally):
    """Remembers the first frame that was counted, which need not be delivered."""

    first = -1

    def __setattr__(self, name: str, value: int) -> None:
        if name == "last" and self.first < 0 <= value:
            self.first = value
        super().__setattr__(name, value)


def _change_moods(camera: Camera, dice: random.Random, over: threading.Event) -> None:
    while not over.wait(dice.uniform(0.05, 0.8)):
        camera.shows = dice.choice(MOODS)
