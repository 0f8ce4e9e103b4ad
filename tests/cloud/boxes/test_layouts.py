"""Pictures with boxes are read from each layout alike, or the place at fault is named."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.boxes.boxed import BoxFolder, part_of, with_labels
from cloud.boxes.find import find_boxed, is_boxed, split_boxed
from cloud.boxes.load import load_boxed
from models.errors import DataError
from models.manifest import InputSpec
from tests.cloud.boxes.layouts import HEIGHT, LABELS, SOME, WIDTH, WRITERS, Labelled

SPEC = InputSpec(32, 64, fit="letterbox", interpolation="area")


@pytest.fixture(params=sorted(WRITERS))
def boxed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three pictures with `SOME` boxes, in each of the layouts."""
    WRITERS[request.param](tmp_path, SOME)
    return tmp_path


def test_boxes_are_read_in_pixels(boxed: Path) -> None:
    folder = find_boxed(boxed)
    assert is_boxed(boxed)
    assert [picture.path.stem for picture in folder.pictures] == ["a", "b", "c"]
    assert folder.labels == LABELS
    assert folder.counts() == {"bolt": 2, "nut": 1}
    first, second, _ = (picture.truth(WIDTH, HEIGHT) for picture in folder.pictures)
    np.testing.assert_allclose(first.xyxy, [(40, 15, 60, 35), (0, 0, 20, 10)], atol=1e-4)
    assert first.class_ids.tolist() == [1, 0]
    assert second.xyxy.shape == (0, 4)


def test_loaded_pictures_are_fitted_and_their_boxes_with_them(boxed: Path) -> None:
    images = load_boxed(find_boxed(boxed), SPEC)
    assert images.pixels.shape == (3, 32, 64, 3)
    np.testing.assert_allclose(images.truths[0].xyxy[0], np.array((40, 15, 60, 35)) * 0.64, atol=1e-4)
    assert [file.label for file in images.files] == ["1 bolt, 1 nut", "nothing", "1 bolt"]
    assert images.counts() == {"bolt": 2, "nut": 1}


_box = st.builds(
    lambda label, x, y, width, height: Labelled(label, x, y, min(WIDTH, x + width), min(HEIGHT, y + height)),
    st.sampled_from(LABELS),
    st.integers(0, WIDTH - 1),
    st.integers(0, HEIGHT - 1),
    st.integers(1, WIDTH),
    st.integers(1, HEIGHT),
)


