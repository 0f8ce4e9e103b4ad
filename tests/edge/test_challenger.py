"""A second model in shadow: what it costs is bounded, and what it says is compared and goes nowhere else."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.active_model import ActiveModel
from edge.analytics.analytics import Moment
from edge.candidates import Candidates
from edge.challenger import Challenger
from edge.model_store import ModelStore
from models.both_answers import answers_in
from models.detections import Detections, UInt8
from models.health import Challenge
from models.manifest import read_manifest, write_manifest
from models.records import PicturePart
from tests.edge.odd_models import BLUE, WHITE, moody_graph, run_of

GREEN = np.full((48, 64, 3), (0, 200, 0), np.uint8)


class Clock:
    """Stands still unless it is turned."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Shadow:
    """A challenger at work."""

    def __init__(self, run: Path, folder: Path, eventually: Callable[..., None]) -> None:
        self.active = ActiveModel(ModelStore(folder / "models", model="hue", trust=folder), keep_s=0)
        self.active.offer_unsigned(run)
        self.clock = Clock()
        self._eventually = eventually
        candidates = Candidates(48, blur={"yard": ("green",), "gate": ("face",)}, part_bytes=500, clock=self.clock)
        self.challenger = Challenger(self.active, cpu_share=0.1, candidates=candidates, clock=self.clock)
        self.thread = threading.Thread(target=self.challenger.run)
        self.thread.start()
        self._number = 0

    def show(self, image: UInt8, *labels: str, after_s: float = 100.0, camera: str = "door", **further: Any) -> None:
        """A picture in which the running model saw `labels`, and wait for the challenger."""
        self._number += 1
        self.clock.now += after_s
        height, width = image.shape[:2]
        found = Detections.of([(0, 0, width, height)] * len(labels), [0.9] * len(labels), range(len(labels)))
        moment = Moment(self._number, self._number * 1000, 0.0, (width, height), "colour", 1, whole=True)
        self.challenger.consider(moment, image, found, labels, camera=camera, **further)
        self._eventually(lambda: self.challenger.idle)

    def report(self) -> Challenge:
        report = self.challenger.report()
        assert report is not None
        return report

    def close(self) -> None:
        self.challenger.close()
        self.thread.join()


@pytest.fixture
def make_shadow(colour_run: Path, tmp_path: Path, eventually: Callable[..., None]) -> Iterator[Callable[..., Shadow]]:
    shadows: list[Shadow] = []

    def make(make_graph: Callable[[Path, Path], object] = shutil.copy) -> Shadow:
        run = run_of(colour_run, tmp_path / "hue-run", make_graph)
        write_manifest(run, replace(read_manifest(run), name="hue"))
        shadows.append(Shadow(run, tmp_path, eventually))
        return shadows[-1]

    yield make
    for shadow in shadows:
        shadow.close()


def test_what_both_saw_is_compared_and_reported_by_window(make_shadow: Callable[..., Shadow]) -> None:
    shadow = make_shadow()
    for image, label in ((BLUE, "blue"), (GREEN, "blue"), (BLUE, "blue"), (GREEN, "green")):
        shadow.show(image, label)
    report = shadow.report()
    assert (report.model, report.frames, report.agreed, report.matched) == ("hue", 4, 3, 3)
    assert (report.ours, report.theirs, sum(report.our_scores), sum(report.their_scores)) == (4, 4, 4, 4)
    assert report.mean_iou == pytest.approx(1.0)
    assert report.p50_ms > 0
    after = shadow.report()
    assert (after.model, after.frames) == ("hue", 0)


def test_the_frame_on_which_they_differ_most_becomes_a_picture(make_shadow: Callable[..., Shadow]) -> None:
    shadow = make_shadow()
    shadow.show(BLUE, "blue")
    shadow.show(GREEN, "red")
    shadow.show(BLUE)
    parts = shadow.challenger.candidate()
    assert {(part.camera, part.frame, part.kind, part.xyxy) for part in parts} == {
        ("door", 2, "disagreement", (0.0, 0.0, 64.0, 48.0))
    }
    assert [part.part for part in parts] == list(range(parts[0].parts))
    assert max(len(part.data) for part in parts) <= 500
    assert np.abs(decoded(parts).astype(int) - GREEN).max() < 10
    both = answers_in(b"".join(part.data for part in parts))
    assert both is not None
    assert (both.size, both.ours.model, both.ours.release, both.theirs.model) == ((64, 48), "colour", 1, "hue")
    assert [found.label for found in (*both.ours.found, *both.theirs.found)] == ["red", "green"]
    assert shadow.challenger.candidate() == [], "one a window"


