"""A release says beforehand how answers will differ from those of the release before."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud.predicted_shift import predict_shift, shift_in_words
from cloud.run_folder import add_variant
from models.errors import DataError, UsageError
from models.golden import read_golden, record_golden, write_golden
from models.health import SCORE_BINS
from models.manifest import write_manifest
from models.runner import open_runner
from simulator.demo.bad_release import mix_up_classes


@pytest.fixture
def parent(colour_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(colour_run, tmp_path / "parent"))


def paint(folder: Path, *, blue: int, red: int) -> Path:
    folder.mkdir()
    for index in range(blue + red):
        colour = (200, 0, 0) if index < blue else (0, 0, 200)
        cv2.imwrite(str(folder / f"{index:03d}.png"), np.full((20, 30, 3), colour, np.uint8))
    return folder


def test_a_model_that_did_not_change_predicts_no_shift(colour_run: Path, parent: Path) -> None:
    shift = predict_shift(colour_run, parent, against="colour@1", reference=None)
    assert (shift["reference"], shift["pictures"]) == ("golden frames", 3)
    assert (shift["mix_distance"], shift["mean_score_change"], shift["per_frame_ratio"]) == (0, 0, 1)
    assert shift["agreement"] == 1
    assert shift["this"]["class_mix"] == {"blue": 1, "green": 1, "red": 1}
    assert sum(shift["this"]["score_histogram"]) == 3
    assert len(shift["this"]["score_histogram"]) == SCORE_BINS


def test_a_model_that_takes_red_for_blue_says_so(colour_run: Path, parent: Path, tmp_path: Path) -> None:
    mix_up_classes(colour_run)
    pictures = paint(tmp_path / "pictures", blue=3, red=1)
    shift = predict_shift(colour_run, parent, against="colour@1", reference=pictures)
    assert shift["parent"]["class_mix"] == {"blue": 3, "red": 1}
    assert shift["this"]["class_mix"] == {"red": 3, "blue": 1}
    assert (shift["mix_distance"], shift["agreement"]) == (0.5, 0)
    words = shift_in_words(shift)
    assert words[0].startswith("Against colour@1, on 4 pictures: 1 detections a frame become 1")
    assert "the class mix moves by 0.50" in words[0]
    assert words[1].startswith("4 pictures are few")


def test_classes_that_were_swapped_in_equal_numbers_show_in_the_agreement(colour_run: Path, parent: Path) -> None:
    mix_up_classes(colour_run)
    shift = predict_shift(colour_run, parent, against="colour@1", reference=None)
    assert shift["mix_distance"] == 0
    assert shift["agreement"] == pytest.approx(1 / 3, abs=1e-3), "green is in the middle"


def test_the_same_pictures_have_the_same_digest(colour_run: Path, parent: Path, tmp_path: Path) -> None:
    digests = {
        predict_shift(colour_run, parent, against="colour@1", reference=reference)["reference_sha256"]
        for reference in (
            paint(tmp_path / "a", blue=2, red=1),
            paint(tmp_path / "b", blue=2, red=1),
            paint(tmp_path / "c", blue=1, red=2),
        )
    }
    assert len(digests) == 2


def test_a_parent_that_does_not_run_any_more_makes_no_release_impossible(colour_run: Path, parent: Path) -> None:
    (parent / "model.onnx").write_bytes(b"no model")
    shift = predict_shift(colour_run, parent, against="colour@1", reference=None)
    assert "is not an ONNX model" in shift["unknown"]
    assert "not predicted" in shift_in_words(shift)[0]


def test_the_chosen_variants_are_compared(colour_run: Path, parent: Path) -> None:
    shutil.copy(colour_run / "model.onnx", colour_run / "model.w8.onnx")
    manifest = replace(add_variant(colour_run, "w8", "model.w8.onnx"), chosen="w8")
    write_manifest(colour_run, manifest)
    runners = {variant.name: open_runner(colour_run, manifest, variant.name) for variant in manifest.variants}
    write_golden(colour_run, record_golden(list(read_golden(colour_run).frames.values()), runners))
    shift = predict_shift(colour_run, parent, against="colour@1", reference=None)
    assert (shift["this"]["variant"], shift["parent"]["variant"]) == ("w8", "fp32")


def test_a_reference_without_whole_pictures_is_refused(colour_run: Path, parent: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        predict_shift(colour_run, parent, against="colour@1", reference=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        predict_shift(colour_run, parent, against="colour@1", reference=tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError):
        predict_shift(colour_run, parent, against="colour@1", reference=tmp_path / "empty")


@pytest.mark.parametrize("shift", [{"against": "x@1"}, {"against": "x@1", "parent": {}, "this": 3, "pictures": "all"}])
def test_a_prediction_of_another_form_is_said_to_be_one(shift: dict[str, object]) -> None:
    assert shift_in_words(shift) == ["Recorded in a form that is not known here."]
    assert shift_in_words({})[0].startswith("The first release")


def test_it_says_what_becomes_of_each_kind_of_detection(colour_run: Path, parent: Path, tmp_path: Path) -> None:
    mix_up_classes(colour_run)
    shift = predict_shift(colour_run, parent, against="colour@1", reference=paint(tmp_path / "p", blue=3, red=1))
    assert sum(shift["by_score"]["parent"]) == sum(shift["by_score"]["this"]) == 4
    assert sum(shift["by_score"]["kept"]) == sum(shift["by_score"]["confirmed"]) == 0
    assert {label: (row["parent"], row["this"], row["kept"]) for label, row in shift["by_class"].items()} == {
        "blue": (3, 1, 0),
        "red": (1, 3, 0),
    }
    assert shift["mean_iou"] is None
    # one thing of a share 3/4 before and 1/4 after, always the other way round: it varies by twice a coin's variance
    assert shift["by_class"]["blue"]["variance"] == pytest.approx(4 * 3 / 16)
    assert shift["variance"]["per_frame"] == 0
