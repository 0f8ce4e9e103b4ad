"""A foreign ONNX file, brought into one shape: recent opset, weights apart from inputs, nothing outside the file."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported; see models/runner.py

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from onnx import checker, shape_inference, version_converter

from models.errors import ModelError

OPSET = 18  # what files below are raised to; per-channel quantisation needs 13, and reductions changed their form in 18
IR_VERSION = 10

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
    """`model` computes what the file does, with an opset of at least 18; `opset` is the file's own."""

    path: Path
    model: onnx.ModelProto
    opset: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    session: ort.InferenceSession

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
    try:
        session = ort.InferenceSession(data, _session_options(), providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime's errors have no common base
        raise ModelError(f"{path} is not an ONNX file that onnxruntime can load: {_first_line(exc)}") from exc
    opset = _opset(model)
    model = _normalise(model, path)
    return Source(path, model, opset, _ports(model.graph.input), _ports(model.graph.output), session)


def _normalise(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]  # IR 3 listed weights as inputs too
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, IR_VERSION)  # from 4 on weights need not be inputs
    try:
        if _opset(model) < OPSET:
            model = version_converter.convert_version(model, OPSET)
        model = shape_inference.infer_shapes(model)
        checker.check_model(model)
    except _CONVERSION_ERRORS as exc:
        raise ModelError(f"{path} cannot be brought from opset {_opset(model)} to {OPSET}: {_first_line(exc)}") from exc
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
