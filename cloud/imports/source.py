"""A foreign ONNX file, brought into one shape: recent opset, weights apart from inputs, nothing outside the file."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported; see models/runner.py

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from onnx import checker, numpy_helper, shape_inference, version_converter

from models.errors import ModelError
from models.runner import INPUT, OUTPUTS

OPSET = 18  # what files below are raised to; per-channel quantisation needs 13, and reductions changed their form in 18
IR_VERSION = 10
_APART = "foreign/"
_CANONICAL = {INPUT, *(name for names in OUTPUTS.values() for name in names)}
_MAX_SIDE = 65_536
MAX_ELEMENTS = 1 << 28  # of a tensor: 1 GB in float32, more than any model for a gateway holds

# RuntimeError: what onnx's C++ raises where a converter is missing
_CONVERSION_ERRORS = (
    RuntimeError,
    ValueError,
    checker.ValidationError,
    shape_inference.InferenceError,
    version_converter.ConvertError,
)


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph; a dimension that is not fixed has its name, or `?`."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name!r} {self.dtype} {'x'.join(map(str, self.shape)) or 'scalar'}"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """`model` computes what the file does, with an opset of at least 18 and in float32; `opset` is the file's own.

    Values of the file that have a name of the canonical contract are called otherwise in `model`: `value` tells.
    """

    path: Path
    model: onnx.ModelProto
    opset: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    session: ort.InferenceSession

    @property
    def halved(self) -> bool:
        """Whether the file computes in float16: its answers are rough then."""
        return any(port.dtype == "float16" for port in (*self.inputs, *self.outputs))

    def value(self, name: str) -> str:
        """What a value of the file is called in `model`."""
        return f"{_APART}{name}" if name in _CANONICAL else name

    def run(self, feed: Mapping[str, npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """What the original file answers, its outputs in order."""
        try:
            return [np.asarray(output) for output in self.session.run(None, dict(feed))]
        except Exception as exc:  # onnxruntime's errors have no common base
            raise ModelError(f"{self.path} cannot be run: {_first_line(exc)}") from exc


def read_source(path: Path) -> Source:
    """Read and normalise an ONNX file; ModelError names what is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ModelError(f"{path} cannot be read: {exc.strerror}; expected an ONNX file") from exc
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as exc:
        raise ModelError(f"{path} is not an ONNX file ({len(data)} bytes that are no ONNX protobuf)") from exc
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path} is not an ONNX file (it holds no graph)")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        raise ModelError(f"{path} keeps weights in other files; save it with all weights inside (onnx.save does)")
    _check_sizes(model, path)
    try:
        session = ort.InferenceSession(data, _session_options(), providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as exc:  # onnxruntime's errors have no common base
        raise ModelError(f"{path} is not an ONNX file that onnxruntime can load: {_first_line(exc)}") from exc
    opset = _opset(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = _ports([value for value in model.graph.input if value.name not in weights])
    outputs = _ports(model.graph.output)
    return Source(path, _apart(_normalise(model, path)), opset, inputs, outputs, session)


def _normalise(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]  # IR 3 listed weights as inputs too
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, IR_VERSION)  # from 4 on weights need not be inputs
    try:
        if _opset(model) < OPSET:
            model = version_converter.convert_version(model, OPSET)
        _in_float32(model.graph)
        _drop_unread(model.graph)
        model = shape_inference.infer_shapes(model)
        checker.check_model(model)
    except _CONVERSION_ERRORS as exc:
        raise ModelError(f"{path} cannot be brought from opset {_opset(model)} to {OPSET}: {_first_line(exc)}") from exc
    return model


def read_canonical(path: Path) -> onnx.ModelProto:
    """The model of a file that was read before, with its own names, of a recent opset and in float32."""
    return _normalise(onnx.ModelProto.FromString(path.read_bytes()), path)


def _check_sizes(model: onnx.ModelProto, path: Path) -> None:
    """Refuse what promises to be absurdly large, before anything believes it."""
    for tensor in _tensors(model.graph):
        if any(side < 0 for side in tensor.dims) or math.prod(tensor.dims) > MAX_ELEMENTS:
            shape = "x".join(map(str, tensor.dims))
            raise ModelError(
                f"{path}: tensor {tensor.name or '(a constant)'!r} claims {shape} numbers; at most {MAX_ELEMENTS:,} "
                f"are read"
            )
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        sides = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        if value.name not in weights and any(not 0 <= side <= _MAX_SIDE for side in sides):
            shape = "x".join(map(str, sides))
            raise ModelError(f"{path}: input {value.name!r} claims {shape}; no picture is that large")


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Weights that no node reads (such as batch counters of training) are bytes on the way to every gateway."""
    read = {name for node in _nodes(graph) for name in node.input} | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _in_float32(graph: onnx.GraphProto) -> None:
    """Weights, values and casts in float16 become float32: it is what a CPU computes in anyway, after a cast."""
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    for tensor in _tensors(graph):
        if tensor.data_type == half:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == half:
            value.type.tensor_type.elem_type = full
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == half:
                attribute.i = full
            for inner in (attribute.g, *attribute.graphs):
                _in_float32(inner)


def _apart(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, no value of which has a name of the canonical contract."""

    def rename(names: Any) -> None:
        names[:] = [f"{_APART}{name}" if name in _CANONICAL else name for name in names]

    def walk(graph: onnx.GraphProto) -> None:
        named: list[Any] = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
        for item in named:
            if item.name in _CANONICAL:
                item.name = f"{_APART}{item.name}"
        for node in graph.node:
            rename(node.input)
            rename(node.output)
            for attribute in node.attribute:
                for inner in (attribute.g, *attribute.graphs):
                    walk(inner)

    walk(model.graph)
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _ports(values: Any) -> tuple[Port, ...]:
    return tuple(Port(value.name, _dtype(value.type.tensor_type), _shape(value.type.tensor_type)) for value in values)


def _dtype(tensor: onnx.TypeProto.Tensor) -> str:
    return onnx.TensorProto.DataType.Name(tensor.elem_type).lower()


def _shape(tensor: onnx.TypeProto.Tensor) -> tuple[int | str, ...]:
    return tuple(
        dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or "?"
        for dimension in tensor.shape.dim
    )


def _opset(model: onnx.ModelProto) -> int:
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _first_line(exc: Exception) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
