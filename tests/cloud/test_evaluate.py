"""Accuracy is counted through the gateway's own runner."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import tidegate
from cloud.evaluate import evaluate_classifier
from cloud.image_folder import Images
from models.manifest import read_manifest, write_manifest
from models.runner import open_runner


def flat(*colours: int) -> Images:
    """8 x 8 pictures of one colour each (0 blue, 1 green, 2 red), said to be blue, green, red in turn."""
    pixels = np.stack([np.full((8, 8, 3), np.eye(3)[colour] * 200, np.uint8) for colour in colours])
    truths = np.arange(len(colours)) % 3
    return Images(("blue", "green", "red"), pixels, truths, (), "")


def test_answers_are_counted_by_class(colour_run: Path) -> None:
    classified = evaluate_classifier(open_runner(colour_run, read_manifest(colour_run)), flat(0, 1, 2, 0, 2, 2))
    assert classified.confusion.tolist() == [[2, 0, 0], [0, 1, 1], [0, 0, 2]]
    assert classified.accuracy == pytest.approx(5 / 6)
    red = classified.by_class()["red"]
    assert (red.pictures, red.recall) == (2, 1.0)
    assert red.precision == pytest.approx(2 / 3)


def test_a_class_nobody_shows_has_no_figures(colour_run: Path) -> None:
    classified = evaluate_classifier(open_runner(colour_run, read_manifest(colour_run)), flat(0))
    document = json.loads(json.dumps(classified.document()))
    assert document["by_class"]["green"] == {"pictures": 0, "recall": None, "precision": None}


def test_the_command_prints_what_it_measured(
    trained_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidegate.main(["evaluate", str(trained_run), "--data", str(pictures), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["accuracy"] == read_manifest(trained_run).variant().accuracy
    assert document["pictures"] == 24
    assert tidegate.main(["evaluate", str(trained_run), "--data", str(pictures / "val")]) == 0
    assert "colours, variant fp32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--data", "absent"], "absent is not a folder"),
        (["--data", "{pictures}", "--variant", "int4"], "no variant 'int4'; it has fp32"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    trained_run: Path, pictures: Path, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(pictures=pictures) for word in words]
    assert tidegate.main(["evaluate", str(trained_run), *words]) == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_classes_are_matched_by_name_not_by_order(trained_run: Path, pictures: Path) -> None:
    manifest = read_manifest(trained_run)
    write_manifest(trained_run, dataclasses.replace(manifest, labels=("cyan", *manifest.labels[1:])))
    assert tidegate.main(["evaluate", str(trained_run), "--data", str(pictures)]) == 1


@pytest.mark.real
def test_a_real_detector_keeps_its_published_precision(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["import", str(shared_data / "models" / "yolox_nano.onnx"), "--adapter", "yolox", "--name", "coco"]
    names = str(shared_data / "models" / "coco.names")
    assert tidegate.main([*words, "--labels", names, "--out", str(tmp_path / "coco")]) == 0
    capsys.readouterr()
    assert tidegate.main(["evaluate", str(tmp_path / "coco"), "--data", str(shared_data / "coco128"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] >= 0.371
