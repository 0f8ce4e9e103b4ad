"""Health tells what happened in a window, release by release."""

import string
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.cameras.camera import Tally
from edge.config import DEFAULT_LIMIT_BYTES, MAX_CAMERAS
from edge.figures import CameraState
from edge.loading import LoadedModel
from edge.vitals import Standing, Vitals
from models.batch import batch_of
from models.detections import Detections
from models.errors import ModelError
from models.health import CameraHealth, Challenge, Health
from models.manifest import Manifest, read_manifest
from models.runner import Runner, open_runner
from models.topics import results_topic
from models.wire import encode_batch


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
        vitals.answered(*answer(loaded, float(ms), (0.05, 0.95, 1.0), label=ms % 2), camera="door")
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
    vitals.answered(*answer(loaded), camera="door")
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
    tally, other = vitals.add_camera("door"), vitals.add_camera("yard")
    for model, ms, frames in ((loaded, 10, 10), (newer, 20, 19)):
        for _ in range(frames):
            tally.seen += 1
            vitals.answered(*answer(model, ms), camera="door")
        tally.seen += 1
        vitals.failed(model, ModelError(f"{model.label} fails"), camera="door")
        other.seen, other.skipped = other.seen + 2, other.skipped + 1
        other.still += model is loaded
        tally.missed += model is newer
        vitals.error(f"something, with {model.label}")
        clock.now += 45 if model is loaded else 15
        tally.seen += model is loaded  # which the newer one answers
    first, second = vitals.cut(newer, Standing(), at_us=1)
    assert (first.release, first.window_s, first.frames_inferred, first.p50_ms) == (1, 45, 10, 10)
    assert first.cameras == (
        CameraHealth("door", "waiting", seen=13, inferred=10, failed=1),
        CameraHealth("yard", "waiting", seen=2, skipped=1, still=1),
    )
    assert (first.frames_seen, first.frames_skipped, first.frames_still, first.frames_failed) == (15, 1, 1, 1)
    assert (first.errors, first.last_error) == (2, "something, with colour@1")
    assert (second.release, second.window_s, second.frames_inferred, second.p50_ms) == (2, 15, 19, 20)
    assert second.cameras == (
        CameraHealth("door", "waiting", seen=19, inferred=19, missed=1, failed=1),
        CameraHealth("yard", "waiting", seen=2, skipped=1),
    )
    assert (second.frames_seen, second.frames_missed, second.frames_failed) == (21, 1, 1)
    assert (second.errors, second.last_error) == (2, "something, with colour@2")


def test_without_a_model_or_a_frame_there_is_still_a_report(vitals: Vitals, clock: Clock) -> None:
    vitals.add_camera("door")
    clock.now += 60
    (health,) = vitals.cut(None, Standing(), at_us=1)
    assert (health.model, health.release, health.digest, health.frames_seen) == ("colour", 0, "", 0)
    assert health.camera_state == health.cameras[0].state == "waiting", "nothing is wrong with the camera"


def test_the_worst_camera_is_reported(vitals: Vitals) -> None:
    states: tuple[tuple[str, CameraState], ...] = (
        ("a", "ended"),
        ("b", "ok"),
        ("c", "waiting"),
        ("d", "dark"),
        ("e", "frozen"),
        ("f", "stalled"),
        ("g", "down"),
    )
    for name, state in states:
        vitals.add_camera(name)
        vitals.camera_is(name, state)
        assert vitals.camera_state == state


def test_odd_scores_break_nothing(vitals: Vitals, loaded: LoadedModel) -> None:
    vitals.answered(*answer(loaded, 1, (float("nan"), -1.0, 7.0)), camera="door")
    (health,) = vitals.cut(loaded, Standing(), at_us=1)
    assert sum(health.score_histogram) == 3


def test_each_camera_has_an_account_of_its_own(vitals: Vitals, loaded: LoadedModel) -> None:
    door, yard = vitals.add_camera("door"), vitals.add_camera("yard")
    vitals.camera_is("door", "ok")
    vitals.withheld("yard", 2)
    for _ in range(3):
        door.seen += 1
        vitals.answered(*answer(loaded), camera="door")
    yard.seen, yard.still, yard.missed = 9, 9, 2
    (health,) = vitals.cut(loaded, Standing(), at_us=1)
    assert health.cameras == (
        CameraHealth("door", "ok", seen=3, inferred=3),
        CameraHealth("yard", "waiting", seen=9, missed=2, still=9, pictures_withheld=2),
    )
    assert (health.frames_seen, health.frames_inferred, health.frames_still, health.frames_missed) == (12, 3, 9, 2)
    yard.skipped = 1
    (health,) = vitals.cut(loaded, Standing(), at_us=2)
    assert health.cameras == (CameraHealth("door", "ok"), CameraHealth("yard", "waiting", skipped=1))


