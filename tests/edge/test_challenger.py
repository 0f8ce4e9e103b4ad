"""A second model in shadow: what it costs is bounded, and what it says is compared and goes nowhere else."""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.active_model import ActiveModel
from edge.analytics.analytics import Moment
from edge.challenger import Challenger, Sight, compare
from edge.model_store import ModelStore
from models.detections import Detections, UInt8
from models.manifest import read_manifest, write_manifest
from models.records import Challenge
from tests.edge.odd_models import BLUE, WHITE, moody_graph, run_of

GREEN = np.full((48, 64, 3), (0, 200, 0), np.uint8)


def sight(*things: tuple[str, float, tuple[float, float, float, float]]) -> Sight:
    found = Detections.of([box for _, _, box in things], [score for _, score, _ in things], [0] * len(things))
    return Sight(found, tuple(label for label, _, _ in things))


BOX, NEAR, FAR = (0.0, 0.0, 10.0, 10.0), (1.0, 0.0, 11.0, 10.0), (50.0, 50.0, 60.0, 60.0)


@pytest.mark.parametrize(
    ("ours", "theirs", "pairs", "left_over"),
    [
        (sight(), sight(), 0, None),  # both see nothing: they agree
        (sight(("cup", 0.9, BOX)), sight(("cup", 0.4, NEAR)), 1, None),
        (sight(("cup", 0.9, BOX)), sight(("mug", 0.4, BOX)), 0, 0.9),
        (sight(("cup", 0.9, BOX)), sight(("cup", 0.4, FAR)), 0, 0.9),
        (sight(("cup", 0.9, BOX)), sight(), 0, 0.9),
        (sight(), sight(("cup", 0.0, BOX)), 0, 0.0),
        # one of two lies on the first
        (sight(("cup", 0.9, BOX)), sight(("cup", 0.8, NEAR), ("cup", 0.7, BOX)), 1, 0.8),
    ],
)
def test_detections_match_by_label_and_overlap(ours: Sight, theirs: Sight, pairs: int, left_over: float | None) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        agreement = compare(one, other)
        assert len(agreement.ious) == pairs
        assert agreement.left_over == (None if left_over is None else pytest.approx(left_over))


things = st.lists(
    st.tuples(
        st.sampled_from(["cup", "mug"]),
        st.floats(0, 1, width=32),
        st.tuples(st.floats(0, 40), st.floats(0, 40)).map(lambda at: (at[0], at[1], at[0] + 20, at[1] + 20)),
    ),
    max_size=6,
)


@given(things, things)
def test_nothing_matches_twice_and_a_sight_agrees_with_itself(
    ours: list[tuple[str, float, tuple[float, float, float, float]]],
    theirs: list[tuple[str, float, tuple[float, float, float, float]]],
) -> None:
    agreement = compare(sight(*ours), sight(*theirs))
    assert len(agreement.ious) <= min(len(ours), len(theirs))
    assert (agreement.left_over is None) == (len(agreement.ious) == len(ours) == len(theirs))
    assert compare(sight(*ours), sight(*ours)).left_over is None


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
        self.challenger = Challenger(self.active, cpu_share=0.1, clock=self.clock)
        self.thread = threading.Thread(target=self.challenger.run)
        self.thread.start()
        self._number = 0

    def show(self, image: UInt8, *labels: str, after_s: float = 100.0) -> None:
        """A picture in which the running model saw `labels`, and wait for the challenger."""
        self._number += 1
        self.clock.now += after_s
        height, width = image.shape[:2]
        found = Detections.of([(0, 0, width, height)] * len(labels), [0.9] * len(labels), range(len(labels)))
        moment = Moment(self._number, self._number * 1000, 0.0, (width, height), "colour", 1, whole=True)
        self.challenger.consider(moment, image, found, labels, camera="door")
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


def test_the_frame_on_which_they_differ_most_is_a_candidate(make_shadow: Callable[..., Shadow]) -> None:
    shadow = make_shadow()
    shadow.show(BLUE, "blue")
    shadow.show(GREEN, "red")
    shadow.show(BLUE)
    found = shadow.challenger.disagreement()
    assert found is not None
    assert (found.camera, found.moment.number, found.theirs.labels) == ("door", 2, ("green",))
    assert (found.image == GREEN).all()
    assert shadow.challenger.disagreement() is None


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
