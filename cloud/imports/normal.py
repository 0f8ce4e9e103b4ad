"""A foreign graph in one shape: recent opset, a picture at a time, weights apart from inputs, float32, no functions."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import checker, inliner, numpy_helper, shape_inference, version_converter

from cloud.imports.graph import names_read
from cloud.imports.hostile import opset_of
from models.errors import ModelError
from models.runner import INPUT, OUTPUTS

OPSET = 18  # what files below are raised to; per-channel quantisation needs 13, and reductions changed their form in 18
IR_VERSION = 10
_APART = "foreign/"
_CANONICAL = {INPUT, *(name for names in OUTPUTS.values() for name in names)}

# RuntimeError: what onnx's C++ raises where a converter is missing
_CONVERSION_ERRORS = (
    RuntimeError,
    ValueError,
    checker.ValidationError,
    shape_inference.InferenceError,
    version_converter.ConvertError,
)


def normalised(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The same network; ModelError where its operators cannot be brought to opset 18."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]  # IR 3 listed weights as inputs too
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    _fix_batch(model.graph)
    model.ir_version = max(model.ir_version, IR_VERSION)  # from 4 on weights need not be inputs
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        if opset_of(model) < OPSET:
            model = version_converter.convert_version(model, OPSET)
        _in_float32(model.graph)
        _drop_unread(model.graph)
        model = shape_inference.infer_shapes(model)
        checker.check_model(model)
    except _CONVERSION_ERRORS as exc:
        raise ModelError(f"{path} cannot be brought from opset {opset_of(model)} to {OPSET}: {said(exc)}") from exc
    return model


def apart(model: onnx.ModelProto) -> onnx.ModelProto:
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


def apart_name(name: str) -> str:
    """What a value of the file is called in a model that `apart` has been through."""
    return f"{_APART}{name}" if name in _CANONICAL else name


def said(exc: Exception) -> str:
    """A library's error in one line, without the library's own addresses."""
    line = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
    line = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+ ", "", line)
    return "".join(letter if letter.isprintable() else "?" for letter in line)[:200]


def _fix_batch(graph: onnx.GraphProto) -> None:
    """One picture at a time: a gateway has no more at once, and shapes are known then."""
    for value in graph.input:
        sides = value.type.tensor_type.shape.dim
        if len(sides) > 1 and not sides[0].HasField("dim_value"):
            sides[0].dim_value = 1
            # what the file says of values behind it is about any number of pictures
            del graph.value_info[:]


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Weights that no node reads (such as batch counters of training) are bytes on the way to every gateway."""
    read = names_read(graph.node) | {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


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


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Of this graph alone: `_in_float32` walks into inner ones."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