@settings(max_examples=20, deadline=None)
@given(
    boxes=st.dictionaries(st.sampled_from("abcd"), st.lists(_box, max_size=4), min_size=1).filter(
        lambda boxes: {thing.label for things in boxes.values() for thing in things} == set(LABELS)
    )
)
def test_the_three_layouts_say_the_same(boxes: dict[str, list[Labelled]]) -> None:
    read = []
    for write in WRITERS.values():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), boxes)
            found = find_boxed(Path(folder))
            read.append([(p.path.name, p.truth(WIDTH, HEIGHT)) for p in found.pictures])
            assert found.labels == LABELS
    for other in read[1:]:
        for (name, truth), (other_name, other_truth) in zip(read[0], other, strict=True):
            assert name == other_name
            np.testing.assert_allclose(truth.xyxy, other_truth.xyxy, atol=1e-3)
            assert truth.class_ids.tolist() == other_truth.class_ids.tolist()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.5 0.5 0.2", "expected `class x y width height`"),
        ("1 0.5 0.5 0.2 0.4 0.9", "expected `class x y width height`"),
        ("nut 0.5 0.5 0.2 0.4", "expected `class x y width height`"),
        ("2 0.5 0.5 0.2 0.4", "class 2 is unknown; there are names for 0..1"),
        ("-1 0.5 0.5 0.2 0.4", "class -1 is unknown"),
        ("0.5 0.5 0.5 0.2 0.4", "class 0.5 is unknown"),
        ("nan 0.5 0.5 0.2 0.4", "class nan is unknown"),
        ("inf 0.5 0.5 0.2 0.4", "class inf is unknown"),
        ("1e300 0.5 0.5 0.2 0.4", "class 1e+300 is unknown; expected a whole number, 0..9999"),
        ("1 50 50 20 40", "lies outside its picture"),
        ("1 0.9 0.5 0.4 0.4", "lies outside its picture"),
        ("1 0.5 0.5 0 0.4", "lies outside its picture"),
        ("1 nan 0.5 0.2 0.4", "lies outside its picture"),
        ("1 0.5 0.5 inf 0.4", "lies outside its picture"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path: Path, line: str, message: str) -> None:
    WRITERS["yolo"](tmp_path, SOME)
    path = tmp_path / "labels" / "a.txt"
    path.write_text(f"1 0.5 0.5 0.2 0.4\n{line}\n")
    with pytest.raises(DataError) as caught:
        load_boxed(find_boxed(tmp_path), SPEC)
    assert f"{path}:2: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"annotations": [{"id": 4, "image_id": "z", "category_id": 7, "bbox": [0, 0, 9, 9]}]},
            "annotation 4: image 'z'",
        ),
        ({"annotations": [{"id": 4, "image_id": "a", "category_id": 8, "bbox": [0, 0, 9, 9]}]}, "class 8 is unknown"),
        ({"annotations": [{"id": 4, "image_id": "a", "category_id": 7, "bbox": [0, 0, 9]}]}, "expected bbox"),
        ({"annotations": [{"id": 4, "image_id": "a", "category_id": 7, "bbox": [0, 0, 900, 9]}]}, "lies outside"),
        ({"annotations": [{"id": 4, "image_id": "a", "category_id": 7, "bbox": [0, 0, 0, 9]}]}, "lies outside"),
        ({"annotations": [{"id": 4, "image_id": "a", "category_id": 7, "bbox": [0, 0, float("nan"), 9]}]}, "outside"),
        ({"images": [{"id": 1, "file_name": "../../secret.png"}], "annotations": []}, "lies outside"),
        ({"images": [{"id": 1, "file_name": "/etc/passwd"}], "annotations": []}, "lies outside"),
        ({"images": [{"id": 1, "file_name": "gone.png"}], "annotations": []}, "'gone.png' is not there"),
        ({"images": [{"id": 1, "file_name": "a.png", "width": 0, "height": 5}], "annotations": []}, "above 0"),
        (
            {"images": [{"id": 1, "file_name": "a.png", "width": float("inf"), "height": 5}], "annotations": []},
            "above 0",
        ),
        ({"images": [{"id": 1, "file_name": "a.png", "width": 10**400, "height": 5}], "annotations": []}, "above 0"),
        ({"images": [{"id": 1, "file_name": "a" * 5000}], "annotations": []}, "is not there"),
        ({"images": [{"id": 1, "file_name": None}], "annotations": []}, "expected a file_name, got None"),
        ({"images": [{"id": [1], "file_name": "a.png"}]}, "image [1]: expected an id of its own"),
        ({"images": [{"id": 1, "file_name": "a.png"}] * 2}, "image 1: expected an id of its own"),
        ({"annotations": [{"id": 4, "image_id": [0], "category_id": 7, "bbox": [0, 0, 9, 9]}]}, "image [0] is unknown"),
        ({"annotations": [{"id": 4, "image_id": "a", "category_id": {}, "bbox": [0, 0, 9, 9]}]}, "class {} is unknown"),
        ({"annotations": [{"id": 4, "image_id": "a", "category_id": 7, "bbox": "1234"}]}, "expected bbox"),
        ({"annotations": [{"id": 4, "image_id": "a", "category_id": 7, "bbox": [10**400, 0, 9, 9]}]}, "expected bbox"),
        ({"categories": [{"id": 1, "name": ""}]}, "needs a number as id and a name"),
        ({"categories": [{"id": 1, "name": None}]}, "needs a number as id and a name"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "is 'a' elsewhere"),
        ({"categories": 3}, "expected a list of objects as 'categories'"),
    ],
)
def test_coco_that_makes_no_sense_is_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    WRITERS["coco"](tmp_path, SOME)
    path = tmp_path / "annotations" / "all.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError) as caught:
        load_boxed(find_boxed(tmp_path), SPEC)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_crowd_is_no_thing_to_be_found(tmp_path: Path) -> None:
    WRITERS["coco"](tmp_path, SOME)
    path = tmp_path / "annotations" / "all.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["iscrowd"] = 1
    path.write_text(json.dumps(document))
    assert find_boxed(tmp_path).counts() == {"bolt": 2, "nut": 0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<name>nut</name>", "", "object 1: expected a name"),
        ("<xmin>41</xmin>", "<xmin>left</xmin>", "object 1: expected a bndbox"),
        ("<xmax>60</xmax>", "<xmax>600</xmax>", "lies outside its picture"),
        ("<filename>a.png</filename>", "<filename>../../a.png</filename>", "lies outside"),
        ("<annotation>", '<?xml version="1.0" encoding="of-mine"?><annotation>', "cannot be read: unknown encoding"),
        ("<width>100</width>", "<width>400</width>", "the picture was 400x50 pixels when it was labelled"),
        ("<annotation>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>", "declares a document type"),
        ("</annotation>", "", "cannot be read"),
    ],
)
def test_voc_that_makes_no_sense_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    WRITERS["voc"](tmp_path, SOME)
    path = tmp_path / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError) as caught:
        load_boxed(find_boxed(tmp_path), SPEC)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_document_type_is_refused_in_any_encoding(tmp_path: Path) -> None:
    WRITERS["voc"](tmp_path, SOME)
    path = tmp_path / "Annotations" / "a.xml"
    path.write_bytes(f"<!DOCTYPE a [<!ENTITY b 'c'>]>{path.read_text()}".encode("utf-16"))
    with pytest.raises(DataError, match="declares a document type"):
        find_boxed(tmp_path)


