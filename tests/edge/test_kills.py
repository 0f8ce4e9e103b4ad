"""The real gateway process, killed at any time: what was recorded is in the cloud once, and a file loses no frame."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tidegate
from tests.flows.plant import Plant, finish

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]
Eventually = Callable[..., None]
FRAMES = 400


@pytest.fixture
def plant(tmp_path: Path, make_video: MakeVideo, make_release: MakeRelease, trust: Path) -> Iterator[Plant]:
    camera = {"name": "belt", "uri": str(make_video(FRAMES)), "fps": 120}
    plant = Plant(tmp_path / "plant", camera=camera, package=make_release(1), trust=trust)
    yield plant
    plant.close()


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
        ('model = "coco"\ncameras = [{name = "a", uri = "usb:0"}]\npackage = "/nowhere"', 2, "SOCKET_FILEPATH"),
        (
            'model = "coco"\ncameras = [{name = "a", uri = "usb:0"}]\npackage = "/nowhere"\n'
            '[uplink]\nkind = "mqtt"\nhost = "localhost"',
            1,
            "holds no manifest.json",
        ),
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
    monkeypatch.delenv("TIDEGATE_BROKER", raising=False)  # of a local cloud that ran in this process
    path = tmp_path / "gateway.toml"
    if config is not None:
        path.write_text(config)
    assert tidegate.main(["gateway", "run", "--config", "gateway.toml"]) == code
    err = capsys.readouterr().err
    assert complaint in err
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err
