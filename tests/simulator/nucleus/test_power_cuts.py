"""The power goes at any moment of a deployment: nothing runs on, nothing is half there, and the deployment ends."""

import random
import time
from pathlib import Path

import pytest

from simulator.nucleus.component import State
from simulator.nucleus.device_state import DeviceState
from simulator.nucleus.personality import PERSONALITIES, Personality
from tests.simulator.nucleus.desk import Desk, Report, zipped
from tests.simulator.nucleus.recipes import recipe
from tests.simulator.nucleus.waiting import eventually


def living_in(root: Path) -> list[str]:
    """Processes whose working folder is the device's."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(root):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue  # it has ended
    return found


@pytest.mark.parametrize("nucleus", PERSONALITIES.values(), ids=PERSONALITIES)
@pytest.mark.parametrize("rounds", [2, pytest.param(25, marks=pytest.mark.soak)])
def test_power_cuts_at_any_moment_leave_a_device_that_finishes(
    desk: Desk, unique: str, nucleus: Personality, rounds: int
) -> None:
    chance = random.Random(1)
    device = desk.device(unique, unique, nucleus=nucleus)
    base, top = f"{unique}.Base", f"{unique}.Top"
    for number in range(1, rounds + 1):
        version = f"{number}.0.0"
        code = desk.upload(f"{unique}/{number}/code.zip", zipped({"word": version, "ballast": "x" * 300_000}))
        run = 'read word < "{artifacts:decompressedPath}/code/word"; echo "$word" > word; sleep 1000 & exec sleep 1001'
        install = {"Script": "sleep 0.1; echo done > installed"}
        document = recipe(top, "exec sleep 1000", version=version, install={"Script": "sleep 0.1"})
        document["ComponentDependencies"] = {base: {"VersionRequirement": version, "DependencyType": "HARD"}}
        artifact = {**code, "Unarchive": "ZIP"}
        desk.register(recipe(base, run, version=version, install=install, Artifacts=[artifact]), document)
        deployment = desk.deploy(unique, {top: version})
        for _ in range(chance.randint(1, 3)):
            time.sleep(chance.random())
            device.power_cut()
            eventually(lambda: living_in(device.root) == [], what="nothing runs on")
            DeviceState.load(device.root / "config" / "state.json")  # the old one or the new one
            device.start()
        assert desk.report(unique, deployment) == Report("SUCCEEDED", "SUCCESSFUL", "")
        eventually(lambda: {device.state(name) for name in (base, top)} == {State.RUNNING})
        assert {device.version(name) for name in (base, top)} == {version}
        assert (device.root / "work" / base / "word").read_text() == f"{version}\n"
    device.close()
    eventually(lambda: living_in(device.root) == [], what="nothing runs on")