def test_a_voc_box_that_is_counted_from_0_is_not_outside(tmp_path: Path) -> None:
    WRITERS["voc"](tmp_path, SOME)
    path = tmp_path / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace("<xmin>1</xmin><ymin>1</ymin>", "<xmin>0</xmin><ymin>0</ymin>"))
    first = find_boxed(tmp_path).pictures[0]
    assert first.boxes[1].xyxy == (0, 0, 20, 10)


def test_of_cocos_own_files_the_instances_are_read(tmp_path: Path) -> None:
    WRITERS["coco"](tmp_path, SOME)
    path = tmp_path / "annotations" / "all.json"
    document = json.loads(path.read_text())
    captions = {"images": document["images"], "annotations": [{"image_id": "a", "id": 1, "caption": "a nut"}]}
    (tmp_path / "annotations" / "captions_all.json").write_text(json.dumps(captions))
    (tmp_path / "annotations" / "person_keypoints_all.json").write_text(path.read_text())
    path.rename(tmp_path / "annotations" / "instances_all.json")
    assert [picture.path.stem for picture in find_boxed(tmp_path).pictures] == ["a", "b", "c"]


def test_a_mark_of_byte_order_is_no_part_of_a_name(tmp_path: Path) -> None:
    WRITERS["yolo"](tmp_path / "yolo", SOME)
    (tmp_path / "yolo" / "data.yaml").unlink()
    (tmp_path / "yolo" / "labels" / "classes.txt").write_text("bolt\nnut\n", encoding="utf-8-sig")
    WRITERS["coco"](tmp_path / "coco", SOME)
    path = tmp_path / "coco" / "annotations" / "all.json"
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert find_boxed(tmp_path / "yolo").labels == find_boxed(tmp_path / "coco").labels == LABELS


def test_files_that_tell_of_something_else_make_no_detection(tmp_path: Path) -> None:
    (tmp_path / "project.xml").write_text("<project/>")
    (tmp_path / "settings.json").write_text('{"theme": "dark"}')
    assert not is_boxed(tmp_path)


def test_broken_pictures_are_named_and_skipped_up_to_a_limit(tmp_path: Path) -> None:
    WRITERS["yolo"](tmp_path, {f"p{index}": [Labelled("nut", 0, 0, 9, 9)] for index in range(6)})
    for index in range(3):
        (tmp_path / "images" / f"p{index}.png").write_bytes(b"no PNG")
    images = load_boxed(find_boxed(tmp_path), SPEC)
    assert (len(images), len(images.broken), len(images.files)) == (3, 3, 6)
    (tmp_path / "images" / "p3.png").write_bytes(b"")
    with pytest.raises(DataError, match="4 of 6 pictures cannot be decoded"):
        load_boxed(find_boxed(tmp_path), SPEC)


