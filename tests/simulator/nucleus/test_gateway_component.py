"""The real gateway component, deployed to a simulated device of either nucleus: its configuration changes."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from greengrass.component import gateway_files, zip_bytes
from greengrass.configuration import whole_configuration
from greengrass.recipe import GATEWAY, gateway_recipe
from models.health import Health
from models.mqtt import Broker
from simulator.broker import INGEST
from simulator.nucleus.nucleus import Nucleus
from simulator.nucleus.personality import PERSONALITIES, Personality
from simulator.small_cloud import SmallCloud
from tests.edge.answering import answering
from tests.simulator.nucleus.desk import BUCKET, Desk
from tests.simulator.nucleus.waiting import eventually

BOTH = pytest.mark.parametrize("nucleus", PERSONALITIES.values(), ids=PERSONALITIES)


@pytest.fixture
def cloud(thing: Callable[[str], Broker], unique: str) -> Iterator[SmallCloud]:
    with answering(thing(INGEST), unique) as cloud:
        yield cloud


def film(path: Path, frames: int) -> str:
    """What the colour model tells apart: frame n is blue, green or red as n % 3 is 0, 1 or 2."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for number in range(frames):
        writer.write(np.full((48, 64, 3), np.eye(3)[number % 3] * 200, np.uint8))
    writer.release()
    return str(path)


class Gateway:
    """A device with the gateway component on it."""

    def __init__(self, desk: Desk, nucleus: Personality, name: str, configuration: Mapping[str, Any]) -> None:
        self._desk, self._name = desk, name
        self._version = f"1.0.0-{name}"
        artifact = f"{name}/tidegate.zip"
        desk.upload(artifact, zip_bytes(gateway_files()))
        whole = whole_configuration(configuration, where="gateway.toml")
        uri = f"s3://{BUCKET}/{artifact}"
        desk.register(gateway_recipe(self._version, configuration=whole, python=sys.executable, artifact_uri=uri))
        self.device: Nucleus = desk.device(name, name, nucleus=nucleus)
        self.configure({})

    def configure(self, change: Mapping[str, Any]) -> None:
        """Deploy it with this merged into its configuration; whatever the gateway thinks of it, that succeeds."""
        deployment = self._desk.deploy(self._name, {GATEWAY: self._version}, Gateway={"merge": {"gateway": change}})
        assert self._desk.report(self._name, deployment).detail == "SUCCESSFUL"

    @property
    def pid(self) -> int | None:
        return self.device.pid(GATEWAY)

    @property
    def kept(self) -> dict[str, Any]:
        path = self.device.root / "work" / GATEWAY / "state" / "configuration.json"
        return json.loads(path.read_text()) if path.exists() else {}


@BOTH
def test_a_deployed_configuration_is_followed_and_a_bad_one_is_refused_for_good(
    desk: Desk, cloud: SmallCloud, nucleus: Personality, unique: str, colour_run: Path, tmp_path: Path
) -> None:
    belt = {"name": "belt", "uri": film(tmp_path / "belt.avi", 3000), "fps": 50}
    door = {"name": "door", "uri": film(tmp_path / "door.avi", 30)}
    gateway = Gateway(
        desk,
        nucleus,
        unique,
        {
            "model": "colour",
            "package": str(colour_run),
            "allow_unsigned": True,
            "window_s": 0.5,
            "ack_timeout_s": 2,
            "cameras": [belt],
        },
    )

    def last() -> Health:
        return cloud.reports()[-1]

    eventually(lambda: len(cloud.frames) > 10, what="frames")
    first = gateway.pid
    gateway.configure({"cameras": [belt, door], "window_s": 0.4})
    eventually(lambda: cloud.frame_numbers("door") == list(range(30)), what="the new camera's frames")
    eventually(lambda: gateway.kept.get("window_s") == 0.4, what="it is kept")
    assert (gateway.pid == first) is (nucleus.name == "java"), "lite starts it anew"

    gateway.configure({"window_s": -1})
    why = "component configuration, gateway: window_s must be in 0.1..3600, got -1"
    eventually(lambda: last().configuration_refused == why, what="health says why")
    seen = len(cloud.frame_numbers("belt"))
    if nucleus.name == "java":  # lite has just started it with the bad one
        gateway.device.kill(GATEWAY)
    eventually(lambda: len(cloud.frame_numbers("belt")) > seen + 30, what="it goes on")
    assert last().configuration_refused == why
    assert gateway.kept["window_s"] == 0.4

    gateway.configure({"window_s": 0.3})
    eventually(lambda: gateway.kept["window_s"] == 0.3, what="the next one is kept")
    eventually(lambda: last().configuration_refused == "", what="and in force")
    numbers = cloud.frame_numbers("belt")
    assert numbers == list(range(len(numbers))), "each frame once, over all changes, restarts and a kill"
