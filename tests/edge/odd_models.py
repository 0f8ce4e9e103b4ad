"""Colour models with a fault each, and the pictures that bring it out."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, load_model, numpy_helper, save_model

from cloud.run_folder import add_variant
from edge.active_model import ActiveModel
from edge.loading import LoadedModel
from models.detections import Detections, UInt8
from models.errors import ModelError
from models.golden import record_golden, write_golden
from models.runner import open_runner

BLUE = np.full((48, 64, 3), (200, 0, 0), np.uint8)
WHITE = np.full((48, 64, 3), 255, np.uint8)


def see(active: ActiveModel, image: UInt8) -> tuple[LoadedModel, Detections]:
    """What the pipeline does with a frame: the current model, or the one that steps in for it."""
    model = active.current
    assert model is not None
    while True:
        try:
            return model, model.runner.run(image)
        except ModelError as exc:
            model = active.failed(model, exc)


def run_of(colour_run: Path, into: Path, make_graph: Callable[[Path, Path], object]) -> Path:
    """A copy of the colour model's run with another graph, which `make_graph(its model.onnx, the new one)` writes, and
    with golden answers of its own."""
    shutil.copytree(colour_run, into)
    make_graph(colour_run / "model.onnx", into / "model.onnx")
    manifest = add_variant(into, "fp32", "model.onnx")
    frames = [np.full((8, 8, 3), np.eye(3)[channel] * 200, np.uint8) for channel in range(3)]
    write_golden(into, record_golden(frames, {"fp32": open_runner(into, manifest)}))
    return into


def moody_graph(model: Path, into: Path) -> None:
    """Answers golden frames well, but raises on a picture that is all white."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("ReduceMax", ["means"], ["brightest"], keepdims=0),
            helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
            # only an all-255 picture points outside the table of 255 rows
            helper.make_node("Gather", ["table", "index"], ["nothing"], axis=0),
            helper.make_node("Add", ["means", "nothing"], ["same"]),
            helper.make_node("Softmax", ["same"], ["scores"], axis=1),
        ],
        "moody",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 8, 8, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor("table", TensorProto.FLOAT, [255, 1], [0.0] * 255)],
    )
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10), str(into))


def slow_copy(model: Path, into: Path) -> None:
    """The same answers after a few million multiplications that count for nothing."""
    proto = load_model(str(model))
    graph = proto.graph
    size = 512
    weights = np.random.default_rng(0).normal(0, 0.01, (size, size)).astype(np.float32)
    rows = np.ones((256, 3), np.float32)
    graph.initializer.extend(
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.ones((3, size), np.float32), "widen"),
            numpy_helper.from_array(rows, "rows"),
            numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        ]
    )
    answer = graph.node[-1]
    means, answer.input[0] = answer.input[0], "means_and_nothing"
    nodes = [
        helper.make_node("Mul", [means, "rows"], ["many"]),
        helper.make_node("MatMul", ["many", "widen"], ["wide"]),
        helper.make_node("MatMul", ["wide", "weights"], ["once"]),
        helper.make_node("MatMul", ["once", "weights"], ["twice"]),
        helper.make_node("ReduceMean", ["twice"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", [means, "nothing"], ["means_and_nothing"]),
    ]
    for node in nodes:
        graph.node.insert(len(graph.node) - 1, node)
    save_model(proto, str(into))
