"""A hundred model swaps in a gateway that runs: what they cost in frames, in speed and in memory.

FastestDet, two releases by turns, on the frames of bottle-detection.mp4; the whole gateway is in this process, on two
cores. First at full speed: a swap and half a second in all, then as long without, a hundred times by turns; the figure
is the median of the hundred ratios of frames/s. Then a hundred swaps with a live camera at 30 fps, two a second. Frames
are told apart by their numbers: all that the camera handed out must arrive, each once. The value is the worst of three:
0.95 by the ratio of speeds, memory after the last swap by 1.1 times that after five, and 2 if a frame is missing or
came twice.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bar import Bar, report
from benchmarks.learning import on_two_cores, real_data
from cloud.sign import create_keys, sign_release
from edge.cameras.config import CameraConfig
from edge.config import GatewayConfig
from edge.gateway import run_gateway
from edge.memory import measure
from edge.uplink import Inbound
from models.detections import UInt8
from simulator.camera_server import Camera, CameraServer
from simulator.scenes import Shot, Truth
from simulator.small_cloud import SmallCloud, SmallUplink

FIRST, ROUNDS, SWAP_S = 5, 100, 0.5
SPEED, MEMORY, FPS = 0.95, 1.1, 30.0
SHOWN = 300
LINKS = 80_000  # more than any machine infers in the time


class Numbers(SmallCloud):
    """Keeps of each frame only its number, its release and when it was read, so that what grows is not the cloud."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers, self.releases, self.read_us = array("q"), array("q"), array("q")
        self.swaps = 0

    def take(self, topic: str, payload: bytes) -> Inbound | None:
        answer = super().take(topic, payload)
        with self._lock:
            for result in self.frames.values():
                self.numbers.append(result.frame)
                self.releases.append(result.release)
                self.read_us.append(result.steady_us)
            self.swaps = max((self.swaps, *(health.swaps for health in self.health.values())))
            self.frames.clear()
            self.health.clear()
        return answer


class Gateway:
    """A gateway that runs on a thread of this process, and its pointer."""

    def __init__(self, folder: Path, packages: dict[int, Path], camera: CameraConfig) -> None:
        self.cloud = Numbers()
        self._packages = packages
        self._pointer = folder / "work" / "tidegate.Model.coco" / "pointer"
        self._pointer.parent.mkdir(parents=True)
        self._books = folder / "state" / "models" / "coco" / "store.json"
        self._turn = 0
        self._stop = threading.Event()
        config = GatewayConfig(
            model="coco",
            cameras=(camera,),
            window_s=1.0,
            trust=folder.parent / "trust",
            state=folder / "state",
            pointers=folder / "work",
        )
        uplink = SmallUplink(self.cloud, limit_bytes=128 * 1024)
        self._thread = threading.Thread(
            target=lambda: run_gateway(config, gateway="bench", stop=self._stop, keep_running=True, uplink=uplink)
        )
        self._thread.start()

    def swap(self) -> None:
        """Point to the other release, and return when it runs, but not before half a second has passed."""
        until = time.monotonic() + SWAP_S
        self._turn += 1
        release = self._turn % 2 + 1
        draft = self._pointer.with_suffix(".draft")
        draft.write_text(f"{self._packages[release]}\n")
        draft.rename(self._pointer)
        while time.monotonic() < until or self._running() != release:
            time.sleep(0.01)

    def _running(self) -> int:
        try:
            return int(json.loads(self._books.read_bytes())["running"])
        except FileNotFoundError:
            return 0

    def end(self) -> None:
        time.sleep(3.0)  # for the last window to arrive
        self._stop.set()
        self._thread.join()


class Bottles:
    """The first ten seconds of bottle-detection.mp4, over and over."""

    def __init__(self, pictures: list[UInt8]) -> None:
        self._pictures = pictures

    def truth(self, number: int) -> Truth:
        return Truth("bottles")

    def frame(self, number: int) -> Shot:
        return Shot(self._pictures[number % len(self._pictures)], self.truth(number))


