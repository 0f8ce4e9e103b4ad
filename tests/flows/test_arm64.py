"""The gateway on arm64: its own wheels and code, run by qemu as on a Cortex-A72, to the lake and through the nucleus.

`make arm64` makes the root that this needs, and runs it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import tidegate
from cloud.sign import create_keys, sign_release
from models.durable import write_atomic
from models.manifest import read_manifest
from simulator import processes
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker
from tests.edge.lite import lite

# an import takes ten seconds under qemu, and a frame of a real detector one
pytestmark = [pytest.mark.soak, pytest.mark.arm64, pytest.mark.timeout(900)]

CHECKOUT = Path(tidegate.__file__).resolve().parent
GATEWAY = "pi-1"
FRAMES = 60
PATIENCE_S = 300


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """What a gateway has of our code, and nothing else of it."""
    code = tmp_path / "code"
    code.mkdir()
    for name in ("tidegate.py", "edge", "models"):
        (code / name).symlink_to(CHECKOUT / name)
    return code


class Site:
    """A broker, `tidegate ingest` and a lake; a signed release of the colour model, and a film that says which frame is
    which."""

    def __init__(self, folder: Path, run: Path) -> None:
        self.folder = folder
        self.lake = folder / "lake"
        self.authority = Authority(folder / "authority")
        self.broker = LocalBroker(folder / "broker", self.authority)
        self.broker.start()
        own = self.authority.device(INGEST)
        command = [sys.executable, "-m", "tidegate", "ingest", "--lake", str(self.lake), "--commit-s", "0.3"]
        link = ["--broker", f"{self.broker.host}:{self.broker.port}", "--ca", str(own.ca)]
        mine = ["--certificate", str(own.certificate), "--key", str(own.key)]
        self._ingest = processes.start([*command, *link, *mine], log=folder / "ingest.log", folder=CHECKOUT)
        keys = create_keys(folder / "keys", "colour")
        self.trust = folder / "trust"
        write_atomic(self.trust / "colour.root.json", keys.root)
        until = datetime.now(UTC) + timedelta(days=1)
        self.package = sign_release(run, keys, release=1, floor=0, expires=until, out=folder / "package")
        self.film = folder / "belt.avi"
        writer = cv2.VideoWriter(str(self.film), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
        for number in range(FRAMES):
            writer.write(np.full((48, 64, 3), np.eye(3)[number % 3] * 200, np.uint8))
        writer.release()

    def run(self, python: Path, code: Path, settings: str, *, name: str = GATEWAY, kind: str = "mqtt") -> None:
        """A gateway process on that Python, until all that it recorded is in the lake."""
        own = self.authority.device(name)
        config = self.folder / f"{name}.toml"
        config.write_text(
            f"""
            trust = "{self.trust}"
            state = "{self.folder / name}"
            window_s = 1.0
            {settings}
            [uplink]
            kind = "{kind}"
            host = "{self.broker.host}"
            port = {self.broker.port}
            ca = "{own.ca}"
            certificate = "{own.certificate}"
            key = "{own.key}"
            """
        )
        command = [str(python), "-m", "tidegate", "gateway", "run", "--config", str(config), "--name", name, "--json"]
        done = subprocess.run(command, cwd=code, env=_with(code), capture_output=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout) == {"waiting": 0, "failures": [], "stopped": False}

    def query(self, sql: str) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "tidegate", "query", sql, "--lake", str(self.lake), "--json"]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def frames(self) -> list[tuple[object, object]]:
        """Each row's frame number and label, in order."""
        rows = self.query("SELECT frame, detections[1].label AS label FROM frames ORDER BY frame")
        return [(row["frame"], row["label"]) for row in rows]

    def detections(self, gateway: str) -> list[tuple[Any, ...]]:
        """(frame, label, track, score, x1, y1, x2, y2) of each, in order."""
        columns = "frame, label, track, score, x1, y1, x2, y2"
        rows = self.query(f"SELECT {columns} FROM results WHERE gateway = '{gateway}' ORDER BY 1, 2, 3, x1, y1")
        return [tuple(row.values()) for row in rows]

    def events(self, gateway: str) -> list[dict[str, Any]]:
        """What was told of the zone, in order."""
        columns = "frame, kind, rule, label, track"
        return self.query(f"SELECT {columns} FROM events WHERE gateway = '{gateway}' AND rule = 'all' ORDER BY ALL")

    def close(self) -> None:
        processes.stop(self._ingest)
        self.broker.close()


SEEN = [(number, ("blue", "green", "red")[number % 3]) for number in range(FRAMES)]


@pytest.fixture
def site(tmp_path: Path, colour_run: Path) -> Iterator[Site]:
    site = Site(tmp_path / "site", colour_run)
    yield site
    site.close()


@pytest.mark.parametrize("kind", ["mqtt", "aws"])
def test_a_gateway_on_arm64_brings_every_frame_of_a_film_to_the_lake(
    kind: str, arm64_python: Path, code: Path, site: Site
) -> None:
    if kind == "aws" and site.broker.kind != "mosquitto":
        pytest.skip("no mosquitto, and what stands in for it speaks no MQTT 5")
    settings = f'''
        model = "colour"
        package = "{site.package}"
        cameras = [{{name = "belt", uri = "{site.film}"}}]
        '''
    site.run(arm64_python, code, settings, kind=kind)
    assert site.frames() == SEEN
    (report,) = site.query("SELECT sum(frames_inferred)::INT AS n, max(digest) AS digest, max(errors) AS e FROM health")
    assert report == {"n": FRAMES, "digest": read_manifest(site.package).variant().sha256, "e": 0}


