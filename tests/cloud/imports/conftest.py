"""Foreign models made for the tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def yolox_file(tmp_path: Path) -> Callable[..., Path]:
    """Makes a YOLOX-like file that answers a given table (cells, 5 + classes) to every picture; opset 11, and weights
    among the inputs, as old exporters wrote them. 64 x 64 pixels have 8 * 8 + 4 * 4 + 2 * 2 = 84 cells."""

    def make(table: npt.ArrayLike, *, side: int = 64, batch: int | str = 1, name: str = "foreign.onnx") -> Path:
        answer = np.asarray(table, np.float32)[None]
        nodes = [
            helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "nothing"], ["none"]),
            helper.make_node("Unsqueeze", ["none"], ["column"], axes=[1, 2]),
            helper.make_node("Add", ["table", "column"], ["output"]),
        ]
        weights = [
            numpy_helper.from_array(answer, "table"),
            numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
        ]
        inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, side, side])]
        inputs += [helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims) for weight in weights]
        outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(answer.shape))]
        graph = helper.make_graph(nodes, "foreign", inputs, outputs, weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
        path = tmp_path / name
        onnx.save_model(model, str(path))
        return path

    return make