def test_bytes_are_told_by_window_and_counts_since_the_start(vitals: Vitals, loaded: LoadedModel) -> None:
    told = []
    for sent in (1000, 1500, 1500):
        (health,) = vitals.cut(loaded, Standing(bytes_sent=sent, records_held=7, messages_ignored=2), at_us=1)
        told.append((health.bytes_sent, health.records_held, health.messages_ignored))
    assert told == [(1000, 7, 2), (500, 7, 2), (0, 7, 2)]


def test_processor_time_is_divided_among_releases(vitals: Vitals, loaded: LoadedModel, clock: Clock) -> None:
    newer = loaded_as(loaded.manifest, loaded.runner, 2)
    before = time.process_time()
    vitals.cut(loaded, Standing(), at_us=1)
    vitals.answered(*answer(loaded), camera="door")
    burn(0.03)
    vitals.answered(*answer(newer), camera="door")
    burn(0.06)
    first, second = vitals.cut(newer, Standing(), at_us=2)
    assert first.cpu_s >= 0.03
    assert second.cpu_s >= 0.06
    assert first.cpu_s + second.cpu_s <= time.process_time() - before


@pytest.mark.parametrize(
    ("looks", "jumps"),
    [
        ([(1000.0, 5.0), (1060.0, 65.0), (1120.0, 125.0)], 0),
        ([(1000.0, 5.0), (1060.02, 65.0)], 0),  # NTP slews
        ([(1000.0, 5.0), (-85_340.0, 65.0), (-85_280.0, 125.0)], 1),  # back by a day
        ([(0.0, 5.0), (31_536_000.0, 6.0)], 1),  # a Pi without a clock learns the time
    ],
)
def test_jumps_of_the_clock_are_counted(
    vitals: Vitals, loaded: LoadedModel, looks: list[tuple[float, float]], jumps: int
) -> None:
    for wall_s, steady_s in looks:
        vitals.clocks(wall_s, steady_s)
    (health,) = vitals.cut(loaded, Standing(), at_us=1)
    assert health.clock_jumps == jumps


def test_the_overview_counts_on_over_windows(vitals: Vitals, loaded: LoadedModel, clock: Clock) -> None:
    newer = loaded_as(loaded.manifest, loaded.runner, 2)
    tally = vitals.add_camera("door")
    for model, frames in ((loaded, 10), (newer, 20), (newer, 5)):
        vitals.camera_is("door", "ok")
        for _ in range(frames):
            tally.seen += 1
            vitals.answered(*answer(model, 2.0, (0.05, 0.95)), camera="door")
        vitals.error("the disk is full")
        clock.now += 60
        if frames != 5:
            vitals.cut(model, Standing(), at_us=1)
    overview = vitals.overview(newer, Standing(bytes_sent=123, swaps=1), at_us=7)
    total = overview.total
    assert (total.at_us, total.window_s, total.release, total.digest) == (7, 180, 2, newer.digest)
    assert (total.frames_seen, total.frames_inferred, total.errors, total.detections) == (35, 35, 3, 70)
    assert (total.score_histogram[0], total.score_histogram[9]) == (35, 35)
    assert total.class_mix == {"blue": 70}
    assert (total.bytes_sent, total.swaps, total.last_error) == (123, 1, "the disk is full")
    assert total.cameras == (CameraHealth("door", "ok", seen=35, inferred=35),)
    assert overview.inference_s == pytest.approx(0.07)
    (window,) = overview.window
    assert (window.release, window.frames_inferred) == (2, 20)
    (health,) = vitals.cut(newer, Standing(), at_us=8)
    assert health.frames_inferred == 5, "to be asked ends no window"


def test_before_the_first_window_there_is_an_overview_too(vitals: Vitals) -> None:
    overview = vitals.overview(None, Standing(), at_us=1)
    assert (overview.window, overview.total.model, overview.total.digest) == ((), "colour", "")


