"""Frames go through the pipeline in order, whatever their inferences take and whichever of them fail."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edge.active_model import ActiveModel
from edge.loading import LoadedModel
from edge.model_store import ModelStore
from edge.pipeline import Pipeline
from models.detections import Detections, UInt8
from models.errors import ModelError
from models.frame import Frame
from tests.edge.odd_models import WHITE, moody_graph, run_of, slow_copy

LABELS = ("blue", "green", "red")
FRAMES = 40


@dataclass
class Seen:
    """Takes what the pipeline hands on; holds it up while `gate` is not set."""

    answers: list[tuple[int, str]] = field(default_factory=list)
    models: list[LoadedModel] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)

    def answered(self, frame: Frame, model: LoadedModel, found: Detections, ms: float) -> None:
        assert self.gate.wait(20)
        self.answers.append((frame.number, model.manifest.labels[int(found.class_ids[0])]))
        self.models.append(model)

    def failed(self, frame: Frame, model: LoadedModel, why: ModelError) -> None:
        self.failures.append(frame.number)


@pytest.fixture
def seen() -> Seen:
    found = Seen()
    found.gate.set()
    return found


@pytest.fixture
def active(colour_run: Path, tmp_path: Path) -> ActiveModel:
    active = ActiveModel(ModelStore(tmp_path / "models", model="colour", trust=tmp_path), keep_s=60)
    active.offer_unsigned(colour_run)
    return active


@pytest.fixture(params=[1, 2, 3])
def pipeline(active: ActiveModel, request: pytest.FixtureRequest) -> Iterator[Pipeline]:
    pipeline = Pipeline(active, workers=request.param)
    threads = [threading.Thread(target=pipeline.work) for _ in range(request.param)]
    threads.append(threading.Thread(target=pipeline.finish))
    for thread in threads:
        thread.start()
    yield pipeline
    pipeline.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def frame(number: int, image: UInt8 | None = None) -> Frame:
    colour = np.full((48, 64, 3), np.eye(3)[number % 3] * 200, np.uint8)
    return Frame(colour if image is None else image, number, number * 1000, number * 1000)


def test_frames_keep_their_order_and_their_model_while_slow_and_fast_models_take_turns(
    pipeline: Pipeline, active: ActiveModel, colour_run: Path, tmp_path: Path, seen: Seen
) -> None:
    slow = run_of(colour_run, tmp_path / "slow", slow_copy)
    lane = pipeline.lane(seen)
    expected = []
    for number in range(FRAMES):
        if number % 8 == 0:
            active.offer_unsigned(slow if number % 16 else colour_run)
        assert active.current is not None
        expected.append(active.current)
        assert lane.submit(frame(number))
    assert lane.drain()
    assert seen.answers == [(number, LABELS[number % 3]) for number in range(FRAMES)]
    assert seen.models == expected


def test_a_frame_on_which_the_model_fails_is_answered_by_the_one_before(
    pipeline: Pipeline, active: ActiveModel, colour_run: Path, tmp_path: Path, seen: Seen
) -> None:
    before = active.current
    active.offer_unsigned(run_of(colour_run, tmp_path / "moody", moody_graph))
    lane = pipeline.lane(seen)
    for number in range(FRAMES):
        assert lane.submit(frame(number, WHITE if number == 9 else None))
    assert lane.drain()
    assert [number for number, _ in seen.answers] == list(range(FRAMES))
    assert seen.models[9] is before
    assert seen.models[-1] is before
    assert seen.models[0] is not before
    assert seen.failures == []


def test_a_frame_that_no_model_can_look_at_is_said_and_the_others_go_on(
    pipeline: Pipeline, active: ActiveModel, colour_run: Path, tmp_path: Path, seen: Seen
) -> None:
    alone = ActiveModel(ModelStore(tmp_path / "others", model="colour", trust=tmp_path), keep_s=60)
    alone.offer_unsigned(run_of(colour_run, tmp_path / "moody", moody_graph))
    lonely = Pipeline(alone)
    threads = [threading.Thread(target=work) for work in (lonely.work, lonely.finish)]
    for thread in threads:
        thread.start()
    lane = lonely.lane(seen)
    for number in range(FRAMES):
        assert lane.submit(frame(number, WHITE if number in (0, 9) else None))
    assert lane.drain()
    lonely.close()
    for thread in threads:
        thread.join(20)
    assert seen.failures == [0, 9]
    assert [number for number, _ in seen.answers] == [number for number in range(FRAMES) if number not in (0, 9)]


def test_several_cameras_share_the_model_and_each_keeps_its_order(pipeline: Pipeline) -> None:
    cameras = [Seen() for _ in range(3)]
    lanes = [pipeline.lane(camera) for camera in cameras]
    for camera in cameras:
        camera.gate.set()
    for number in range(FRAMES):
        for lane in lanes:
            assert lane.submit(frame(number))
    for lane, camera in zip(lanes, cameras, strict=True):
        assert lane.drain()
        assert camera.answers == [(number, LABELS[number % 3]) for number in range(FRAMES)]


def test_a_camera_gets_no_more_frames_under_way_than_the_ring_holds_and_close_lets_it_go(pipeline: Pipeline) -> None:
    held = Seen()
    lane = pipeline.lane(held)
    submitted: list[int] = []

    def submit() -> None:
        number = 0
        while lane.submit(frame(number)):
            submitted.append(number)
            number += 1

    camera = threading.Thread(target=submit)
    camera.start()
    camera.join(0.3)
    assert camera.is_alive(), "it waits: nothing is finished"
    assert len(submitted) <= 5, "less than a camera keeps pictures for"
    lane.close()
    held.gate.set()
    camera.join(20)
    assert not camera.is_alive()


def test_after_close_nothing_more_is_inferred_and_what_was_offered_is_finished_or_counted(
    active: ActiveModel, seen: Seen
) -> None:
    pipeline = Pipeline(active)
    lane = pipeline.lane(seen)
    camera = threading.Thread(target=lambda: [lane.submit(frame(number)) for number in range(5)])
    camera.start()  # and waits for a buffer, since nobody infers
    lane.close()
    camera.join(20)
    assert not camera.is_alive()
    pipeline.close()
    pipeline.work()
    pipeline.finish()
    assert seen.answers == []
    assert lane.unfinished == 5
    assert not lane.submit(frame(5))


def test_what_is_finished_is_not_counted_as_unfinished(pipeline: Pipeline, seen: Seen) -> None:
    lane = pipeline.lane(seen)
    for number in range(FRAMES):
        assert lane.submit(frame(number))
    assert lane.drain()
    assert lane.unfinished == 0
