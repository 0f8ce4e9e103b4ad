"""What a gateway keeps resident: FastestDet, signed, and live cameras of 854x480 at 15 frames a second.

The real processes, as a user and as Greengrass starts them: one camera through the nucleus' IPC, one camera and two
cameras straight to a broker. The value is the largest part of what is allowed: 160 MB for the first camera with either
uplink, and 40 MB more for the second. Resident is what the kernel counts (VmRSS, with shared libraries), the highest
value seen once pictures are answered; MB are 1,000,000 bytes. The processes see a gateway's libraries only: python-tuf
takes boto3 and cryptography along where they are installed, which is 23 MB that no gateway has.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import tidegate
from benchmarks.bar import Bar, report
from benchmarks.gateway import detector
from benchmarks.learning import real_data
from cloud.sign import create_keys, sign_release
from models.detections import UInt8
from models.mqtt import Connection
from models.topics import SHARDS, results_filters
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker
from simulator.camera_server import Camera, CameraServer
from simulator.scenes import Shot, Truth
from simulator.small_cloud import SmallCloud
from tests.edge.lite import lite

FIRST_MB, SECOND_MB = 160.0, 40.0
SIZE = (854, 480)
FPS = 15.0
SECONDS = 40.0
NOT_ON_A_GATEWAY = ("boto3", "botocore", "cryptography")


@dataclass(frozen=True, slots=True)
class Resident:
    """In MB: the highest while it worked, and the highest ever (while it verified and opened the model)."""

    working: float
    peak: float


class _Bottles:
    """Frames of a real video, made as large as a 480p camera's."""

    def __init__(self) -> None:
        video = cv2.VideoCapture(str(real_data("videos") / "bottle-detection.mp4"))
        self._frames: list[UInt8] = []
        while len(self._frames) < 150:
            read, frame = video.read()
            if not read:
                break
            self._frames.append(np.asarray(cv2.resize(frame, SIZE), np.uint8))

    def frame(self, number: int) -> Shot:
        return Shot(self._frames[number % len(self._frames)].copy(), Truth("bottle"))

    def truth(self, number: int) -> Truth:
        return Truth("bottle")


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules |= dict.fromkeys({NOT_ON_A_GATEWAY})\n")
        settings = {**_release(folder), "window_s": 5.0}
        cameras = [stack.enter_context(_camera()) for _ in range(2)]
        broker, authority = stack.enter_context(_broker(folder)), Authority(folder / "authority")
        gateways = {
            "ipc": stack.enter_context(
                _component("ipc", folder, broker, authority, {**settings, "cameras": cameras[:1]})
            ),
            "paho": stack.enter_context(_straight("paho", folder, broker, authority, settings, cameras[:1])),
            "two": stack.enter_context(_straight("two", folder, broker, authority, settings, cameras)),
        }
        found = _watch({name: process.pid for name, process in gateways.items()})
    second = found["two"].working - found["paho"].working
    worst = max(found["ipc"].working / FIRST_MB, found["paho"].working / FIRST_MB, second / SECOND_MB)
    measured = (
        f"one camera by IPC {found['ipc'].working:.0f} MB (at most ever {found['ipc'].peak:.0f}), straight to a broker "
        f"{found['paho'].working:.0f} ({found['paho'].peak:.0f}); the second camera {second:+.0f} MB; allowed "
        f"{FIRST_MB:.0f} and {SECOND_MB:+.0f}; {SECONDS:.0f} s, {SIZE[0]}x{SIZE[1]} MJPEG at {FPS:.0f} fps"
    )
    return report(Bar("gateway's resident memory, of what is allowed", worst, 1.0, "lower", "x", measured))


