"""Health tells what happened in a window, release by release."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.loading import LoadedModel
from edge.vitals import CameraState, Standing, Vitals
from models.detections import Detections
from models.manifest import Manifest, read_manifest
from models.runner import Runner, open_runner


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vitals(clock: Clock) -> Vitals:
    return Vitals("colour", clock=clock)


@pytest.fixture
def loaded(colour_run: Path) -> LoadedModel:
    manifest = read_manifest(colour_run)
    return loaded_as(manifest, open_runner(colour_run, manifest), 1)


def loaded_as(manifest: Manifest, runner: Runner, release: int) -> LoadedModel:
    return LoadedModel(replace(manifest, release=release), runner, "fp32", f"{release:064x}")


def answer(
    model: LoadedModel, ms: float = 10.0, scores: tuple[float, ...] = (0.95,), label: int = 0
) -> tuple[LoadedModel, Detections, float]:
    boxes = np.zeros((len(scores), 4))
    return model, Detections.of(boxes, scores, [label] * len(scores)), ms


def test_a_window_counts_what_was_seen_and_answered(vitals: Vitals, loaded: LoadedModel, clock: Clock) -> None:
    tally = vitals.add_camera("door")
    vitals.camera_is("door", "ok")
    for ms in range(1, 101):
        tally.seen += 1
        vitals.answered(*answer(loaded, float(ms), (0.05, 0.95, 1.0), label=ms % 2))
    tally.seen += 7
    tally.skipped += 5
    tally.missed += 3
    clock.now += 60
    standing = Standing(spool_records=9, spool_bytes=900, swaps=2, failed_release="colour@3: wrong")
    (health,) = vitals.cut(loaded, standing, at_us=42)
    assert (health.at_us, health.window_s) == (42, 60)
    assert (health.model, health.release, health.digest, health.variant) == ("colour", 1, loaded.digest, "fp32")
    assert (health.frames_seen, health.frames_inferred, health.frames_skipped, health.frames_missed) == (107, 100, 5, 3)
    assert health.p50_ms == pytest.approx(50.5)
    assert health.p95_ms == pytest.approx(95, abs=0.5)
    assert health.score_histogram == (100, 0, 0, 0, 0, 0, 0, 0, 0, 200)
    assert health.class_mix == {"blue": 150, "green": 150}
    assert health.detections == 300
    assert (health.spool_records, health.spool_bytes, health.swaps) == (9, 900, 2)
    assert health.failed_release == "colour@3: wrong"
    assert health.memory_bytes > 10 << 20
    assert health.camera_state == "ok"


def test_a_window_starts_from_nothing(vitals: Vitals, loaded: LoadedModel, clock: Clock) -> None:
    tally = vitals.add_camera("door")
    tally.seen += 1
    vitals.answered(*answer(loaded))
    vitals.error("the disk is full")
    clock.now += 60
    vitals.cut(loaded, Standing(), at_us=1)
    clock.now += 60
    (health,) = vitals.cut(loaded, Standing(), at_us=2)
    assert (health.frames_seen, health.frames_inferred, health.errors, health.last_error) == (0, 0, 0, "")
    assert (health.p50_ms, health.detections, health.class_mix) == (0.0, 0, {})


def test_two_releases_in_a_window_are_reported_each_for_its_time(
    vitals: Vitals, loaded: LoadedModel, clock: Clock
) -> None:
    newer = loaded_as(loaded.manifest, loaded.runner, 2)
    tally = vitals.add_camera("door")
    tally.seen += 30
    for _ in range(10):
        vitals.answered(*answer(loaded, 10))
    clock.now += 45
    for _ in range(20):
        vitals.answered(*answer(newer, 20))
    vitals.error("something")
    clock.now += 15
    first, second = vitals.cut(newer, Standing(), at_us=1)
    assert (first.release, first.window_s, first.frames_seen, first.frames_inferred, first.p50_ms) == (
        1,
        45,
        10,
        10,
        10,
    )
    assert (second.release, second.window_s, second.frames_seen, second.frames_inferred) == (2, 15, 20, 20)
    assert (first.errors, second.errors, second.last_error) == (0, 1, "something")


def test_without_a_model_or_a_frame_there_is_still_a_report(vitals: Vitals, clock: Clock) -> None:
    vitals.add_camera("door")
    clock.now += 60
    (health,) = vitals.cut(None, Standing(), at_us=1)
    assert (health.model, health.release, health.digest, health.frames_seen) == ("colour", 0, "", 0)
    assert health.camera_state == "down", "nothing seen is not could-not-look"


def test_the_worst_camera_is_reported(vitals: Vitals) -> None:
    states: tuple[tuple[str, CameraState], ...] = (("a", "ended"), ("b", "ok"), ("c", "stalled"), ("d", "down"))
    for name, state in states:
        vitals.add_camera(name)
        vitals.camera_is(name, state)
        assert vitals.camera_state == state


def test_odd_scores_break_nothing(vitals: Vitals, loaded: LoadedModel) -> None:
    vitals.answered(*answer(loaded, 1, (float("nan"), -1.0, 7.0)))
    (health,) = vitals.cut(loaded, Standing(), at_us=1)
    assert sum(health.score_histogram) == 3
