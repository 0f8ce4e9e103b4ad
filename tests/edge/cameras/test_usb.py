"""USB cameras, as far as they can be tried without one: a library in front of libc plays the kernel's part.

OpenCV's own V4L2 code runs against it. What no test here shows is how a real webcam's driver behaves.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or not Path("/usr/include/linux/videodev2.h").exists(),
    reason="the fake camera is compiled: it needs cc and the kernel's headers",
)

LOOK = """
import json, sys, time
from pathlib import Path
from edge.cameras.camera import StalledError, Tally
from edge.cameras.config import CameraConfig
from edge.cameras.opencv import prepare_opencv
from edge.cameras.opening import open_camera
from models.errors import CameraError

settings, fault, control = json.loads(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
prepare_opencv()
tally = Tally()
camera = open_camera(CameraConfig("desk", "usb:63", **settings), tally)
seen, said = [], ""
try:
    for frame in camera:
        late_ms = (time.monotonic_ns() - frame.steady_ns) / 1e6
        seen.append((frame.number, list(frame.image.shape), late_ms, float(frame.image.mean())))
        if len(seen) == 12:
            if not fault:
                break
            control.write_text(fault)
except CameraError as exc:
    said = f"{type(exc).__name__}: {exc}"
camera.close()
print(json.dumps({"seen": seen, "said": said, "tally": tally.seen}), flush=True)
import os; os._exit(0)  # a thread may wait for the driver still
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fake") / "fake_v4l2.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(path), str(HERE / "fake_v4l2.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return path


def look(library: Path, folder: Path, fault: str = "", **settings: Any) -> dict[str, Any]:
    """What a process sees that looks through /dev/video63, in which `fault` happens after 12 frames."""
    control = folder / "control"
    environment = {**os.environ, "LD_PRELOAD": str(library), "FAKE_V4L2": str(control)}
    ran = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(settings), fault, str(control)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def test_pictures_come_in_order_and_are_dated_by_the_kernel(library: Path, tmp_path: Path) -> None:
    found = look(library, tmp_path)
    numbers, shapes, late_ms, means = zip(*found["seen"], strict=True)
    assert list(numbers) == sorted(set(numbers))
    assert shapes[0] == [480, 640, 3]
    assert min(late_ms) >= 15, "the fake's pictures are 15 ms old when they are handed over"
    assert min(late_ms) < 1000
    assert list(means) == sorted(means), "each is lighter than the one before"


def test_a_size_can_be_asked_for(library: Path, tmp_path: Path) -> None:
    assert look(library, tmp_path, size=[320, 240])["seen"][-1][1] == [240, 320, 3]


def test_a_camera_that_has_no_jpeg_for_a_large_picture_gives_what_it_has(library: Path, tmp_path: Path) -> None:
    assert look(library, tmp_path, size=[1280, 720])["seen"][-1][1] == [480, 640, 3]


def test_an_unplugged_camera_has_gone_away(library: Path, tmp_path: Path) -> None:
    assert look(library, tmp_path, "unplugged")["said"] == "CameraError: camera usb:63 has gone away"


def test_a_camera_that_falls_silent_is_stalled(library: Path, tmp_path: Path) -> None:
    said = look(library, tmp_path, "silent", stall_s=0.5)["said"]
    assert said == "StalledError: camera usb:63 has shown nothing new for 0.5 s"
