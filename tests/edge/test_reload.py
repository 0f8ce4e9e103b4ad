"""The real gateway process reads its file again when it is asked to (SIGHUP), and survives what is wrong in it."""

import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tidegate
from edge.config_file import read_config
from edge.kept_config import KEPT, keep, kept
from edge.status import read_status
from models.errors import TidegateError
from tests.flows.plant import Plant, finish

MakeVideo = Callable[..., Path]
MakeRelease = Callable[..., Path]
Eventually = Callable[..., None]
FRAMES = 500


@pytest.fixture
def plant(tmp_path: Path, make_video: MakeVideo, make_release: MakeRelease, trust: Path) -> Iterator[Plant]:
    camera = {"name": "belt", "uri": str(make_video(FRAMES)), "fps": 60}
    plant = Plant(tmp_path / "plant", camera=camera, package=make_release(1), trust=trust)
    yield plant
    plant.close()


def edit(plant: Plant, what: str, into: str) -> None:
    """Change what this regular expression matches in the file."""
    file = plant.folder / "gateway.toml"
    file.write_text(re.sub(what, into, file.read_text()))


def write_window(plant: Plant, window_s: str) -> None:
    edit(plant, r"window_s = \S*", f"window_s = {window_s}")


def refused(plant: Plant) -> str | None:
    """None where it cannot be asked."""
    try:
        status = read_status(plant.state)
    except TidegateError:
        return None
    return status.overview.total.configuration_refused if status else None


def kept_window(plant: Plant) -> float | None:
    config = kept(plant.state)
    return config.window_s if config else None


def test_a_file_is_read_again_on_sighup_and_a_bad_one_changes_nothing_also_after_a_restart(
    plant: Plant, eventually: Eventually
) -> None:
    process = plant.start("--keep-running")
    eventually(lambda: len(plant.cloud.frames) > 10, timeout_s=30)
    write_window(plant, "0.5")
    time.sleep(0.3)
    assert kept_window(plant) == 0.3, "nobody has asked for it"
    process.send_signal(signal.SIGHUP)
    eventually(lambda: kept_window(plant) == 0.5)
    edit(plant, r"(port = \d+)", r"\1, limit_bytes = 20000")  # the link to the broker is opened again
    process.send_signal(signal.SIGHUP)
    eventually(lambda: "20000" in (plant.state / KEPT).read_text())
    seen = len(plant.cloud.frames)
    eventually(lambda: len(plant.cloud.frames) > seen + 20)
    for wrong, why in (("0", "window_s must be in 0.1..3600, got 0"), ("", "is not TOML")):
        write_window(plant, wrong)
        process.send_signal(signal.SIGHUP)
        eventually(lambda why=why: why in (refused(plant) or ""))
    process.kill()
    finish(process)
    process = plant.start("--keep-running", "--state", str(plant.state))  # as the service does
    eventually(lambda: "is not TOML" in (refused(plant) or ""), timeout_s=30)
    write_window(plant, "0.4")
    process.send_signal(signal.SIGHUP)
    eventually(lambda: kept_window(plant) == 0.4)
    assert refused(plant) == ""
    eventually(lambda: len(plant.cloud.frame_numbers("belt")) >= FRAMES, timeout_s=30)
    process.terminate()
    code, _, err = finish(process)
    assert code == 0, err
    assert "the configuration is refused, and the one before goes on" in err
    assert plant.cloud.frame_numbers("belt") == list(range(FRAMES))


def test_whoever_starts_it_by_hand_is_told_what_is_wrong(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    file = plant.folder / "gateway.toml"
    keep(read_config(file))
    write_window(plant, "0")
    assert tidegate.main(["gateway", "run", "--config", str(file)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "window_s must be in 0.1..3600, got 0" in line


@pytest.mark.soak
def test_kills_while_configurations_come_leave_one_that_was_in_force_and_each_frame_once(
    plant: Plant, eventually: Eventually
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    good = ["0.3"]
    for _ in range(5):
        process: subprocess.Popen[bytes] = plant.start("--keep-running", "--state", str(plant.state))
        before = len(plant.cloud.frames)
        eventually(lambda before=before: len(plant.cloud.frames) > before, timeout_s=30)
        for window_s in (f"0.{chance.randrange(3, 9)}", chance.choice(["0", "-1", ""])):
            write_window(plant, window_s)
            if float(window_s or 0) > 0:
                good.append(window_s)
            process.send_signal(signal.SIGHUP)
            time.sleep(chance.uniform(0, 0.4))
        process.kill()
        finish(process)
        assert kept_window(plant) in [float(window_s) for window_s in good]
    process = plant.start("--keep-running", "--state", str(plant.state))
    eventually(lambda: bool(refused(plant)), timeout_s=30)
    eventually(lambda: len(plant.cloud.frame_numbers("belt")) >= FRAMES, timeout_s=30)
    assert plant.cloud.frame_numbers("belt") == list(range(FRAMES))
