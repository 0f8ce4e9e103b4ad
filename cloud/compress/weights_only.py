"""Variants that store their weights small and compute in float: nothing is lost in speed, hardly anything in accuracy.

onnxruntime brings the weights back to float32 once, when the session loads (for int8 with
`session.disable_quant_qdq`, see models/runner.py; a Cast of a constant is folded anyway).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from cloud.imports.graph import PREFIX
from cloud.lean import lean
from models.durable import write_atomic

_WEIGHTED = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}  # the axis of output channels
_MIN_WEIGHTS = 128  # below, a scale and a node cost more than they save
_CLIPS = np.linspace(0.6, 1.0, 21)

Float32 = npt.NDArray[np.float32]


def store_int8(model: Path, into: Path) -> None:
    """Write the model with its weights in int8, a scale for each output channel, and all arithmetic in float32."""
    _rewrite(model, into, _as_int8)


def store_fp16(model: Path, into: Path) -> None:
    """Write the model with its weights in float16 and all arithmetic in float32."""
    _rewrite(model, into, _as_fp16)


def stored(graph: onnx.GraphProto) -> dict[str, tuple[Float32, int]]:
    """The weights of a graph that are worth storing small, by name, and the axis of their output channels."""
    axes = _weight_axes(graph)
    found = {
        tensor.name: (numpy_helper.to_array(tensor), axes[tensor.name])
        for tensor in graph.initializer
        if tensor.name in axes and tensor.data_type == TensorProto.FLOAT
    }
    return {
        name: (weights, axis)
        for name, (weights, axis) in found.items()
        if weights.size >= _MIN_WEIGHTS and np.isfinite(weights).all()
    }


def rounded(weights: Float32, axis: int) -> tuple[npt.NDArray[np.int8], Float32]:
    """Weights as int8 and a scale by channel along `axis`, with the least squared error: the largest weights are
    clipped where that leaves finer steps to all the others."""
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    largest = np.maximum(np.abs(rows).max(axis=1), 1e-12)
    best = np.full(len(rows), np.inf)
    scales = largest / 127
    for clip in _CLIPS:
        scale = largest * clip / 127
        error = np.square(np.clip(np.rint(rows / scale[:, None]), -127, 127) * scale[:, None] - rows).sum(axis=1)
        scales = np.where(error < best, scale, scales)
        best = np.minimum(error, best)
    scales = scales.astype(np.float32)
    shape = [1] * weights.ndim
    shape[axis] = -1
    return np.clip(np.rint(weights / scales.reshape(shape)), -127, 127).astype(np.int8), scales


def _rewrite(
    model: Path, into: Path, store: Callable[[Float32, str, int], tuple[list[TensorProto], onnx.NodeProto]]
) -> None:
    proto = onnx.load(str(model))
    graph = proto.graph
    small = stored(graph)
    kept: list[TensorProto] = []
    added: list[onnx.NodeProto] = []
    for tensor in graph.initializer:
        if tensor.name not in small:
            kept.append(tensor)
            continue
        constants, node = store(small[tensor.name][0], tensor.name, small[tensor.name][1])
        kept += constants
        added.append(node)
    nodes = [*added, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    write_atomic(into, lean(proto).SerializeToString())


def _weight_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """The axis of output channels by name of weights; those that two nodes read along different axes are left out."""
    found: dict[str, set[int]] = {}
    for node in graph.node:
        if node.op_type not in _WEIGHTED or node.name.startswith(PREFIX):
            continue
        axis = _WEIGHTED[node.op_type]
        if node.op_type == "Gemm" and any(item.name == "transB" and item.i for item in node.attribute):
            axis = 0
        found.setdefault(node.input[1], set()).add(axis)
    dims = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    return {
        name: axes.copy().pop()
        for name, axes in found.items()
        if len(axes) == 1 and name in dims and dims[name] > max(axes)
    }


def _as_int8(weights: Float32, name: str, axis: int) -> tuple[list[TensorProto], onnx.NodeProto]:
    values, scales = rounded(weights, axis)
    constants = [numpy_helper.from_array(values, f"{name}/int8"), numpy_helper.from_array(scales, f"{name}/scale")]
    node = helper.make_node(
        "DequantizeLinear", [tensor.name for tensor in constants], [name], name=f"{name}/dequantize", axis=axis
    )
    return constants, node


def _as_fp16(weights: Float32, name: str, axis: int) -> tuple[list[TensorProto], onnx.NodeProto]:
    limit = float(np.finfo(np.float16).max)
    half = numpy_helper.from_array(np.clip(weights, -limit, limit).astype(np.float16), f"{name}/fp16")
    return [half], helper.make_node("Cast", [half.name], [name], name=f"{name}/cast", to=TensorProto.FLOAT)
