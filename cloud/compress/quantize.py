"""Full static int8: activations and weights, in the network and nowhere else. onnxruntime.quantization lives here."""

import io
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported; see models/runner.py

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnx.utils
import onnxruntime.quantization as ort_quantization
from onnx import version_converter
from onnxruntime.quantization.shape_inference import quant_pre_process

from cloud.imports.graph import PREFIX
from cloud.lean import lean
from cloud.quiet import quiet
from models.detections import UInt8
from models.errors import ModelError
from models.runner import INPUT

Calibration = Literal["min-max", "entropy", "percentile"]
_METHODS = {
    "min-max": ort_quantization.CalibrationMethod.MinMax,
    "entropy": ort_quantization.CalibrationMethod.Entropy,
    "percentile": ort_quantization.CalibrationMethod.Percentile,
}
_MIN_OPSET = 13  # DequantizeLinear has no axis before, and per-channel files do not load
_OPSET = 18
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
FEW_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Prepared:
    """A canonical model ready for int8: `path` is its pre-processed graph in the folder `scratch`; `floating` the
    nodes that int8 must not touch, `weighted` those with weights that it may, in the graph's order; `ends` the values
    that the network hands to what comes after it."""

    path: Path
    scratch: Path
    floating: frozenset[str]
    weighted: tuple[str, ...]
    ends: tuple[str, ...]


def prepare(model: Path, scratch: Path) -> Prepared:
    """Bring a canonical model to opset 13 or later, fuse what can be fused, and find the network in it."""
    path = scratch / "prepared.onnx"
    with _told(model):
        graph = onnx.load(str(model))
        if _opset(graph) < _MIN_OPSET:
            graph = version_converter.convert_version(graph, _OPSET)
        raised = scratch / "raised.onnx"
        onnx.save(graph, str(raised))
        quant_pre_process(str(raised), str(path), skip_symbolic_shape=True)
        graph = onnx.load(str(path))
    floating = float_part(graph.graph)
    weighted = tuple(node.name for node in graph.graph.node if _is_weighted(node) and node.name not in floating)
    return Prepared(path, scratch, frozenset(floating), weighted, _ends(graph.graph, floating))


def quantize(
    prepared: Prepared,
    into: Path,
    calibration: Iterable[UInt8],
    *,
    method: Calibration = "min-max",
    floating: Collection[str] = (),
    only: Sequence[str] | None = None,
) -> None:
    """Write the int8 variant: QDQ, per channel, ranges from fitted pictures (H, W, 3); they are looked at once for
    each `method`, and remembered in the scratch folder.

    Preprocessing and what comes after the network (softmax; decoding and NMS) stay in float, and so do the nodes
    `floating` with their activations; or int8 are `only` the nodes named. ModelError where onnxruntime cannot do it.
    """
    ranges = prepared.scratch / f"{method}.json"
    with _told(into):
        if not ranges.exists():
            # of the network alone: what follows it has shapes that differ by picture, which histograms can't take
            network = prepared.scratch / "network.onnx"
            onnx.utils.extract_model(str(prepared.path), str(network), [INPUT], list(prepared.ends))
            _static(network, prepared.scratch / "ranged.onnx", ranges, method, _Pictures(calibration))
        exclude = sorted({*prepared.floating, *_with_followers(prepared, floating)})
        _static(prepared.path, into, ranges, method, None, exclude=exclude, only=only)
        onnx.save(lean(onnx.load(str(into))), str(into))


def _static(
    model: Path,
    into: Path,
    ranges: Path,
    method: Calibration,
    pictures: "_Pictures | None",
    *,
    exclude: Sequence[str] = (),
    only: Sequence[str] | None = None,
) -> None:
    ort_quantization.quantize_static(
        str(model),
        str(into),
        pictures,
        quant_format=ort_quantization.QuantFormat.QDQ,
        activation_type=ort_quantization.QuantType.QUInt8,
        weight_type=ort_quantization.QuantType.QInt8,
        per_channel=True,
        calibrate_method=_METHODS[method],
        nodes_to_quantize=None if only is None else list(only),
        nodes_to_exclude=list(exclude),
        extra_options={"CalibPercentile": 99.99} if method == "percentile" else {},
        calibration_cache_path=ranges,
    )


def float_part(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that int8 must not touch: all that is not between two nodes with weights, or such a node.

    A convolution of the bare picture is left out too: with three channels int8 spends its time on rearranging them
    (233 us against 65 us in float for 3x3 at 96x128), and it is what rounding harms most.
    """
    feeds, fed_by = _edges(graph)
    weighted = {node.name for node in graph.node if _is_weighted(node)}
    network = (_reach(weighted, feeds) & _reach(weighted, fed_by)) | weighted
    return {node.name for node in graph.node} - network | _first_convolutions(graph)


def _is_weighted(node: onnx.NodeProto) -> bool:
    """What is canonical/ has no weights in this sense: it was not learned, and is not to be rounded."""
    return node.op_type in _WEIGHTED and not node.name.startswith(PREFIX)


def _with_followers(prepared: Prepared, floating: Collection[str]) -> set[str]:
    """`floating` and what only computes on their results (an activation): between them nothing is rounded."""
    graph = onnx.load(str(prepared.path)).graph
    made_by = {name: node.name for node in graph.node for name in node.output}
    found = set(floating)
    for node in graph.node:  # sorted: what feeds a node comes before it
        sources = {made_by[name] for name in node.input if name in made_by}
        if not _is_weighted(node) and sources and sources <= found:
            found.add(node.name)
    return found


def _ends(graph: onnx.GraphProto, floating: set[str]) -> tuple[str, ...]:
    made_inside = {name for node in graph.node if node.name not in floating for name in node.output}
    read_outside = {name for node in graph.node if node.name in floating for name in node.input}
    answers = {value.name for value in graph.output}
    return tuple(sorted(made_inside & (read_outside | answers)))


def _edges(graph: onnx.GraphProto) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    made_by = {name: node.name for node in graph.node for name in node.output}
    feeds: dict[str, set[str]] = {node.name: set() for node in graph.node}
    fed_by: dict[str, set[str]] = {node.name: set() for node in graph.node}
    for node in graph.node:
        for source in {made_by[name] for name in node.input if name in made_by}:
            feeds[source].add(node.name)
            fed_by[node.name].add(source)
    return feeds, fed_by


def _first_convolutions(graph: onnx.GraphProto) -> set[str]:
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    return {
        node.name
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in shapes and _inputs(node, shapes[node.input[1]]) <= FEW_CHANNELS
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


def _opset(model: onnx.ModelProto) -> int:
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


@contextmanager
def _told(model: Path) -> Iterator[None]:
    """The library's troubles as ours, and its advice to the root logger kept from our user."""
    with quiet(""), redirect_stdout(io.StringIO()):
        try:
            yield
        except ModelError:
            raise
        except Exception as exc:  # the library raises what comes to its mind
            reason = (str(exc).strip() or type(exc).__name__).splitlines()[0]
            raise ModelError(f"{model} could not be quantised: {reason}") from exc


class _Pictures(ort_quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """The library pulls pictures from here until there are none."""

    def __init__(self, pictures: Iterable[UInt8]) -> None:
        self._pictures: Iterator[UInt8] = iter(pictures)

    def get_next(self) -> dict[str, UInt8] | None:
        picture = next(self._pictures, None)
        return None if picture is None else {INPUT: np.ascontiguousarray(picture[None])}