def _watch(pids: Mapping[str, int]) -> dict[str, Resident]:
    ends = time.monotonic() + SECONDS
    highest = dict.fromkeys(pids, 0.0)
    while time.monotonic() < ends:
        time.sleep(0.5)
        for name, pid in pids.items():
            if time.monotonic() > ends - SECONDS * 0.6:
                highest[name] = max(highest[name], _status_mb(pid, "VmRSS"))
    return {name: Resident(highest[name], _status_mb(pid, "VmHWM")) for name, pid in pids.items()}


def _status_mb(pid: int, what: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise SystemExit(f"the gateway {pid} has ended")


def _release(folder: Path) -> dict[str, str]:
    """FastestDet, imported and signed; the settings that name it."""
    run, keys = detector(folder), create_keys(folder / "keys", "coco")
    until = datetime.now(UTC) + timedelta(days=1)
    package = sign_release(run, keys, release=1, floor=0, expires=until, out=folder / "package")
    trust = folder / "trust"
    trust.mkdir()
    (trust / "coco.root.json").write_bytes(keys.root)
    return {"model": "coco", "package": str(package), "trust": str(trust)}


@contextmanager
def _camera() -> Iterator[dict[str, str]]:
    with CameraServer({"belt": Camera(_Bottles(), fps=FPS)}) as server:
        yield {"name": f"belt-{server.url.rsplit(':', 1)[1]}", "uri": f"{server.url}/belt"}


@contextmanager
def _broker(folder: Path) -> Iterator[LocalBroker]:
    """A broker, and behind it a cloud that acknowledges."""
    authority = Authority(folder / "authority")
    broker = LocalBroker(folder / "broker", authority)
    broker.start()
    cloud = SmallCloud()
    identity = authority.device(INGEST).broker(broker.host, broker.port)
    connection = Connection(identity, client_id=INGEST, subscriptions=results_filters(range(SHARDS)))

    def answer() -> None:
        for message in connection.messages():
            acknowledgement = cloud.take(message.topic, message.payload)
            if acknowledgement is not None:
                connection.publish(acknowledgement.topic, acknowledgement.payload)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield broker
    finally:
        connection.close()
        thread.join()
        broker.close()


@contextmanager
def _component(
    name: str, folder: Path, broker: LocalBroker, authority: Authority, gateway: Mapping[str, Any]
) -> Iterator["subprocess.Popen[bytes]"]:
    work = folder / name / "work" / "tidegate.Gateway"
    work.mkdir(parents=True)
    identity = authority.device(name).broker(broker.host, broker.port)
    with (
        lite(name, folder / name / "root", identity, {"gateway": gateway}) as nucleus,
        _process([sys.executable, "-m", "edge.component"], work, folder, nucleus.environment) as process,
    ):
        yield process


@contextmanager
def _straight(
    name: str,
    folder: Path,
    broker: LocalBroker,
    authority: Authority,
    settings: Mapping[str, Any],
    cameras: list[dict[str, str]],
) -> Iterator["subprocess.Popen[bytes]"]:
    work = folder / name
    work.mkdir()
    identity = authority.device(name)
    lines = [f"{key} = {value!r}" for key, value in settings.items()]
    for camera in cameras:
        lines += ["[[cameras]]", *(f"{key} = {value!r}" for key, value in camera.items())]
    lines += ["[uplink]", 'kind = "mqtt"', f"host = {broker.host!r}", f"port = {broker.port}"]
    lines += [f"ca = '{identity.ca}'", f"certificate = '{identity.certificate}'", f"key = '{identity.key}'"]
    (work / "gateway.toml").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "tidegate", "gateway", "run", "--config", "gateway.toml", "--name", name]
    with _process([*command, "--keep-running"], work, folder, {}) as process:
        yield process


@contextmanager
def _process(
    command: list[str], work: Path, libraries: Path, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command,
        cwd=work,
        env={**os.environ, **environment, "PYTHONPATH": f"{libraries}:{Path(tidegate.__file__).parent}"},
        stdout=sys.stderr,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(15)


if __name__ == "__main__":
    sys.exit(main())
