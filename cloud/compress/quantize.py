"""Full static int8: activations and weights, in the network and nowhere else. onnxruntime.quantization lives here."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported; see models/runner.py

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime.quantization as ort_quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from cloud.quiet import quiet
from models.detections import UInt8
from models.errors import ModelError
from models.runner import INPUT

_MIN_OPSET = 13  # DequantizeLinear has no axis before, and per-channel files do not load
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_FEW_CHANNELS = 3


def quantize(model: Path, into: Path, calibration: Iterable[UInt8]) -> None:
    """Write the int8 variant of a canonical model: QDQ, per channel, ranges from fitted pictures (H, W, 3).

    Preprocessing and what comes after the network (softmax; decoding and NMS) stay in float. ModelError where
    onnxruntime cannot do it.
    """
    with tempfile.TemporaryDirectory() as scratch, quiet(""):  # it logs advice to the root logger
        prepared = Path(scratch) / "prepared.onnx"
        try:
            quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
            graph = onnx.load(str(prepared))
            _check_opset(graph, model)
            ort_quantization.quantize_static(
                str(prepared),
                str(into),
                _Pictures(calibration),
                quant_format=ort_quantization.QuantFormat.QDQ,
                activation_type=ort_quantization.QuantType.QUInt8,
                weight_type=ort_quantization.QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=sorted(float_part(graph.graph)),
            )
        except ModelError:
            raise
        except Exception as exc:  # the library raises what comes to its mind
            reason = (str(exc).strip() or type(exc).__name__).splitlines()[0]
            raise ModelError(f"{model} could not be quantised: {reason}") from exc


def float_part(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that int8 must not touch: all that is not between two nodes with weights, or such a node.

    A convolution of the bare picture is left out too: with three channels int8 spends its time on rearranging them
    (233 us against 65 us in float for 3x3 at 96x128), and it is what rounding harms most.
    """
    made_by = {name: node.name for node in graph.node for name in node.output}
    feeds: dict[str, set[str]] = {node.name: set() for node in graph.node}
    fed_by: dict[str, set[str]] = {node.name: set() for node in graph.node}
    for node in graph.node:
        for source in {made_by[name] for name in node.input if name in made_by}:
            feeds[source].add(node.name)
            fed_by[node.name].add(source)
    weighted = {node.name for node in graph.node if node.op_type in _WEIGHTED}
    network = (_reach(weighted, feeds) & _reach(weighted, fed_by)) | weighted
    return {node.name for node in graph.node} - network | _first_convolutions(graph)


def _first_convolutions(graph: onnx.GraphProto) -> set[str]:
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    return {
        node.name
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in shapes and _inputs(node, shapes[node.input[1]]) <= _FEW_CHANNELS
    }


def _inputs(node: onnx.NodeProto, weight_shape: Sequence[int]) -> int:
    """Channels that a convolution reads; its weights are (out, in / groups, height, width)."""
    groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
    return int(weight_shape[1] * groups)


def _reach(start: set[str], edges: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    frontier = set(start)
    while frontier:
        frontier = set().union(*(edges[name] for name in frontier)) - reached
        reached |= frontier
    return reached


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if version < _MIN_OPSET:
        raise ModelError(
            f"{path} is of opset {version}; int8 by channel needs {_MIN_OPSET} or later: import it again with "
            f"`tidegate import`, which raises it"
        )


class _Pictures(ort_quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """The library pulls pictures from here until there are none."""

    def __init__(self, pictures: Iterable[UInt8]) -> None:
        self._pictures: Iterator[UInt8] = iter(pictures)

    def get_next(self) -> dict[str, UInt8] | None:
        picture = next(self._pictures, None)
        return None if picture is None else {INPUT: np.ascontiguousarray(picture[None])}