def main() -> int:
    on_two_cores()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        packages = _packages(folder)
        speed, memory, full = _full_speed(folder, packages)
        paced = _paced(folder, packages)
    lost = any("0 missing, 0 twice" not in said for said in (full, paced))
    worst = max(SPEED / speed, memory / MEMORY, 2.0 * lost)
    measured = f"frames/s {speed:.3f} x, memory {memory:.3f} x; full speed: {full}; at {FPS:g} fps: {paced}"
    return report(Bar("a hundred model swaps, part of what they may cost", worst, 1.0, "lower", "x", measured))


def _full_speed(folder: Path, packages: dict[int, Path]) -> tuple[float, float, str]:
    """Frames/s and memory as parts of those without swaps and after five, and what became of the frames."""
    source = folder / "frames"
    source.mkdir()
    for count, picture in enumerate(_pictures(), 1):
        cv2.imwrite(str(source / f"{count - 1:06d}.jpg"), picture)
    for number in range(count, LINKS):
        (source / f"{number:06d}.jpg").hardlink_to(source / f"{number % count:06d}.jpg")
    gateway = Gateway(folder / "full", packages, CameraConfig("belt", str(source)))
    for _ in range(FIRST):
        gateway.swap()
    time.sleep(2.0)
    resident = [measure().resident]
    spans = []
    for _ in range(ROUNDS):
        began = time.monotonic()
        gateway.swap()
        between = time.monotonic()
        time.sleep(between - began)
        spans.append((began, between, time.monotonic()))
        resident.append(measure().resident)
    gateway.end()
    cloud = gateway.cloud
    read = np.array(cloud.read_us) / 1e6
    ratios = [
        ((read >= began) & (read < between)).sum()
        / (between - began)
        / (((read >= between) & (read < ended)).sum() / (ended - between))
        for began, between, ended in spans
    ]
    expected = range(max(cloud.numbers, default=0) + 1)
    said = (
        f"{_account(cloud, set(expected))}, {resident[0] / 1e6:.0f} MB after 5 and {resident[-1] / 1e6:.0f} after all"
    )
    return float(np.median(ratios)), resident[-1] / resident[0], said


def _paced(folder: Path, packages: dict[int, Path]) -> str:
    camera = Camera(Bottles(list(islice(_pictures(), SHOWN))), fps=FPS)
    with CameraServer({"belt": camera}) as server:
        gateway = Gateway(folder / "paced", packages, CameraConfig("belt", f"{server.url}/belt", numbered=True))
        for _ in range(FIRST + ROUNDS):
            gateway.swap()
        gateway.end()
        # the last few were under way when it ended
        handed_out = {number for number in camera.handed_out if number <= max(gateway.cloud.numbers, default=0)}
    first = min(gateway.cloud.numbers, default=0)  # until a model was there, pictures were only shown
    return _account(gateway.cloud, {number for number in handed_out if number >= first})


def _account(cloud: Numbers, expected: set[int]) -> str:
    missing = len(expected - set(cloud.numbers))
    twice = len(cloud.numbers) - len(set(cloud.numbers))
    return f"{cloud.swaps} swaps, {len(cloud.numbers)} frames, {missing} missing, {twice} twice"


def _packages(folder: Path) -> dict[int, Path]:
    """FastestDet as releases 1 and 2, and what a gateway needs to trust them."""
    run = folder / "run"
    command = ("import", str(real_data("models") / "FastestDet.onnx"), "--adapter", "fastestdet", "--name", "coco")
    golden = ("--labels", str(real_data("models") / "coco.names"), "--golden", str(real_data("coco128") / "images"))
    subprocess.run(
        [sys.executable, "-m", "tidegate", *command, *golden, "--out", str(run)], check=True, stdout=sys.stderr
    )
    keys = create_keys(folder / "keys", "coco")
    (folder / "trust").mkdir()
    (folder / "trust" / "coco.root.json").write_bytes(keys.root)
    until = datetime.now(UTC) + timedelta(days=1)
    return {
        release: sign_release(run, keys, release=release, floor=0, expires=until, out=folder / f"package-{release}")
        for release in (1, 2)
    }


def _pictures() -> Iterator[UInt8]:
    video = cv2.VideoCapture(str(real_data("videos") / "bottle-detection.mp4"))
    while True:
        read, picture = video.read()
        if not read:
            return
        yield np.asarray(picture, np.uint8)


if __name__ == "__main__":
    sys.exit(main())
