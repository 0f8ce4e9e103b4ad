"""A snapshot that a gateway takes of an event is in the object store, whole, and its event finds it."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.analytics.config import AnalyticsConfig, LineConfig
from edge.analytics.snapshots import Snapshots
from models.detections import Detections, UInt8
from models.records import Event, PicturePart
from tests.flows.world import World

RULES = AnalyticsConfig(lines=(LineConfig("exit", (0.5, 0.0), (0.5, 1.0), picture="snapshot"),))
FOUND = Detections.of([[200, 100, 300, 250]], [0.9], [0])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, fps=1)
    yield world
    world.close()


def scene(number: int) -> UInt8:
    """Noise, which JPEG cannot make small, so that a picture takes many messages of 5,000 B."""
    noise = np.random.default_rng(number).integers(0, 255, (60, 80, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC), np.uint8)


def snapshots(world: World, count: int) -> dict[str, bytes]:
    """Something crosses the line so often; what was recorded of it, by picture."""
    taken: dict[str, bytes] = {}
    for number in range(count):
        camera = Snapshots(RULES, camera="belt")
        event = Event("belt", number, int(world.now * 1e6), "line", "exit", xyxy=(200.0, 100.0, 300.0, 250.0))
        told = camera.illustrate(scene(number), (event,), FOUND, ("bottle",), frame=number)
        parts = [record for record in told if isinstance(record, PicturePart)]
        world.spool.append(*told)
        assert len(parts) > 10
        taken[parts[0].picture] = b"".join(part.data for part in parts)
    return taken


def in_store(world: World) -> dict[str, bytes]:
    rows = world.lake().query("SELECT picture, uri FROM pictures JOIN events USING (picture)").to_pylist()
    return {row["picture"]: Path(row["uri"].removeprefix("file://")).read_bytes() for row in rows}


def test_pictures_arrive_whole_through_a_link_that_loses_a_third(world: World) -> None:
    for post in (world.up, world.back):
        post.knobs.loss, post.knobs.delay_s, post.knobs.overtaken = 0.3, 2.0, 0.2
    taken = snapshots(world, 3)
    world.run(120)
    world.drain(at_most_s=7_200)

    assert in_store(world) == taken
    for jpeg in taken.values():
        shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        assert shown.shape == (480, 640, 3)
    assert not list((world.lake_folder / "objects").rglob("waiting/*/*/*/*"))


def test_a_gateway_that_starts_again_in_the_middle_of_a_picture_sends_the_rest(world: World) -> None:
    taken = snapshots(world, 2)
    world.spool.flush()
    world.shipper.tide()
    world.run(2, recording=False)
    assert list((world.lake_folder / "objects").rglob("waiting/*/*/*/*"))
    assert in_store(world) != taken
    world.restart()
    world.drain(at_most_s=3_600)

    assert in_store(world) == taken
