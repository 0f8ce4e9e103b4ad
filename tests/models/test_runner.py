"""A canonical model is run as it was promised, and one that breaks its promise is told apart from an empty scene."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from models.detections import UInt8
from models.errors import ModelError, PackageError
from models.manifest import InputSpec, Manifest, read_manifest
from models.runner import Runner, open_runner

SIDE = 16
BLACK: UInt8 = np.zeros((SIDE, SIDE, 3), np.uint8)
LABELS = ("nut", "bolt", "ring")


def model_of(nodes: list[NodeProto], outputs: Sequence[tuple[str, int, list[int | str]]]) -> bytes:
    """A graph with the canonical input."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(*output) for output in outputs],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10)
    return model.SerializeToString()


def detector(boxes: Any, scores: Any, classes: Any) -> bytes:
    """One that always answers the same."""
    table = np.asarray(boxes, np.float32)
    values: dict[str, npt.NDArray[Any]] = {
        "boxes": table if table.ndim == 2 else table.reshape(-1, 4),
        "scores": np.asarray(scores, np.float32),
        "classes": np.asarray(classes, np.int64),
    }
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
        for name, value in values.items()
    ]
    kinds = {"boxes": TensorProto.FLOAT, "scores": TensorProto.FLOAT, "classes": TensorProto.INT64}
    return model_of(nodes, [(name, kinds[name], list(value.shape)) for name, value in values.items()])


def classifier(scores: Any) -> bytes:
    value = np.asarray(scores, np.float32)[None]
    node = helper.make_node("Constant", [], ["scores"], value=numpy_helper.from_array(value, "scores"))
    return model_of([node], [("scores", TensorProto.FLOAT, list(value.shape))])


DETECTION = Manifest("m", "detection", LABELS, InputSpec(SIDE, SIDE, "letterbox"), threshold=0.25)
CLASSIFICATION = Manifest("m", "classification", LABELS, InputSpec(SIDE, SIDE), threshold=0.25)


def test_what_scores_above_the_threshold_is_seen_best_first() -> None:
    runner = Runner(detector([[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3]], [0.25, 0.5, 0.9], [0, 1, 2]), DETECTION)
    found = runner.run_fitted(BLACK)
    assert found.class_ids.tolist() == [2, 1]
    assert found.xyxy.tolist() == [[2, 2, 3, 3], [1, 1, 2, 2]]
    assert runner.candidates(BLACK)[1].tolist() == pytest.approx([0.25, 0.5, 0.9])


def test_boxes_are_in_pixels_of_the_camera_picture_and_inside_it() -> None:
    runner = Runner(detector([[2, 2, 8, 4], [-5, -5, 99, 99]], [0.9, 0.8], [0, 1]), DETECTION)
    found = runner.run(np.zeros((40, 80, 3), np.uint8))  # 5 times the input's width
    assert found.xyxy.tolist() == [[10, 10, 40, 20], [0, 0, 80, 40]]


def test_nothing_seen_is_an_empty_answer() -> None:
    for answer in (detector([], [], []), detector([[0, 0, 1, 1]], [0.2], [0])):
        assert len(Runner(answer, DETECTION).run(BLACK)) == 0
    assert len(Runner(classifier([0.2, 0.2, 0.2]), CLASSIFICATION).run(BLACK)) == 0


def test_a_classifier_boxes_the_whole_picture() -> None:
    found = Runner(classifier([0.1, 0.7, 0.2]), CLASSIFICATION).run(np.zeros((40, 80, 3), np.uint8))
    assert (found.class_ids.tolist(), found.xyxy.tolist()) == ([1], [[0, 0, 80, 40]])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (detector([[0, 0, 1, 1]], [np.nan], [0]), "scores that are not finite"),
        (detector([[0, 0, 1, 1], [0, 0, 1, 1]], [0.9, np.inf], [0, 0]), "scores that are not finite"),
        (detector([[0, 0, np.nan, 1]], [0.9], [0]), "boxes that are not finite"),
        (detector([[0, 0, 1, 1]], [0.9], [3]), r"classes 3\.\.3, but its manifest names 3 labels"),
        (detector([[0, 0, 1, 1]], [0.9], [-1]), r"classes -1\.\.-1"),
        (detector([[0, 0, 1, 1]], [0.9, 0.8], [0, 0]), r"boxes \(1, 4\), scores \(2,\)"),
        (detector([[0, 0, 1]], [0.9], [0]), r"boxes \(1, 3\)"),
        (detector([[0, 0, 1, 1]], [[0.9]], [0]), r"scores \(1, 1\)"),
        (detector([[0, 0, 1, 1]], 0.9, [0]), r"scores \(\)"),
    ],
)
def test_a_broken_detector_is_not_taken_for_an_empty_scene(answer: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Runner(answer, DETECTION).run(BLACK)


def test_an_unlikely_box_may_overflow() -> None:
    # YOLO-like decoding has exponents; what is below the threshold is nobody's concern
    found = Runner(detector([[0, 0, np.inf, 1], [0, 0, 1, 1]], [0.01, 0.9], [0, 1]), DETECTION).run(BLACK)
    assert found.class_ids.tolist() == [1]


def test_a_broken_classifier_is_not_taken_for_an_empty_scene() -> None:
    with pytest.raises(ModelError, match="scores that are not finite"):
        Runner(classifier([0.1, np.nan, 0.2]), CLASSIFICATION).run(BLACK)


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08\x0a"])
def test_what_is_no_model_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.onnx is not an ONNX model that onnxruntime can load"):
        Runner(path, DETECTION)


def test_a_model_with_another_input_is_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["scores"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10)
    with pytest.raises(ModelError, match="is not canonical: inputs are"):
        Runner(model.SerializeToString(), CLASSIFICATION)


def test_a_model_of_another_task_or_size_is_refused() -> None:
    with pytest.raises(ModelError, match="is not a canonical detection model"):
        Runner(classifier([0.1, 0.2, 0.7]), DETECTION)
    with pytest.raises(ModelError, match=r"answers scores of shape \[1, 2\], but its manifest names 3 labels"):
        Runner(classifier([0.3, 0.7]), CLASSIFICATION)
    with pytest.raises(ModelError, match="is not canonical"):
        Runner(classifier([0.1, 0.2, 0.7]), Manifest("m", "classification", LABELS, InputSpec(SIDE, 2 * SIDE)))


def test_a_variant_is_opened_by_its_name(colour_run: Path) -> None:
    manifest = read_manifest(colour_run)
    assert open_runner(colour_run, manifest).threshold == 0.25
    with pytest.raises(PackageError, match="no variant 'int8'"):
        open_runner(colour_run, manifest, "int8")
    (colour_run / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx"):
        open_runner(colour_run, manifest)


def test_a_cropped_picture_is_run_as_any_other(colour_run: Path) -> None:
    # a crop is a view with gaps between its rows
    manifest = Manifest("colour", "classification", ("blue", "green", "red"), InputSpec(8, 8, "crop"))
    picture: UInt8 = np.zeros((8, 24, 3), np.uint8)
    picture[:, :8, 0] = picture[:, 8:16, 1] = picture[:, 16:, 2] = 250
    assert Runner(colour_run / "model.onnx", manifest).run(picture).class_ids.tolist() == [1]


def test_onnxruntime_sends_no_telemetry() -> None:
    # it is on by default, and a call after the import is too late
    code = "import os, models.runner; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
