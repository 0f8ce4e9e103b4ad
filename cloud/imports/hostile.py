"""What a foreign file may not be or claim: checked before anything allocates, expands or runs what it asks for."""

import math
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
from onnx import checker, shape_inference

from models.errors import ModelError

MAX_FILE_BYTES = 1 << 30
MAX_ELEMENTS = 1 << 28  # of a tensor: 1 GB in float32, more than any model for a gateway holds
MAX_SIDE = 4096  # of a picture; as a manifest allows
MAX_NODES = 100_000
MAX_DEPTH = 100  # of functions that call functions
_FEWEST_BITS = 2  # of a number in a file
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_MANY = 5

# shape inference says so where a graph contradicts itself; loading it then says it better
_INFERENCE_ERRORS = (RuntimeError, ValueError, shape_inference.InferenceError, checker.ValidationError)


def read_bytes(path: Path) -> bytes:
    """A file's bytes; ModelError unless it is a regular file of at most 1 GiB."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise ModelError(f"{path} is a directory; expected an ONNX file")
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device would never end
            raise ModelError(f"{path} is not a regular file; expected an ONNX file")
        if found.st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path} has {found.st_size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
        return path.read_bytes()
    except OSError as exc:
        raise ModelError(f"{path} cannot be read: {exc.strerror}; expected an ONNX file") from exc


def refuse_hostile(model: onnx.ModelProto, path: Path, *, file_bytes: int) -> None:
    """ModelError when the file is damaged, reaches outside of itself, claims more than it has, or grows beyond reason
    when it is run."""
    if not all(isinstance(name, str) for name in _names(model)):  # the parser hands on what is no UTF-8 as bytes
        raise ModelError(f"{path} is damaged: a name in it is not UTF-8 text")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors(model)):
        raise ModelError(f"{path} keeps weights in other files; save it with all weights inside (onnx.save does)")
    if any(graph.sparse_initializer for graph in _graphs(model)):
        raise ModelError(f"{path} has sparse weights; save it with dense ones")
    _check_opset(model, path)
    _check_operators(model, path)
    _check_claims(model, path, file_bytes)
    if (count := _expanded_nodes(model, path)) > MAX_NODES:
        raise ModelError(f"{path} has {count:,} nodes when its functions are expanded; at most {MAX_NODES:,} are run")
    _check_values(model, path)


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a file holds, wherever."""
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def opset_of(model: onnx.ModelProto) -> int:
    """The opset of the standard operators; 0 where the file names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset_of(model) <= newest:
        raise ModelError(f"{path} is of opset {opset_of(model)}; 1 to {newest} are known")


def _check_operators(model: onnx.ModelProto, path: Path) -> None:
    local = {(function.domain, function.name) for function in model.functions}
    strange = {
        f"{node.domain}:{node.op_type}" if node.domain else node.op_type
        for node in _nodes(model)
        if (node.domain, node.op_type) not in local
        and (node.domain not in _DOMAINS or (node.domain in ("", "ai.onnx") and not onnx.defs.has(node.op_type)))
    }
    if strange:
        named = ", ".join(map(repr, sorted(strange)[:_MANY])) + (" ..." if len(strange) > _MANY else "")
        raise ModelError(f"{path} needs operators that a gateway does not have: {named}; export it with standard ones")


def _check_claims(model: onnx.ModelProto, path: Path, file_bytes: int) -> None:
    for tensor in tensors(model):
        shape = "x".join(map(str, tensor.dims))
        named = repr(tensor.name) if tensor.name else "(a constant)"
        if any(side < 0 for side in tensor.dims) or math.prod(tensor.dims) > MAX_ELEMENTS:
            raise ModelError(f"{path}: tensor {named} claims {shape} numbers; at most {MAX_ELEMENTS:,} are read")
        if math.prod(tensor.dims) * _FEWEST_BITS > file_bytes * 8:
            raise ModelError(
                f"{path}: tensor {named} claims {shape} numbers, which don't fit into {file_bytes:,} bytes"
            )
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        sides = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        if value.name not in weights and any(not 0 <= side <= MAX_SIDE for side in sides):
            shape = "x".join(map(str, sides))
            raise ModelError(
                f"{path}: input {value.name!r} claims {shape}; pictures have 1 to {MAX_SIDE} pixels a side"
            )


def _expanded_nodes(model: onnx.ModelProto, path: Path) -> int:
    """How many nodes there are once each call of a function of the file is replaced by its body."""
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    counts: dict[tuple[str, str], int] = {}
    under_way: set[tuple[str, str]] = set()

    def expanded(nodes: Iterable[onnx.NodeProto]) -> int:
        return sum(called((node.domain, node.op_type)) for node in _with_inner(nodes))

    def called(name: tuple[str, str]) -> int:
        if name not in bodies:
            return 1
        if name in under_way or len(under_way) > MAX_DEPTH:
            raise ModelError(f"{path}: function {name[1]!r} calls itself, or others too deeply")
        if name not in counts:
            under_way.add(name)
            counts[name] = expanded(bodies[name])
            under_way.remove(name)
        return counts[name]

    return expanded(model.graph.node)


def _check_values(model: onnx.ModelProto, path: Path) -> None:
    """A few bytes can ask for terabytes (ConstantOfShape, Expand, Tile), some of them as soon as the file is loaded."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for graph in _graphs(bare):  # what the file says of its values is not to be believed, nor contradicted
        del graph.value_info[:]
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")
    try:
        inferred = shape_inference.infer_shapes(bare)
    except _INFERENCE_ERRORS:
        return
    for graph in _graphs(inferred):
        for value in (*graph.value_info, *graph.output):
            sides = [max(dimension.dim_value, 1) for dimension in value.type.tensor_type.shape.dim]
            if math.prod(sides) > MAX_ELEMENTS:
                shape = "x".join(map(str, sides))
                raise ModelError(
                    f"{path}: value {value.name!r} would have {shape} numbers; at most {MAX_ELEMENTS:,} may"
                )


def _names(model: onnx.ModelProto) -> Iterator[object]:
    for entry in model.opset_import:
        yield entry.domain
    for function in model.functions:
        yield from (function.domain, function.name, *function.input, *function.output, *function.attribute)
    for node in _nodes(model):
        yield from (node.domain, node.op_type, node.name, node.overload, *node.input, *node.output)
        for attribute in node.attribute:
            yield from (attribute.name, attribute.ref_attr_name)
    for tensor in tensors(model):
        yield tensor.name
    for graph in _graphs(model):
        yield graph.name
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.name
            yield from (dimension.dim_param for dimension in value.type.tensor_type.shape.dim)


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    yield model.graph
    for training in model.training_info:
        yield from (training.initialization, training.algorithm)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from (inner for inner in (attribute.g, *attribute.graphs) if inner.ByteSize())


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from _with_inner(model.graph.node)
    for function in model.functions:
        yield from _with_inner(function.node)
    for training in model.training_info:
        yield from _with_inner((*training.initialization.node, *training.algorithm.node))


def _with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _with_inner(inner.node)