def test_labels_that_are_no_text_are_named(tmp_path: Path) -> None:
    WRITERS["yolo"](tmp_path, SOME)
    (tmp_path / "labels" / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.txt cannot be read"):
        find_boxed(tmp_path)


_BILLION_LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))


@pytest.mark.parametrize(
    "text",
    [
        "names: 3",
        "names: [a, a]",
        "{",
        "nc: 2",
        "names: []",
        "names: {0: a, 2: b}",
        "- a",
        "names: " + "[" * 20_000,
        _BILLION_LAUGHS + "names: [*a40, b]",
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    WRITERS["yolo"](tmp_path, SOME)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=r"data\.yaml"):
        find_boxed(tmp_path)


def test_without_names_classes_are_numbers_and_go_by_them(tmp_path: Path) -> None:
    WRITERS["yolo"](tmp_path, SOME)
    (tmp_path / "data.yaml").unlink()
    folder = find_boxed(tmp_path)
    assert (folder.labels, folder.named) == (("0", "1"), False)
    assert with_labels(folder, ("x", "y", "z")).counts() == {"x": 2, "y": 1, "z": 0}
    with pytest.raises(DataError, match=r"a\.txt:1: class 1 is unknown; the model has classes 0\.\.0"):
        with_labels(folder, ("x",))


def test_names_in_yaml_are_text(tmp_path: Path) -> None:
    WRITERS["yolo"](tmp_path, SOME)
    (tmp_path / "data.yaml").write_text("names: [no, 1.10]\n")
    assert find_boxed(tmp_path).labels == ("no", "1.10")


def test_numbers_go_by_themselves_where_a_model_has_some_of_them(tmp_path: Path) -> None:
    WRITERS["yolo"](tmp_path, SOME)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "labels" / "a.txt").write_text("2 0.5 0.5 0.2 0.4\n")
    assert with_labels(find_boxed(tmp_path), ("0", "2")).counts() == {"0": 1, "2": 1}


def test_a_label_that_cannot_be_printed_is_refused(boxed: Path) -> None:
    for path in boxed.rglob("*.*"):
        if path.suffix != ".png":
            path.write_text(path.read_text().replace("bolt", "bo\u200blt"))
    with pytest.raises(DataError, match=r"class 'bo\\u200blt' is no line of printable text"):
        find_boxed(boxed)


