"""What is inside a foreign ONNX file, in words, and which adapter takes it."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from cloud.imports.adapters import ADAPTERS
from cloud.imports.source import Source
from models.errors import ModelError


@dataclass(frozen=True, slots=True)
class Inspection:
    """`parameters` counts the weights' numbers, `weight_types` by type; `operators` by kind, the most frequent first.
    `adapters` says for each adapter why it does not fit, or nothing where it does."""

    file: str
    bytes: int
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: int
    weight_types: dict[str, int]
    operators: dict[str, int]
    adapters: dict[str, str]


def inspect(source: Source) -> Inspection:
    """Look at a file and try every adapter on it."""
    weights = Counter[str]()
    for tensor in source.model.graph.initializer:
        weights[TensorProto.DataType.Name(tensor.data_type).lower()] += int(np.prod(tensor.dims, dtype=np.int64))
    return Inspection(
        file=str(source.path),
        bytes=source.path.stat().st_size,
        opset=source.opset,
        inputs=tuple(map(str, source.inputs)),
        outputs=tuple(map(str, source.outputs)),
        parameters=weights.total(),
        weight_types=dict(weights),
        operators=dict(Counter(node.op_type for node in source.model.graph.node).most_common()),
        adapters={name: _why_not(name, source) for name in ADAPTERS},
    )


def _why_not(adapter: str, source: Source) -> str:
    try:
        ADAPTERS[adapter](source, None)
    except ModelError as exc:
        return str(exc)
    return ""