def test_the_longest_message_fits_the_smallest_uplink(clock: Clock, loaded: LoadedModel) -> None:
    random = Random(0)

    def words(count: int) -> str:
        return "".join(random.choices(string.ascii_letters + string.digits, k=count))

    vitals = Vitals("colour", clock=clock)
    names = [words(64) for _ in range(MAX_CAMERAS)]
    for name in names:
        tally = vitals.add_camera(name)
        vitals.withheld(name, random.randrange(1 << 16))
        tally.seen = tally.skipped = tally.missed = tally.still = random.randrange(1 << 24)
    labels = tuple(words(24) for _ in range(80))
    model = replace(loaded, manifest=replace(loaded.manifest, labels=labels))
    for label in range(80):
        scores = tuple(random.random() for _ in range(9))
        vitals.answered(*answer(model, random.random(), scores, label=label), camera=random.choice(names))
    vitals.error(words(500))
    vitals.configuration_refused = words(500)
    bins = tuple(random.randrange(1 << 20) for _ in range(10))
    challenge = Challenge("colour", 4, f"{random.getrandbits(256):064x}", 1000, 900, 800, 700, 600, 0.9, bins, bins)
    standing = Standing(10**6, 10**9, 12345.678, 10**5, 10**5, 10**4, 10**3, 10**10, 10**4, 9, words(500), challenge)
    (health,) = vitals.cut(model, standing, at_us=1_700_000_000_123_456)
    message = encode_batch(batch_of("0123456789abcdef", 2**40, [health]))
    assert len(message) + len(results_topic("g" * 64)) <= DEFAULT_LIMIT_BYTES["ipc"]


FATES = st.sampled_from(["seen", "inferred", "skipped", "missed", "still", "failed"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(FATES, st.integers(0, 1), st.integers(0, 2), st.sampled_from(["", "cut", "error"]))))
def test_every_frame_seen_is_accounted_for_once(loaded: LoadedModel, steps: list[tuple[str, int, int, str]]) -> None:
    """Whatever cameras and releases take part, and wherever windows end: what the messages tell adds up, to what the
    overview tells, camera by camera."""
    vitals = Vitals("colour")
    models = [loaded_as(loaded.manifest, loaded.runner, release) for release in range(3)]
    tallies = [vitals.add_camera(name) for name in "ab"]
    told: list[Health] = []
    for fate, camera, release, then in steps:
        name, tally = "ab"[camera], tallies[camera]
        tally.seen += fate != "missed"
        if fate == "inferred":
            vitals.answered(*answer(models[release]), camera=name)
        elif fate == "failed":
            vitals.failed(models[release], ModelError("oh"), camera=name)
        elif fate != "seen":  # those are still under way
            setattr(tally, fate, getattr(tally, fate) + 1)
        if then == "cut":
            told += vitals.cut(models[release], Standing(), at_us=1)
        if then == "error":
            vitals.error("ah")
    total = vitals.overview(None, Standing(), at_us=3).total
    told += vitals.cut(None, Standing(), at_us=2)
    assert sum(health.errors for health in told) == total.errors
    for name in ("seen", "inferred", "skipped", "missed", "still", "failed"):
        in_all = sum(getattr(health, f"frames_{name}") for health in told)
        by_camera = [sum(getattr(health.cameras[index], name) for health in told) for index in range(2)]
        assert in_all == getattr(total, f"frames_{name}") == sum(by_camera)
        assert by_camera == [getattr(camera, name) for camera in total.cameras]
    for index, camera_total in enumerate(total.cameras):
        its = camera_total
        under_way = sum(fate == "seen" and camera == index for fate, camera, _, _ in steps)
        assert its.seen == its.inferred + its.skipped + its.still + its.failed + under_way
    for health in told:
        of_release = [step for step in steps if step[0] in ("inferred", "failed") and step[2] == health.release]
        assert health.frames_inferred + health.frames_failed <= len(of_release)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["comes", "seen", "inferred", "leaves", "cut"]))))
def test_cameras_that_come_and_go_lose_no_count(loaded: LoadedModel, steps: list[tuple[int, str]]) -> None:
    vitals = Vitals("colour")
    tallies: dict[str, Tally] = {}
    told: list[Health] = []
    seen = inferred = 0
    for camera, what in steps:
        name = "ab"[camera]
        if what == "comes" and name not in tallies:
            tallies[name] = vitals.add_camera(name)
        elif what == "cut":
            told += vitals.cut(loaded, Standing(), at_us=1)
            assert {camera.name for camera in vitals.overview(None, Standing(), at_us=1).total.cameras} == set(tallies)
        elif name in tallies and what == "leaves":
            del tallies[name]
            vitals.remove_camera(name)
        elif name in tallies and what in ("seen", "inferred"):
            tallies[name].seen += 1
            seen += 1
            if what == "inferred":
                vitals.answered(*answer(loaded), camera=name)
                inferred += 1
    total = vitals.overview(None, Standing(), at_us=3).total
    told += vitals.cut(loaded, Standing(), at_us=2)
    assert sum(health.frames_seen for health in told) == total.frames_seen == seen
    assert sum(health.frames_inferred for health in told) == total.frames_inferred == inferred


def burn(cpu_s: float) -> None:
    ends = time.process_time() + cpu_s
    while time.process_time() < ends:
        pass
