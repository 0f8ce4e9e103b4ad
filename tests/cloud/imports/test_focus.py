"""A Focus layer is found, and done on bytes instead."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cloud.imports.adapted import prove
from cloud.imports.classifier import classifier
from cloud.imports.preprocess import PRESETS
from cloud.imports.source import read_source
from models.manifest import Manifest
from models.runner import Runner

CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))  # row, column
HEIGHT, WIDTH = 8, 12


def network(path: Path, *, corners: tuple[tuple[int, int], ...] = CORNERS, looked_at_twice: bool = False) -> Path:
    """Slices by rows, then by columns, as PyTorch exports it; a convolution and a mean behind them."""
    rng = np.random.default_rng(5)
    weights = [numpy_helper.from_array(rng.normal(0, 0.01, (5, 12, 3, 3)).astype(np.float32), "kernel")]
    for name, number in (("zero", 0), ("one", 1), ("two", 2), ("three", 3), ("end", 2**31 - 1)):
        weights.append(numpy_helper.from_array(np.array([number], np.int64), name))
    nodes = []
    for index, (row, column) in enumerate(corners):
        first, then = (("zero", "one")[start] for start in (row, column))
        nodes.append(helper.make_node("Slice", ["x", first, "end", "two", "two"], [f"rows{index}"]))
        nodes.append(helper.make_node("Slice", [f"rows{index}", then, "end", "three", "two"], [f"part{index}"]))
    nodes.append(helper.make_node("Concat", [f"part{index}" for index in range(4)], ["focused"], axis=1))
    nodes.append(helper.make_node("Conv", ["focused", "kernel"], ["seen"], pads=[1, 1, 1, 1]))
    nodes.append(helper.make_node("GlobalAveragePool", ["seen"], ["mean" if looked_at_twice else "y"]))
    if looked_at_twice:
        nodes.append(helper.make_node("ReduceMean", ["x"], ["all"], axes=[1, 2, 3], keepdims=1))
        nodes.append(helper.make_node("Add", ["mean", "all"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "focus",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5, 1, 1])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), str(path))
    return path


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("corners", "looked_at_twice", "slices"),
    [
        (CORNERS, False, 0),
        (CORNERS, True, 8),  # the picture itself is wanted too
        (CORNERS[::-1], False, 8),  # another order of the corners
        (((0, 0), (0, 0), (0, 1), (1, 1)), False, 8),
    ],
)
def test_a_focus_layer_costs_no_slices_and_changes_nothing(
    tmp_path: Path, preset: str, corners: tuple[tuple[int, int], ...], looked_at_twice: bool, slices: int
) -> None:
    source = read_source(network(tmp_path / "net.onnx", corners=corners, looked_at_twice=looked_at_twice))
    adapted = classifier(source, PRESETS[preset])
    assert [node.op_type for node in adapted.model.graph.node].count("Slice") == slices
    runner = Runner(adapted.model.SerializeToString(), Manifest("m", "classification", tuple("abcde"), adapted.input))
    frames = list(np.random.default_rng(6).integers(0, 256, (3, HEIGHT, WIDTH, 3)).astype(np.uint8))
    assert prove(adapted, source, runner, frames) == 3