def test_classes_go_by_name_whatever_their_order(boxed: Path) -> None:
    moved = with_labels(find_boxed(boxed), ("nut", "screw", "bolt"))
    assert moved.counts() == {"nut": 1, "screw": 0, "bolt": 2}
    with pytest.raises(DataError, match="class 'bolt' is unknown; the model has nut"):
        with_labels(find_boxed(boxed), ("nut",))


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    assert not is_boxed(tmp_path)
    with pytest.raises(DataError, match="tells of no boxes"):
        find_boxed(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        find_boxed(tmp_path)
    (tmp_path / "images" / "a.jpg").touch()
    with pytest.raises(DataError, match=r"has labels; expected e\.g\. .*a\.txt"):
        find_boxed(tmp_path)


@pytest.mark.parametrize("layout", WRITERS)
def test_folders_named_train_and_valid_are_a_split(tmp_path: Path, layout: str) -> None:
    for part, boxes in (("train", SOME), ("valid", {"d": SOME["a"]})):
        (tmp_path / part).mkdir()
        WRITERS[layout](tmp_path / part, boxes)
    train, val = split_boxed(tmp_path, None, seed=0)
    assert ([p.path.stem for p in train.pictures], [p.path.stem for p in val.pictures]) == (["a", "b", "c"], ["d"])
    assert train.labels == val.labels == LABELS


def _names(*parts: BoxFolder) -> list[list[str]]:
    return [[picture.path.stem for picture in part.pictures] for part in parts]


def test_what_judges_is_never_learned_from(tmp_path: Path) -> None:
    for part, boxes in (("train", SOME), ("valid", {"d": SOME["a"]}), ("more", {"e": SOME["a"], "f": SOME["c"]})):
        WRITERS["yolo"](tmp_path / part, boxes)
    apart = [["a", "b", "c"], ["d"]]
    assert _names(*split_boxed(tmp_path, tmp_path / "valid", seed=0)) == apart  # its own part, named once more
    assert _names(*split_boxed(tmp_path, tmp_path, seed=0)) == apart
    assert _names(*split_boxed(tmp_path, tmp_path / "more", seed=0)) == [["a", "b", "c"], ["e", "f"]]


def test_pictures_beside_a_val_folder_are_those_to_train_on(tmp_path: Path) -> None:
    WRITERS["yolo"](tmp_path, SOME)
    WRITERS["yolo"](tmp_path / "val", {"d": SOME["a"]})
    assert _names(*split_boxed(tmp_path, None, seed=0)) == [["a", "b", "c"], ["d"]]


@pytest.mark.parametrize("layout", ["coco", "voc"])
def test_a_picture_whose_boxes_are_told_of_twice_is_named(tmp_path: Path, layout: str) -> None:
    WRITERS[layout](tmp_path, SOME)
    if layout == "coco":
        shutil.copy(tmp_path / "annotations" / "all.json", tmp_path / "annotations" / "again.json")
    else:
        shutil.copy(tmp_path / "Annotations" / "a.xml", tmp_path / "Annotations" / "a (1).xml")
    with pytest.raises(DataError, match=r"a\.png: 2 entries of .* tell of its boxes"):
        find_boxed(tmp_path)


def test_what_a_system_leaves_beside_voc_files_is_none_of_them(tmp_path: Path) -> None:
    WRITERS["voc"](tmp_path, SOME)
    (tmp_path / "Annotations" / "._a.xml").write_bytes(b"\0\5\x16\7")
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_bytes("\ufeffa\r\nc\r\n".encode())
    (sets / "val.txt").write_text("b\n")
    assert _names(*split_boxed(tmp_path, None, seed=0)) == [["a", "c"], ["b"]]


@pytest.mark.parametrize("unnamed", ["data", "val"])
def test_names_of_one_part_hold_for_the_other(tmp_path: Path, unnamed: str) -> None:
    for part in ("data", "val"):
        WRITERS["yolo"](tmp_path / part, SOME)
    (tmp_path / unnamed / "data.yaml").unlink()
    train, val = split_boxed(tmp_path / "data", tmp_path / "val", seed=0)
    assert train.labels == val.labels == LABELS
    assert train.counts() == val.counts() == {"bolt": 2, "nut": 1}


def test_voc_image_sets_are_a_split(tmp_path: Path) -> None:
    WRITERS["voc"](tmp_path, SOME)
    sets = tmp_path / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    (sets / "train.txt").write_text("a\nc\n")
    (sets / "val.txt").write_text("b\n")
    train, val = split_boxed(tmp_path, None, seed=0)
    assert ([p.path.stem for p in train.pictures], [p.path.stem for p in val.pictures]) == (["a", "c"], ["b"])


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train2017", "train"),
        ("instances_val2017", "val"),
        ("valid", "val"),
        ("testing", "test"),
        ("restrained", ""),
        ("intervals", ""),
        ("trainval", ""),
    ],
)
def test_a_part_is_a_word_of_its_own(name: str, part: str) -> None:
    assert part_of(name) == part


def test_what_is_for_testing_is_neither_learned_from_nor_judged_by(tmp_path: Path) -> None:
    WRITERS["yolo"](tmp_path, {"train/a": SOME["a"], "train/b": [], "train/c": SOME["c"], "test/d": SOME["a"]})
    train, val = split_boxed(tmp_path, None, seed=0)
    assert sorted(p.path.stem for p in (*train.pictures, *val.pictures)) == ["a", "b", "c"]


def test_without_a_split_a_seeded_share_is_held_out(boxed: Path) -> None:
    train, val = split_boxed(boxed, None, seed=3)
    again = split_boxed(boxed, None, seed=3)
    assert (len(train), len(val)) == (2, 1)
    assert (train, val) == again
    assert {p.path for p in train.pictures}.isdisjoint(p.path for p in val.pictures)


@pytest.mark.real
def test_real_labels_are_read(shared_data: Path) -> None:
    train, val = split_boxed(shared_data / "coco128", None, seed=0)
    assert (len(train), len(val)) == (28, 33)
    assert train.labels[0] == "person"
    assert sum(train.counts().values()) + sum(val.counts().values()) == 419