def test_a_day_has_room_for_so_many_pictures(make_shadow: Callable[..., Shadow]) -> None:
    shadow = make_shadow()
    taken = 0
    for _ in range(24 * 6):
        shadow.show(BLUE, "red", after_s=600.0)
        taken += bool(shadow.challenger.candidate())
    assert 48 <= taken <= 50


def test_what_must_not_be_recognised_is_not_even_if_only_the_challenger_saw_it(
    make_shadow: Callable[..., Shadow],
) -> None:
    shadow = make_shadow()
    noise = np.random.default_rng(0).integers(0, 120, (48, 64, 3)).astype(np.uint8)
    noise[:, :, 1] += 120
    shadow.show(noise, "red", camera="door")
    clear = decoded(shadow.challenger.candidate())
    shadow.show(noise, "red", camera="yard", after_s=100_000)
    blurred = decoded(shadow.challenger.candidate())
    assert blurred[:8, :8].std(axis=(0, 1)).max() < 0.2 * clear[:8, :8].std(axis=(0, 1)).max()


def test_what_both_overlooked_in_just_this_frame_is_not_recognised_either(make_shadow: Callable[..., Shadow]) -> None:
    shadow = make_shadow()
    noise = np.random.default_rng(0).integers(0, 120, (48, 64, 3)).astype(np.uint8)
    noise[:, :, 0] += 120  # both see something else
    pictures = []
    for followed in (Detections.empty(), Detections.of([(0, 0, 32, 48)], [0.0], [1])):
        names = ("green",) * len(followed)
        shadow.show(noise, "red", camera="yard", after_s=100_000, followed=lambda it=followed, of=names: (it, of))
        pictures.append(decoded(shadow.challenger.candidate()))
    clear, blurred = pictures
    assert blurred[:8, :8].std(axis=(0, 1)).max() < 0.2 * clear[:8, :8].std(axis=(0, 1)).max()
    assert np.abs(clear[:, 48:].astype(int) - blurred[:, 48:]).mean() < 10


def test_what_neither_model_could_blur_stays_here(make_shadow: Callable[..., Shadow]) -> None:
    shadow = make_shadow()
    shadow.show(BLUE, "red", camera="gate")
    assert shadow.challenger.candidate() == []
    assert shadow.report().frames == 1
    shadow.show(BLUE, "red", "face", camera="gate")
    assert shadow.challenger.candidate()


def decoded(parts: list[PicturePart]) -> UInt8:
    jpeg = np.frombuffer(b"".join(part.data for part in parts), np.uint8)
    picture = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def test_it_rests_until_its_share_of_the_processor_is_due_again(make_shadow: Callable[..., Shadow]) -> None:
    shadow = make_shadow()
    for after_s in (0.0, 1e-6, 1e-6, 100.0):
        shadow.show(BLUE, "blue", after_s=after_s)
    assert shadow.report().frames == 2, "what took microseconds at least is paid off after ten times as long"


def test_a_challenger_that_raises_is_said_once_and_not_asked_again(
    make_shadow: Callable[..., Shadow], caplog: pytest.LogCaptureFixture
) -> None:
    shadow = make_shadow(moody_graph)
    for image in (WHITE, BLUE, WHITE):
        shadow.show(image, "blue")
    assert shadow.challenger.trouble().startswith("challenger hue@0 failed: ")
    assert shadow.challenger.trouble() == ""
    assert len(caplog.messages) == 1
    assert shadow.report().frames == 0


def test_without_a_challenger_nothing_is_looked_at_or_reported(tmp_path: Path) -> None:
    active = ActiveModel(ModelStore(tmp_path / "models", model="hue", trust=tmp_path), keep_s=0)
    challenger = Challenger(active, cpu_share=0.1)
    challenger.consider(Moment(1, 1, 0.0, (64, 48), "colour", 1), BLUE, Detections.empty(), (), camera="door")
    assert challenger.idle
    assert challenger.report() is None
