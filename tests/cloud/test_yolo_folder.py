"""Pictures with boxes in YOLO's layout are read, or the line at fault is named."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cloud.yolo_folder import find_boxed, is_yolo_folder, load_boxed, read_truth
from models.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train/a", "val/b"):
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.zeros((50, 100, 3), np.uint8))
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.2 0.4\n\n0 0.1 0.1 0.2 0.2\n")
    return tmp_path


def test_boxes_are_read_in_pixels(folder: Path) -> None:
    pictures = find_boxed(folder)
    assert [picture.path.name for picture in pictures] == ["a.png", "b.png"]
    (image, first), (_, second) = load_boxed(pictures, 2)
    assert image.shape == (50, 100, 3)
    np.testing.assert_allclose(first.xyxy, [(40, 15, 60, 35), (0, 0, 20, 10)], atol=1e-4)
    assert first.class_ids.tolist() == [1, 0]
    assert second.xyxy.shape == (0, 4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.5 0.5 0.2", "expected `class x y width height`"),
        ("1 0.5 0.5 0.2 0.4 0.9", "expected `class x y width height`"),
        ("nut 0.5 0.5 0.2 0.4", "expected `class x y width height`"),
        ("2 0.5 0.5 0.2 0.4", "class 2 is unknown; the model has classes 0..1"),
        ("-1 0.5 0.5 0.2 0.4", "class -1 is unknown"),
        ("0.5 0.5 0.5 0.2 0.4", "class 0.5 is unknown"),
        ("nan 0.5 0.5 0.2 0.4", "class nan is unknown"),
        ("1 50 50 20 40", "lies outside its picture"),
        ("1 0.9 0.5 0.4 0.4", "lies outside its picture"),
        ("1 0.5 0.5 0 0.4", "lies outside its picture"),
        ("1 nan 0.5 0.2 0.4", "lies outside its picture"),
        ("1 0.5 0.5 inf 0.4", "lies outside its picture"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(folder: Path, line: str, message: str) -> None:
    path = folder / "labels" / "train" / "a.txt"
    path.write_text(f"1 0.5 0.5 0.2 0.4\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_truth(path, 100, 50, 2)
    assert f"{path}:2: " in str(caught.value)
    assert message in str(caught.value)


def test_labels_that_are_no_text_are_named(folder: Path) -> None:
    (folder / "labels" / "train" / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.txt cannot be read"):
        list(load_boxed(find_boxed(folder), 2))


def test_a_picture_that_is_none_is_named(folder: Path) -> None:
    (folder / "images" / "train" / "a.png").write_bytes(b"no PNG")
    with pytest.raises(DataError, match=r"a\.png is not a picture"):
        list(load_boxed(find_boxed(folder), 2))


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    assert not is_yolo_folder(tmp_path)
    with pytest.raises(DataError, match="is not laid out as YOLO's"):
        find_boxed(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        find_boxed(tmp_path)
    (tmp_path / "images" / "a.jpg").touch()
    with pytest.raises(DataError, match=r"has labels; expected e\.g\. .*a\.txt"):
        find_boxed(tmp_path)
