"""What is inside a foreign ONNX file, in words, and which adapter takes it."""

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from cloud.imports.adapters import ADAPTERS, ASK_FOR_FEED
from cloud.imports.graph import PREFIX, names_read
from cloud.imports.hostile import read_bytes, tensors
from cloud.imports.normal import OPSET
from cloud.imports.source import Source
from models.errors import ModelError


@dataclass(frozen=True, slots=True)
class Inspection:
    """`parameters` counts the weights' numbers, `weight_types` by type; `operators` by kind, the most frequent first.
    `oddities` are what an import changes or cannot use. `adapters` says for each adapter why it does not fit, or
    nothing where it does; `next` is the command to go on with, or nothing."""

    file: str
    bytes: int
    producer: str
    ir_version: int
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: int
    weight_types: dict[str, int]
    operators: dict[str, int]
    oddities: tuple[str, ...]
    adapters: dict[str, str]
    next: str


def inspect(source: Source) -> Inspection:
    """Look at a file and try every adapter on it."""
    original = onnx.ModelProto.FromString(read_bytes(source.path))
    weights = Counter[str]()
    for tensor in original.graph.initializer:
        weights[TensorProto.DataType.Name(tensor.data_type).lower()] += int(np.prod(tensor.dims, dtype=np.int64))
    adapters = {name: _why_not(name, source) for name in ADAPTERS}
    return Inspection(
        file=str(source.path),
        bytes=source.path.stat().st_size,
        producer=" ".join(str(part) for part in (original.producer_name, original.producer_version) if part),
        ir_version=original.ir_version,
        opset=source.opset,
        inputs=tuple(map(str, source.inputs)),
        outputs=tuple(map(str, source.outputs)),
        parameters=weights.total(),
        weight_types=dict(weights),
        operators=dict(Counter(node.op_type for node in original.graph.node).most_common()),
        oddities=tuple(_oddities(original, source)),
        adapters=adapters,
        next=_next(source, [name for name, reason in adapters.items() if not reason]),
    )


def _oddities(original: onnx.ModelProto, source: Source) -> Iterator[str]:
    graph = original.graph
    weights = {tensor.name for tensor in graph.initializer}
    if source.opset < OPSET:
        yield f"opset {source.opset} is raised to {OPSET}"
    if listed := sum(value.name in weights for value in graph.input):
        yield f"{listed} weights are listed among the inputs; they are taken off"
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in tensors(original)):
        yield "float16 becomes float32: a CPU computes in that anyway"
    if original.functions:
        yield f"{len(original.functions)} functions of its own are inlined"
    if unread := weights - names_read(graph.node) - {value.name for value in graph.output}:
        yield f"{len(unread)} weights that nothing reads are left out"
    foreign = [node for node in graph.node if not node.name.startswith(PREFIX)]
    if any("QuantizeLinear" in node.op_type or "Integer" in node.op_type for node in foreign):
        yield "it is quantised already; `tidegate compress` works on the float one"
    for port in source.inputs:
        first, *rest = port.shape or (1,)
        if isinstance(first, str):
            yield f"{port.name!r} takes any number of pictures at a time; one is taken"
        elif first > 1:
            yield f"{port.name!r} takes {first} pictures at a time; export it for one"
        if any(isinstance(side, str) for side in rest):
            yield f"{port.name!r} takes pictures of any size; export it for one that pictures are to be fitted to"
    if not source.outputs:
        yield "it has no outputs"
    if len(source.inputs) > 1:
        yield f"it has {len(source.inputs)} inputs, and a camera has one picture"


def _next(source: Source, fitting: list[str]) -> str:
    if not fitting:
        return ""
    feed = " --preprocess PRESET" if fitting[0] in ASK_FOR_FEED else ""
    what = f"{shlex.quote(str(source.path))} --adapter {fitting[0]}{feed}"
    return f"tidegate import {what} --labels LABELS --name NAME --out RUN --golden PICTURES"


def _why_not(adapter: str, source: Source) -> str:
    try:
        ADAPTERS[adapter](source, None)
    except ModelError as exc:
        return str(exc)
    return ""
