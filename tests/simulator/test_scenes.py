"""Rendered scenes tell the truth, and the same one each time."""

import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.errors import DataError
from simulator.part import DEFECTS
from simulator.scenes import LABELS, Conveyor, Photos, render_dataset


def test_a_frame_is_the_same_whenever_it_is_asked_for() -> None:
    first, second = Conveyor(3), Conveyor(3)
    expected = [first.frame(number) for number in range(0, 200, 13)]
    for number, shot in reversed(list(zip(range(0, 200, 13), expected, strict=True))):
        again = second.frame(number)
        assert np.array_equal(again.image, shot.image)
        assert again.truth == shot.truth


def test_another_seed_shows_another_belt() -> None:
    assert not np.array_equal(Conveyor(1).frame(5).image, Conveyor(2).frame(5).image)


@pytest.mark.parametrize(("width", "height"), [(320, 240), (640, 480), (160, 120), (97, 240)])
def test_frames_have_the_size_that_was_asked_for(width: int, height: int) -> None:
    image = Conveyor(0, width, height).frame(40).image
    assert image.shape == (height, width, 3)
    assert image.dtype == np.uint8


def test_every_class_and_every_defect_comes_by() -> None:
    scene = Conveyor(0)
    truths = [scene.truth(number) for number in range(0, 20_000, 9)]
    shares = Counter(truth.label for truth in truths)
    assert set(shares) == set(LABELS)
    assert min(shares.values()) > 0.1 * len(truths)
    assert {truth.defect for truth in truths} == {"none", *DEFECTS}


def test_a_part_is_bright_metal_in_its_box_and_the_empty_belt_is_dark() -> None:
    scene = Conveyor(5)
    for number in range(0, 4_000, 41):
        image, truth = scene.frame(number)
        if truth.label == "empty":
            middle = image[40:200, 60:260]
            assert middle.mean() < 110, number
        else:
            x1, y1, x2, y2 = map(round, truth.xyxy)
            assert image[y1:y2, x1:x2].mean() > image[60:180].min() + 20, number
            assert 0 <= x1 < x2 <= 320
            assert 0 <= y1 < y2 <= 240


def test_the_lamp_drifts() -> None:
    scene = Conveyor(0)
    brightness = [scene.frame(number).image[:12].mean() for number in range(0, 1_200, 60)]
    assert max(brightness) > 1.15 * min(brightness)


def test_frames_come_much_faster_than_cameras_need_them() -> None:
    scene = Conveyor(0)
    scene.frame(0)
    started = time.process_time()
    for number in range(150):
        scene.frame(number)
    # 500 a second and more on an idle core; the bar leaves room for a busy one
    assert time.process_time() - started < 150 / 150


def test_a_data_set_is_balanced_and_shares_no_part_between_train_and_val(tmp_path: Path) -> None:
    render_dataset(tmp_path, count=54, seed=9)
    counts = {
        f"{split}/{label}": len(list((tmp_path / split / label).iterdir()))
        for split in ("train", "val")
        for label in LABELS
    }
    assert counts == {
        f"{split}/{label}": 12 if split == "train" else 6 for split in ("train", "val") for label in LABELS
    }
    for line in range(6):
        scene = Conveyor(900 + line, defect_rate=0.5)
        parts = {
            split: {scene.truth(int(path.stem[-6:])).part for path in tmp_path.glob(f"{split}/*/line{line}-*.jpg")}
            for split in ("train", "val")
        }
        assert parts["train"] & parts["val"] == {-1}


def test_pictures_of_a_data_set_are_clear_and_filed_by_their_truth(tmp_path: Path) -> None:
    render_dataset(tmp_path, count=54, seed=9)
    for path in tmp_path.glob("*/*/line0-*.jpg"):
        truth = Conveyor(900, defect_rate=0.5).truth(int(path.stem[-6:]))
        assert truth.clear
        assert truth.label == path.parent.name


def test_photos_go_round_with_their_class(tmp_path: Path) -> None:
    for label, level in (("dark", 10), ("light", 240)):
        (tmp_path / label).mkdir()
        for index in range(2):
            cv2.imwrite(str(tmp_path / label / f"{index}.png"), np.full((30, 50, 3), level, np.uint8))
    pictures = {label: sorted((tmp_path / label).iterdir()) for label in ("dark", "light")}
    scene = Photos(pictures, width=64, height=48)
    shots = [scene.frame(number) for number in range(200)]
    for number, shot in enumerate(shots):
        assert shot.image.shape == (48, 64, 3)
        assert shot.image.mean() == (10 if shot.truth.label == "dark" else 240)
        assert scene.truth(number) == shot.truth
    # five to one
    assert 140 < sum(shot.truth.label == "dark" for shot in shots) < 190


def test_a_scene_without_photos_is_refused() -> None:
    with pytest.raises(DataError, match="no pictures to show"):
        Photos({"dark": [], "light": []})
