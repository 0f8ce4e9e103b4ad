"""Folders of pictures: what is taken, how it is split, and what is refused in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud.image_folder import find_images, find_split, find_validation, load_images, natural_size, with_labels
from models.errors import DataError
from models.manifest import InputSpec

Paint = Callable[..., None]
SPEC = InputSpec(16, 24, "stretch", "area")


def break_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def test_classes_are_the_sub_folders_in_order(pictures: Path) -> None:
    folder = find_images(pictures / "train")
    assert folder.labels == ("blue", "green", "red")
    assert folder.counts() == {"blue": 24, "green": 24, "red": 24}


def test_train_and_val_inside_one_folder_are_used_as_they_are(pictures: Path) -> None:
    train, val = find_split(pictures, None, seed=0)
    assert {path.parent.parent.name for path in train.paths} == {"train"}
    assert {path.parent.parent.name for path in val.paths} == {"val"}
    assert find_validation(pictures) == val


def test_a_split_is_stratified_seeded_and_disjoint(pictures: Path) -> None:
    train, val = find_split(pictures / "train", None, seed=3)
    assert not set(train.paths) & set(val.paths)
    assert val.counts() == {"blue": 5, "green": 5, "red": 5}
    assert (train, val) == find_split(pictures / "train", None, seed=3)
    assert val != find_split(pictures / "train", None, seed=4)[1]


def test_pictures_are_fitted_once_and_kept_small(pictures: Path) -> None:
    images = load_images(find_images(pictures / "val"), SPEC)
    assert images.pixels.shape == (24, 16, 24, 3)
    assert images.pixels.dtype == np.uint8
    assert images.class_ids.tolist() == [0] * 8 + [1] * 8 + [2] * 8


def test_the_digest_changes_with_a_byte_a_name_or_a_label(pictures: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(pictures / "val", tmp_path / "copy"))
    first = load_images(find_images(copy), SPEC).digest
    assert first == load_images(find_images(pictures / "val"), SPEC).digest
    (copy / "red" / "000.png").rename(copy / "red" / "900.png")
    renamed = load_images(find_images(copy), SPEC).digest
    (copy / "red" / "900.png").rename(copy / "blue" / "900.png")
    assert len({first, renamed, load_images(find_images(copy), SPEC).digest}) == 3


def test_the_natural_size_keeps_the_shape_and_never_enlarges(pictures: Path) -> None:
    folder = find_images(pictures / "val")
    assert natural_size(folder.paths, folder.root, short_side=15) == (16, 20)
    assert natural_size(folder.paths, folder.root, short_side=96) == (32, 40)


def test_the_natural_size_of_a_panorama_is_one_that_can_be_trained(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "belt.png"), np.zeros((100, 5000, 3), np.uint8))
    assert natural_size([tmp_path / "belt.png"], tmp_path, short_side=96) == (20, 1024)


def test_a_few_broken_pictures_are_skipped_and_named(paint: Paint, tmp_path: Path) -> None:
    paint(tmp_path, each=20, seed=0)
    break_file(tmp_path / "red" / "003.png")
    (tmp_path / "blue" / "000.png").write_bytes(b"")
    images = load_images(find_images(tmp_path), SPEC)
    assert [Path(name).name for name in images.broken] == ["000.png", "003.png"]
    assert len(images) == 58


def test_a_model_may_know_more_classes_than_the_pictures_show(pictures: Path) -> None:
    moved = with_labels(find_images(pictures / "val"), ("amber", "red", "green", "blue"))
    assert moved.labels == ("amber", "red", "green", "blue")
    assert set(moved.class_ids[:8]) == {3}


def test_what_is_no_labelled_folder_is_refused_in_a_line(paint: Paint, tmp_path: Path) -> None:
    def message(folder: Path) -> str:
        with pytest.raises(DataError) as raised:
            find_images(folder)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "is not a folder" in message(tmp_path / "absent")
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.jpg").touch()
    assert "holds no pictures in sub-folders" in message(tmp_path / "flat")
    paint(tmp_path / "full", each=2)
    (tmp_path / "full" / "a\nb").mkdir()
    assert "class 'a\\nb' is no line of printable text; rename its folder" in message(tmp_path / "full")
    (tmp_path / "full" / "a\nb").rmdir()
    (tmp_path / "full" / "amber").mkdir()
    assert "amber holds no pictures; fill the class or remove its folder" in message(tmp_path / "full")
    for label in ("amber", "green", "red"):
        shutil.rmtree(tmp_path / "full" / label)
    assert "holds one class, 'blue'" in message(tmp_path / "full")


def test_too_many_broken_pictures_are_refused(paint: Paint, tmp_path: Path) -> None:
    paint(tmp_path, each=5)
    for path in tmp_path.glob("*/00[01].png"):
        break_file(path)
    with pytest.raises(DataError, match=r"6 of 15 pictures cannot be decoded.*the first is .*blue/000\.png"):
        load_images(find_images(tmp_path), SPEC)


def test_a_class_of_broken_pictures_only_is_refused(paint: Paint, tmp_path: Path) -> None:
    paint(tmp_path, each=2)
    for path in tmp_path.glob("green/*"):
        break_file(path)
    with pytest.raises(DataError, match="no picture of class 'green' can be decoded"):
        load_images(find_images(tmp_path), SPEC)


def test_a_class_of_one_picture_cannot_be_split(paint: Paint, tmp_path: Path) -> None:
    paint(tmp_path, each=1)
    with pytest.raises(DataError, match="holds one picture"):
        find_split(tmp_path, None, seed=0)


def test_a_class_that_the_model_does_not_know_is_refused(pictures: Path) -> None:
    with pytest.raises(DataError, match="class 'green' is not among the model's classes"):
        with_labels(find_images(pictures / "val"), ("blue", "red"))
