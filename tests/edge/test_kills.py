"""The real gateway process, killed at any time: what was recorded is in the cloud once, and a file loses no frame."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tidegate
from models.errors import UplinkError
from models.mqtt import Connection
from models.topics import results_filter, shard_of
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker
from simulator.small_cloud import SmallCloud
from simulator.witness import Witness

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]
Eventually = Callable[..., None]
GATEWAY = "line-1"
FRAMES = 400


class Plant:
    """A broker, a small cloud behind it, and a gateway process that can be started again and again."""

    def __init__(self, folder: Path, make_video: MakeVideo, package: Path, trust: Path) -> None:
        self.folder = folder
        self.cloud = SmallCloud()
        self._witness = Witness(folder / "state" / "spool.db")
        authority = Authority(folder / "authority")
        self.broker = LocalBroker(folder / "broker", authority)
        self.broker.start()
        own = authority.device(GATEWAY)
        self._config = folder / "gateway.toml"
        self._config.write_text(
            f"""
            model = "colour"
            window_s = 0.3
            ack_timeout_s = 1.0
            trust = "{trust}"
            state = "{folder / "state"}"
            package = "{package}"
            cameras = [{{name = "belt", uri = "{make_video(FRAMES)}", fps = 120}}]
            [uplink]
            kind = "mqtt"
            host = "{self.broker.host}"
            port = {self.broker.port}
            ca = "{own.ca}"
            certificate = "{own.certificate}"
            key = "{own.key}"
            """
        )
        self._connection = Connection(
            authority.device(INGEST).broker(self.broker.host, self.broker.port),
            client_id=INGEST,
            subscriptions=[results_filter(shard_of(GATEWAY))],
        )
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        assert self._connection.wait_until_ready(20)

    def start(self, *flags: str) -> subprocess.Popen[bytes]:
        root = Path(tidegate.__file__).parent
        command = [sys.executable, "-m", "tidegate", "gateway", "run", "--name", GATEWAY]
        return subprocess.Popen(
            [*command, "--config", str(self._config), "--json", *flags],
            cwd=root,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def recorded(self) -> list[tuple[str, int]]:
        return [(record.stream, record.seq) for record in self._witness.frames()]

    def close(self) -> None:
        self._connection.close()
        self._thread.join()
        self.broker.close()

    def _answer(self) -> None:
        for message in self._connection.messages():
            answer = self.cloud.take(message.topic, message.payload)
            if answer is not None:
                try:
                    self._connection.publish(answer.topic, answer.payload)
                except UplinkError:
                    continue  # the gateway will ask again


@pytest.fixture
def plant(tmp_path: Path, make_video: MakeVideo, make_release: MakeRelease, trust: Path) -> Iterator[Plant]:
    plant = Plant(tmp_path / "plant", make_video, make_release(1), trust)
    yield plant
    plant.close()


def finish(process: subprocess.Popen[bytes], timeout_s: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout_s)
    return process.returncode, out.decode(), err.decode()


def test_kills_at_any_time_lose_nothing_that_was_recorded_and_no_frame_of_a_file(plant: Plant) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    kills = 0
    while len(plant.cloud.frame_numbers("belt")) < FRAMES * 0.8 and kills < 6:
        process = plant.start()
        before = len(plant.cloud.frames)
        deadline = time.monotonic() + 20
        while len(plant.cloud.frames) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.6))
        process.kill()
        finish(process)
        kills += 1
    code, out, err = finish(plant.start())
    assert code == 0, err
    assert json.loads(out) == {"waiting": 0, "failures": [], "stopped": False}
    assert kills >= 2
    assert plant.cloud.frame_numbers("belt") == list(range(FRAMES)), "every frame of the file, once"
    recorded = plant.recorded()
    in_the_cloud = {(stream, seq) for _, stream, seq in plant.cloud.frames}
    assert len(recorded) == len(set(recorded)) == FRAMES
    assert set(recorded) == in_the_cloud
    assert plant.cloud.losses == []


def test_kills_while_the_broker_comes_and_goes_lose_nothing_either(plant: Plant) -> None:
    process = plant.start()
    deadline = time.monotonic() + 20
    while not plant.cloud.frames and time.monotonic() < deadline:
        time.sleep(0.01)
    plant.broker.kill()
    time.sleep(0.7)
    process.kill()
    _, _, err = finish(process)
    assert "results wait in the spool" in err
    process = plant.start()
    time.sleep(1.5)
    plant.broker.start()
    code, _, err = finish(process)
    assert code == 0, err
    assert plant.cloud.frame_numbers("belt") == list(range(FRAMES))


def test_sigterm_flushes_and_leaves_within_five_seconds(plant: Plant) -> None:
    process = plant.start("--keep-running")
    deadline = time.monotonic() + 20
    while not plant.cloud.frames and time.monotonic() < deadline:
        time.sleep(0.01)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process, timeout_s=5)
    print(f"left after {time.monotonic() - asked:.1f} s")
    assert code == 0, err
    assert json.loads(out)["stopped"] is True
    code, _, err = finish(plant.start())
    assert code == 0, err
    assert plant.cloud.frame_numbers("belt") == list(range(FRAMES))


@pytest.mark.parametrize(
    ("config", "code", "complaint"),
    [
        ("windows_s = 5", 2, "unknown key 'windows_s'"),
        ("model = ", 2, "is not TOML"),
        ('model = "coco"\ncameras = [{name = "a", uri = "/nowhere.mp4"}]\nwindow_s = -5', 2, "window_s must be in"),
        ('model = "coco"\ncameras = [{name = "a", uri = "usb:0"}]\npackage = "/nowhere"', 1, "holds no manifest.json"),
        (None, 2, "cannot be read"),
    ],
)
def test_a_bad_configuration_is_one_line_and_nothing_is_left_behind(
    config: str | None,
    code: int,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "gateway.toml"
    if config is not None:
        path.write_text(config)
    assert tidegate.main(["gateway", "run", "--config", "gateway.toml"]) == code
    err = capsys.readouterr().err
    assert complaint in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
