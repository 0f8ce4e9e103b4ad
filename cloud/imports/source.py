"""A foreign ONNX file, brought into one shape: recent opset, weights apart from inputs, nothing outside the file."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported; see models/runner.py

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError

from cloud.imports.hostile import opset_of, read_bytes, refuse_hostile, tensors
from cloud.imports.normal import apart, apart_name, normalised, said
from models.errors import ModelError

MAX_RUN_S = 20.0
_MAX_ROUGHNESS = 0.02  # of the largest number: what float16 rounds, layer by layer

Feed = Mapping[str, npt.NDArray[Any]]


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
    A file with float16 inside answers roughly: `exact` is there then, a session on `model`.

    Values of the file that have a name of the canonical contract are called otherwise in `model`: `value` tells.
    """

    path: Path
    model: onnx.ModelProto
    opset: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    session: ort.InferenceSession
    exact: ort.InferenceSession | None

    def value(self, name: str) -> str:
        """What a value of the file is called in `model`."""
        return apart_name(name)

    def run(self, feed: Feed) -> list[npt.NDArray[Any]]:
        """What the original file answers, its outputs in order; ModelError when it fails, or takes over 20 s."""
        return self._answers(self.session, feed)

    def run_exactly(self, feed: Feed) -> list[npt.NDArray[Any]]:
        """The same; of a file in float16 what its network answers in float32, if that is alike."""
        answers = self.run(feed)
        if self.exact is None:
            return answers
        wide = {self.value(name): value.astype(np.float32) for name, value in feed.items()}
        exact = self._answers(self.exact, wide)
        for port, rough, fine in zip(self.outputs, answers, exact, strict=True):
            error = np.abs(rough.astype(np.float64) - fine).max(initial=0)
            if not error <= _MAX_ROUGHNESS * np.abs(fine).max(initial=0):
                raise ModelError(f"{self.path}: output {port.name!r} is off by up to {error:.3g} in float16")
        return exact

    def _answers(self, session: ort.InferenceSession, feed: Feed) -> list[npt.NDArray[Any]]:
        options = ort.RunOptions()
        watch = threading.Timer(MAX_RUN_S, setattr, (options, "terminate", True))
        watch.start()
        try:
            return [np.asarray(output) for output in session.run(None, dict(feed), options)]
        except Exception as exc:  # onnxruntime's errors have no common base
            why = f"it took over {MAX_RUN_S:g} s" if options.terminate else said(exc)
            raise ModelError(f"{self.path} cannot be run: {why}") from exc
        finally:
            watch.cancel()


def read_source(path: Path) -> Source:
    """Read and normalise an ONNX file; ModelError names what is wrong with it."""
    data = read_bytes(path)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as exc:
        raise ModelError(f"{path} is not an ONNX file ({len(data)} bytes that are no ONNX protobuf)") from exc
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path} is not an ONNX file (it holds no graph)")
    refuse_hostile(model, path, file_bytes=len(data))
    session = _session(data, path)
    opset = opset_of(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = _ports([value for value in model.graph.input if value.name not in weights])
    outputs = _ports(model.graph.output)
    halved = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in tensors(model))
    model = apart(normalised(model, path))
    exact = _session(model.SerializeToString(), path) if halved else None
    return Source(path, model, opset, inputs, outputs, session, exact)


def read_canonical(path: Path) -> onnx.ModelProto:
    """The model of a file that was read before, with its own names, of a recent opset and in float32."""
    return normalised(onnx.ModelProto.FromString(read_bytes(path)), path)


def _ports(values: Any) -> tuple[Port, ...]:
    return tuple(Port(value.name, _dtype(value.type.tensor_type), _shape(value.type.tensor_type)) for value in values)


def _dtype(tensor: onnx.TypeProto.Tensor) -> str:
    return onnx.TensorProto.DataType.Name(tensor.elem_type).lower()


def _shape(tensor: onnx.TypeProto.Tensor) -> tuple[int | str, ...]:
    return tuple(
        dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or "?"
        for dimension in tensor.shape.dim
    )


def _session(data: bytes, path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what it would log it raises too
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as exc:  # onnxruntime's errors have no common base
        raise ModelError(f"{path} is not an ONNX file that onnxruntime can load: {said(exc)}") from exc