def test_the_component_on_arm64_takes_a_model_and_ships_through_the_nucleus(
    arm64_python: Path, code: Path, site: Site, tmp_path: Path
) -> None:
    configuration = {
        "model": "colour",
        "cameras": [{"name": "belt", "uri": str(site.film)}],
        "window_s": 1.0,
        "trust": str(site.trust),
    }
    pointer = tmp_path / "work" / "tidegate.Model.colour" / "pointer"
    write_atomic(pointer, f"{site.package}\n".encode())
    with _component(arm64_python, code, site, tmp_path, configuration) as process:
        _wait_until_it_holds(site, process)
        process.terminate()
        # a component has 5 s; under qemu leaving takes longer
        assert process.wait(60) == 0
    assert site.frames() == SEEN


@pytest.mark.real
def test_a_detector_and_its_tracks_are_on_arm64_what_they_are_here(
    arm64_python: Path, code: Path, site: Site, shared_data: Path, tmp_path: Path
) -> None:
    run = _fastest_det(shared_data, tmp_path)
    # PNG and of the model's size: what FFmpeg decodes and OpenCV resizes differs by a level or two between processors
    pictures = tmp_path / "pictures"
    _cut(shared_data / "videos" / "bottle-detection.mp4", pictures, frames=range(300, 312), size=(352, 352))
    settings = f'''
        model = "coco"
        package = "{run}"
        allow_unsigned = true
        [[cameras]]
        name = "table"
        uri = "{pictures}"
        [[cameras.analytics.zones]]
        name = "all"
        polygon = [[0, 0], [1, 0], [1, 1], [0, 1]]
        '''
    site.run(Path(sys.executable), code, settings, name="desk-1")
    site.run(arm64_python, code, settings, name="pi-1")
    here, there = (site.detections(name) for name in ("desk-1", "pi-1"))
    assert len(here) > 3 * 12
    assert [row[:3] for row in there] == [row[:3] for row in here]
    # as exactly as the wire tells them: scores in 1/255, boxes in quarter pixels
    np.testing.assert_allclose([row[3] for row in there], [row[3] for row in here], atol=1.01 / 255)
    np.testing.assert_allclose([row[4:] for row in there], [row[4:] for row in here], atol=0.25)
    assert site.events("pi-1") == site.events("desk-1") != []


@pytest.mark.real
def test_the_golden_frames_of_a_detector_agree_on_arm64(
    arm64_python: Path, code: Path, shared_data: Path, tmp_path: Path
) -> None:
    run = _fastest_det(shared_data, tmp_path)
    command = [str(arm64_python), "-m", "tidegate", "gateway", "bench", str(run), "--seconds", "1", "--json"]
    done = subprocess.run(command, cwd=code, env=_with(code), capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    measured = json.loads(done.stdout)
    assert measured["hardware"].startswith("aarch64")
    assert measured["runs"] == "fp32"
    assert [variant["differences"] for variant in measured["variants"]] == [[]]


def _fastest_det(shared_data: Path, folder: Path) -> Path:
    models, run = shared_data / "models", folder / "coco"
    named = ["--adapter", "fastestdet", "--labels", str(models / "coco.names"), "--name", "coco", "--out", str(run)]
    assert tidegate.main(["import", str(models / "FastestDet.onnx"), *named]) == 0
    return run


def _cut(video: Path, folder: Path, *, frames: range, size: tuple[int, int]) -> None:
    source = cv2.VideoCapture(str(video))
    source.set(cv2.CAP_PROP_POS_FRAMES, frames.start)
    folder.mkdir()
    for number in frames:
        whole, image = source.read()
        assert whole
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(image, size))


def _with(code: Path, **more: str) -> dict[str, str]:
    return {**os.environ, **more, "PYTHONPATH": str(code)}


@contextmanager
def _component(
    python: Path, code: Path, site: Site, folder: Path, configuration: dict[str, object]
) -> Iterator[subprocess.Popen[bytes]]:
    work = folder / "work" / "tidegate.Gateway"
    work.mkdir(parents=True)
    identity = site.authority.device(GATEWAY).broker(site.broker.host, site.broker.port)
    with lite(GATEWAY, folder / "nucleus", identity, {"gateway": configuration}) as nucleus:
        process = processes.start(
            [str(python), "-m", "edge.component"],
            log=folder / "component.log",
            environment=_with(code, **nucleus.environment),
            folder=work,
        )
        try:
            yield process
        finally:
            processes.kill(process)


def _wait_until_it_holds(site: Site, process: subprocess.Popen[bytes]) -> None:
    """Return once the lake holds a row for each frame."""
    deadline = time.monotonic() + PATIENCE_S
    while not (site.lake / "frames").is_dir() or len(site.frames()) < FRAMES:
        assert process.poll() is None, "the component ended"
        assert time.monotonic() < deadline, f"not all frames came within {PATIENCE_S} s"
        time.sleep(2)
