"""Golden frames: what they forgive, and what they don't."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.detections import Detections
from models.errors import PackageError
from models.golden import ANSWERS, FOLDER, Golden, disagreements, iou, read_golden, record_golden, replay, write_golden
from models.manifest import read_manifest
from models.runner import open_runner

BOX = [10.0, 10.0, 50.0, 50.0]
FAR = [200.0, 200.0, 240.0, 240.0]


def seen(*rows: tuple[list[float], float, int]) -> Detections:
    return Detections.of([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


@pytest.mark.parametrize(
    ("expected", "got", "differences"),
    [
        # the same
        (seen((BOX, 0.9, 1)), seen((BOX, 0.9, 1)), 0),
        (seen(), seen(), 0),
        # rounding
        (seen((BOX, 0.9, 1)), seen(([10.5, 10, 50, 50.5], 0.86, 1)), 0),
        (seen((BOX, 0.9, 1), (FAR, 0.8, 1)), seen((FAR, 0.82, 1), (BOX, 0.88, 1)), 0),
        # a single thing that is gone, or is new, or is another
        (seen((BOX, 0.9, 1)), seen(), 1),
        (seen(), seen((BOX, 0.9, 1)), 1),
        (seen((BOX, 0.9, 1)), seen((BOX, 0.9, 2)), 2),
        # moved, or of another certainty
        (seen((BOX, 0.9, 1)), seen(([14, 10, 54, 50], 0.9, 1)), 2),
        (seen((BOX, 0.9, 1)), seen((BOX, 0.8, 1)), 2),
        # near the threshold of 0.25 things may come and go
        (seen((BOX, 0.29, 1)), seen(), 0),
        (seen(), seen((BOX, 0.28, 1)), 0),
        (seen((BOX, 0.31, 1)), seen(), 1),
        # two where one was
        (seen((BOX, 0.9, 1)), seen((BOX, 0.9, 1), (BOX, 0.88, 1)), 1),
        (seen((BOX, 0.9, 1), (BOX, 0.88, 1)), seen((BOX, 0.9, 1)), 1),
        # boxes without extent overlap nothing
        (seen(([5, 5, 5, 5], 0.9, 1)), seen(([5, 5, 5, 5], 0.9, 1)), 2),
    ],
)
def test_what_counts_as_another_decision(expected: Detections, got: Detections, differences: int) -> None:
    assert len(disagreements(expected, got, threshold=0.25)) == differences


def test_what_is_written_is_read_back(colour_run: Path, tmp_path: Path) -> None:
    golden = read_golden(colour_run)
    write_golden(tmp_path, golden)
    again = read_golden(tmp_path)
    assert {name: frame.tolist() for name, frame in again.frames.items()} == {
        name: frame.tolist() for name, frame in golden.frames.items()
    }
    for name, found in again.answers["fp32"].items():
        assert disagreements(golden.answers["fp32"][name], found, threshold=0.25) == []


def test_a_model_agrees_with_itself(colour_run: Path) -> None:
    runner = open_runner(colour_run, read_manifest(colour_run))
    assert replay(read_golden(colour_run), "fp32", runner) == []


def test_a_classifier_that_mixes_up_its_classes_is_found_out(colour_run: Path) -> None:
    runner = open_runner(colour_run, read_manifest(colour_run))
    golden = read_golden(colour_run)
    mixed_up = Golden({name: frame[..., ::-1] for name, frame in golden.frames.items()}, golden.answers)
    differences = replay(mixed_up, "fp32", runner)
    assert any("000.png: class 0 at score 1.00 is gone" in line for line in differences)
    assert any("000.png: class 2 at score 1.00 is new" in line for line in differences)


def test_a_variant_without_answers_does_not_agree(colour_run: Path) -> None:
    runner = open_runner(colour_run, read_manifest(colour_run))
    assert replay(read_golden(colour_run), "int8", runner) == ["no golden answers for variant 'int8'"]


def test_every_variant_has_its_own_answers(colour_run: Path) -> None:
    runner = open_runner(colour_run, read_manifest(colour_run))
    frame = np.full((8, 8, 3), (0, 0, 200), np.uint8)
    golden = record_golden([frame], {"fp32": runner, "int8": runner})
    assert {variant: found["000.png"].class_ids.tolist() for variant, found in golden.answers.items()} == {
        "fp32": [2],
        "int8": [2],
    }


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"fp32": []},
        {"fp32": {"000.png": 3}},
        {"fp32": {"000.png": {}}},
        {"fp32": {"000.png": {"classes": [1], "scores": [], "boxes": []}}},
        {"fp32": {"000.png": {"classes": ["x"], "scores": [1], "boxes": [[0, 0, 1, 1]]}}},
        {"fp32": {"000.png": {"classes": [1e400], "scores": [1], "boxes": [[0, 0, 1, 1]]}}},
        {"fp32": {"000.png": {"classes": [1], "scores": [1], "boxes": [[0, 0, 1]]}}},
        {"fp32": {"../000.png": {"classes": [], "scores": [], "boxes": []}}},
        {"fp32": {"missing.png": {"classes": [], "scores": [], "boxes": []}}},
        {"fp32": {ANSWERS: {"classes": [], "scores": [], "boxes": []}}},
    ],
)
def test_damaged_answers_are_refused(colour_run: Path, document: Any) -> None:
    (colour_run / FOLDER / ANSWERS).write_text(json.dumps(document))
    with pytest.raises(PackageError):
        read_golden(colour_run)


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 100_000])
def test_answers_that_are_no_json_are_refused(colour_run: Path, text: str) -> None:
    (colour_run / FOLDER / ANSWERS).write_text(text)
    with pytest.raises(PackageError, match="cannot be read"):
        read_golden(colour_run)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1.0),
        ([0, 0, 2, 2], [1, 0, 3, 2], 1 / 3),
        ([0, 0, 2, 2], [2, 0, 4, 2], 0.0),
        ([0, 0, 2, 2], [5, 5, 6, 6], 0.0),
        ([0, 0, 0, 0], [0, 0, 0, 0], 0.0),
    ],
)
def test_intersection_over_union(a: list[float], b: list[float], expected: float) -> None:
    assert iou(np.array(a, np.float32), np.array(b, np.float32)) == pytest.approx(expected)
