"""A foreign file becomes a run folder, or one line that says why not."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper

from cloud.average_precision import average_precision
from cloud.boxes.boxed import with_labels
from cloud.boxes.find import find_boxed
from cloud.image_folder import read_picture
from cloud.imports.adapted import prove
from cloud.imports.bring_in import Imported, import_model
from cloud.imports.golden_frames import drawn_pictures
from cloud.imports.labels import read_labels
from cloud.imports.source import read_source
from cloud.imports.yolox import yolox
from models.detections import Detections
from models.errors import DataError, ModelError
from models.fitting import fit
from models.golden import Golden, read_golden, replay
from models.manifest import InputSpec, Manifest, read_manifest
from models.runner import Runner, open_runner
from tidegate import main


@pytest.fixture(scope="session")
def coco(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Imported, Path]:
    """yolox_nano as a new user imports it, without pictures; and its run folder."""
    file = shared_data / "models" / "yolox_nano.onnx"
    names = read_labels(shared_data / "models" / "coco.names")
    out = tmp_path_factory.mktemp("runs") / "coco"
    return import_model(file, adapter="yolox", labels=names, name="coco", out=out), out


@pytest.fixture
def foreign(yolox_file: Callable[..., Path]) -> Path:
    """A file that sees one thing of class 1 in every picture."""
    table = np.zeros((84, 7))
    table[20] = (0.5, 0.5, 1, 1, 0.9, 0, 1)
    return yolox_file(table)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("nut\nbolt\n")
    return path


def command(file: Path, labels: Path, out: Path, *more: str) -> list[str]:
    return ["import", str(file), "--adapter", "yolox", "--labels", str(labels), "--name", "m", "--out", str(out), *more]


def test_an_imported_run_folder_is_complete(foreign: Path, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "m"
    assert main(command(foreign, labels, out, "--threshold", "0.3")) == 0
    manifest = read_manifest(out)
    assert (manifest.labels, manifest.threshold, manifest.chosen) == (("nut", "bolt"), 0.3, "fp32")
    assert manifest.lineage["import"]["file"] == "foreign.onnx"
    runner = open_runner(out, manifest)
    golden = read_golden(out)
    assert replay(golden, "fp32", runner) == []
    assert [answers.class_ids.tolist() for answers in golden.answers["fp32"].values()] == [[1]] * len(golden.frames)
    assert json.loads((out / "report.json").read_bytes())["import"]["proof"]["drawn"] is True
    assert [path.name for path in out.parent.iterdir()] == ["m"]


def test_golden_frames_come_from_the_pictures_given(foreign: Path, labels: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for shade in range(3):
        cv2.imwrite(str(tmp_path / "pictures" / f"{shade}.png"), np.full((32, 64, 3), shade, np.uint8))
    assert main(command(foreign, labels, tmp_path / "m", "--golden", str(tmp_path / "pictures"))) == 0
    frames = read_golden(tmp_path / "m").frames
    assert sorted(int(frame[0, 0, 0]) for frame in frames.values()) == [0, 1, 2]


def test_the_json_says_what_was_proven(
    foreign: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(foreign, labels, tmp_path / "m", "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["proof"] == {"pictures": 100, "detections_compared": 100}
    assert said["input"] == {"height": 64, "width": 64, "fit": "letterbox", "interpolation": "linear"}


def test_inspection_says_what_is_inside(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--inspect", str(foreign), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["opset"], said["inputs"]) == (11, ["'images' float 1x3x64x64"])
    assert [name for name, reason in said["adapters"].items() if not reason] == ["yolox"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not an ONNX file"),
        (b"GIF89a, surely no protobuf", "is not an ONNX file"),
        (b"\x08\x07", "is not an ONNX file"),
        (bytes(range(256)) * 40, "is not an ONNX file"),
    ],
)
def test_what_is_no_onnx_file_leaves_nothing(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, reason: str
) -> None:
    file = tmp_path / "foreign.onnx"
    file.write_bytes(content)
    refuse(command(file, labels, tmp_path / "out" / "m"), capsys, reason, tmp_path)


def test_a_truncated_file_leaves_nothing(
    foreign: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign.write_bytes(foreign.read_bytes()[:-100])
    refuse(command(foreign, labels, tmp_path / "out" / "m"), capsys, "is not an ONNX file", tmp_path)


def test_a_file_that_is_not_there_is_named(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "gone.onnx cannot be read: No such file or directory"
    refuse(command(tmp_path / "gone.onnx", labels, tmp_path / "out" / "m"), capsys, reason, tmp_path)


def test_weights_outside_the_file_are_never_read(
    foreign: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(str(foreign))
    external_data_helper.convert_model_to_external_data(model, location="secret.bin", size_threshold=0)
    onnx.save_model(model, str(foreign))
    refuse(command(foreign, labels, tmp_path / "out" / "m"), capsys, "keeps weights in other files", tmp_path)


def test_an_operator_that_nobody_knows_is_refused(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 64, 64])
    graph = helper.make_graph([helper.make_node("Magic", ["x"], ["y"], domain="acme")], "g", [value], [out])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("acme", 1)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(tmp_path / "magic.onnx"))
    refuse(command(tmp_path / "magic.onnx", labels, tmp_path / "out" / "m"), capsys, "'acme:Magic'", tmp_path)


def test_labels_that_do_not_count_up_leave_nothing(
    foreign: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.write_text("nut\n")
    reason = "knows 2 classes, but there are 1 labels"
    refuse(command(foreign, labels, tmp_path / "out" / "m"), capsys, reason, tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"nut\n\xff\xfe\n", "are not UTF-8 text"),
        (b"", "labels.txt:1: expected a class name, got ''"),
        (b"nut\n\nbolt\n", "labels.txt:2: expected a class name, got ''"),
        (b"nut\nbo\x07lt\n", r"labels.txt:2: expected a class name, got 'bo\x07lt'"),
    ],
)
def test_unreadable_labels_leave_nothing(
    foreign: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, reason: str
) -> None:
    labels.write_bytes(content)
    refuse(command(foreign, labels, tmp_path / "out" / "m"), capsys, reason, tmp_path)


def test_labels_from_windows_are_read(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfnut\r\nbolt\r\n\r\n")
    assert read_labels(tmp_path / "labels.txt") == ("nut", "bolt")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_labels(tmp_path)


@pytest.mark.parametrize(("flag", "value"), [("--name", "No Name"), ("--threshold", "7"), ("--threshold", "nan")])
def test_a_wrong_setting_leaves_nothing(
    foreign: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    refuse(command(foreign, labels, tmp_path / "out" / "m", flag, value), capsys, value, tmp_path, code=2)


def test_a_forgotten_setting_is_named(foreign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(foreign), "--adapter", "yolox"]) == 2
    assert "--labels is missing" in capsys.readouterr().err


def test_a_folder_in_use_is_left_alone(foreign: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(foreign, labels, labels.parent)) == 2
    assert "is in use and is no run folder" in capsys.readouterr().err
    assert sorted(path.name for path in labels.parent.iterdir()) == ["foreign.onnx", "labels.txt"]


def test_golden_pictures_that_are_none_leave_nothing(
    foreign: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "pictures"
    empty.mkdir()
    wanted = command(foreign, labels, tmp_path / "out" / "m", "--golden", str(empty))
    refuse(wanted, capsys, "holds no pictures", tmp_path)
    (empty / "broken.jpg").write_bytes(b"no JPEG")
    refuse(wanted, capsys, "broken.jpg is not a picture", tmp_path)


def test_a_graph_that_is_not_the_documented_model_is_refused(yolox_file: Callable[..., Path]) -> None:
    rng = np.random.default_rng(1)
    one, other = (read_source(yolox_file(rng.uniform(0, 1, (84, 7)), name=name)) for name in ("a.onnx", "b.onnx"))
    adapted = yolox(one)

    runner = Runner(adapted.model.SerializeToString(), Manifest("m", "detection", ("a", "b"), adapted.input))
    frame = np.zeros((64, 64, 3), np.uint8)
    assert prove(adapted, one, runner, [frame]) > 0
    with pytest.raises(ModelError, match="frame 0"):
        prove(adapted, other, runner, [frame])


def test_drawn_pictures_are_always_the_same() -> None:
    spec = InputSpec(64, 96)
    first, again = (list(drawn_pictures(spec, count=5)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert {picture.shape for picture in first} == {(64, 96, 3)}


@pytest.mark.real
@pytest.mark.soak  # tests/cloud/test_evaluate.py asks for the same precision by the command
def test_yolox_nano_keeps_its_precision(shared_data: Path, coco: tuple[Imported, Path]) -> None:
    manifest = coco[0].manifest
    runner = open_runner(coco[1], manifest)
    truths, found, frames = [], [], []
    for boxed in with_labels(find_boxed(shared_data / "coco128"), manifest.labels).pictures:
        picture = read_picture(boxed.path)
        truth = boxed.truth(picture.shape[1], picture.shape[0])
        fitted, placement = fit(picture, manifest.input)
        boxes, scores, classes = runner.candidates(fitted)
        truths.append(truth)
        found.append(Detections.of(placement.to_original(boxes), scores, classes))
        frames.append(fitted)
    precision = average_precision(truths, found)
    assert len(frames) == 61
    assert precision.ap50_95 >= 0.371
    assert precision.ap50 >= 0.537

    video = cv2.VideoCapture(str(shared_data / "videos" / "bottle-detection.mp4"))
    for _ in range(40):
        read, image = video.read()
        assert read
        frames.append(fit(np.asarray(image, np.uint8), manifest.input)[0])
    video.release()
    source = read_source(shared_data / "models" / "yolox_nano.onnx")
    assert prove(yolox(source), source, runner, frames[::3]) > 1000


@pytest.mark.real
def test_drawn_golden_frames_tell_a_model_that_sees_wrong_colours(coco: tuple[Imported, Path]) -> None:
    imported, run = coco
    assert imported.sure >= 6, "golden frames must hold something to be wrong about"
    runner = open_runner(run, imported.manifest)
    golden = read_golden(run)
    assert replay(golden, "fp32", runner) == []
    red_for_blue = Golden({name: frame[..., ::-1] for name, frame in golden.frames.items()}, golden.answers)
    assert len(replay(red_for_blue, "fp32", runner)) >= 3


@pytest.mark.real
def test_pictures_make_golden_frames_with_many_classes(shared_data: Path, tmp_path: Path) -> None:
    names = read_labels(shared_data / "models" / "coco.names")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for picture in sorted((shared_data / "coco128" / "images").rglob("*.jpg"))[:16]:
        (pictures / picture.name).symlink_to(picture)
    imported = import_model(
        shared_data / "models" / "yolox_nano.onnx",
        adapter="yolox",
        labels=names,
        name="coco",
        out=tmp_path / "coco",
        pictures=pictures,
    )
    assert imported.frames == 16
    answers = read_golden(tmp_path / "coco").answers["fp32"]
    assert len({class_id for found in answers.values() for class_id in found.class_ids.tolist()}) >= 10


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("FastestDet", "output '758' is 1x85x22x22, expected 1x2541x(5 + classes)"),
        ("squeezenet1.1_fp32", "output 'softmaxout_1' is 1x1000x1x1, expected 1x1029x(5 + classes)"),
        ("SqueezeNet_fp16", "output 'softmaxout_1' is 1x1000x1x1, expected 1x1029x(5 + classes)"),
        ("version-RFB-320", "input is 'input' float 1x3x240x320"),
        ("yolox_nano_nms", "outputs are 'detection_boxes' float"),
    ],
)
def test_other_models_do_not_fit_the_adapter(
    shared_data: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    file = shared_data / "models" / f"{name}.onnx"
    refuse(command(file, labels, tmp_path / "out" / "m"), capsys, reason, tmp_path)


def refuse(
    arguments: list[str], capsys: pytest.CaptureFixture[str], reason: str, tmp_path: Path, *, code: int = 1
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.strip().splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before, "something was left"
