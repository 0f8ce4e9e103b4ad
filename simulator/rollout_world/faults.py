"""Ways to make a canonical graph worse, each a pure function of the graph: what a gateway reports then follows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.errors import ModelError
from models.runner import INPUT

Float32 = npt.NDArray[np.float32]
_WEIGHTED = {"Conv", "Gemm", "MatMul"}
_NEVER = -30.0  # a logit that no picture outweighs


def disturbed(graph: onnx.ModelProto, amount: float, seed: int) -> onnx.ModelProto:
    """All weights with noise on them, `amount` times each tensor's own deviation."""
    rng = np.random.default_rng(seed)
    changed = _copy(graph)
    for name in sorted(_weights(changed)):
        values = _value(changed, name)
        noise = rng.standard_normal(values.shape) * values.std() * amount
        _set(changed, name, (values + noise).astype(np.float32))
    return changed


def with_nan(graph: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """One weight of the last quarter of the network is not a number."""
    rng = np.random.default_rng(seed)
    changed = _copy(graph)
    weights = _weights(changed)
    name = weights[int(rng.integers(3 * len(weights) // 4, len(weights)))]
    values = _value(changed, name).copy()
    values.flat[int(rng.integers(values.size))] = np.nan
    _set(changed, name, values)
    return changed


def without_class(graph: onnx.ModelProto, class_id: int, *, classes: int) -> onnx.ModelProto:
    """The class is never answered."""
    changed = _copy(graph)
    for layer in _class_layers(changed, classes):
        bias = _value(changed, layer.bias).copy()
        bias[class_id] = _NEVER
        _set(changed, layer.bias, bias)
    return changed


def permuted(graph: onnx.ModelProto, order: Sequence[int]) -> onnx.ModelProto:
    """Class k is answered where class order[k] was."""
    changed = _copy(graph)
    for layer in _class_layers(changed, len(order)):
        for name, axis in ((layer.weights, layer.axis), (layer.bias, 0)):
            _set(changed, name, np.take(_value(changed, name), list(order), axis=axis))
    return changed


def over_confident(graph: onnx.ModelProto, factor: float, *, classes: int, task: str) -> onnx.ModelProto:
    """Every logit `factor` times as large, a detector's objectness too."""
    changed = _copy(graph)
    layers = _class_layers(changed, classes)
    if task == "detection":
        layers += _class_layers(changed, 1)
    for layer in layers:
        for name in (layer.weights, layer.bias):
            _set(changed, name, (_value(changed, name) * factor).astype(np.float32))
    return changed


def red_as_blue(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Red and blue are swapped on the way in."""
    changed = _copy(graph)
    order = numpy_helper.from_array(np.array([2, 1, 0], np.int64), "fault/order")
    return _before(changed, [helper.make_node("Gather", [INPUT, order.name], ["fault/in"], axis=3)], [order])


def crushed(graph: onnx.ModelProto, black: float) -> onnx.ModelProto:
    """Whatever is darker than `black`, 0..255, goes in as 0: shadows are lost, and at night everything is shadow."""
    changed = _copy(graph)
    constants = [
        numpy_helper.from_array(np.array(black, np.float32), "fault/black"),
        numpy_helper.from_array(np.array(0, np.float32), "fault/nought"),
    ]
    nodes = [
        helper.make_node("Cast", [INPUT], ["fault/float"], to=TensorProto.FLOAT),
        helper.make_node("Less", ["fault/float", "fault/black"], ["fault/lost"]),
        helper.make_node("Where", ["fault/lost", "fault/nought", "fault/float"], ["fault/left"]),
        helper.make_node("Cast", ["fault/left"], ["fault/in"], to=TensorProto.UINT8),
    ]
    return _before(changed, nodes, constants)


def done_again(graph: onnx.ModelProto, times: int = 1) -> onnx.ModelProto:
    """The same answers for more work: the network runs `times` more, each on weights of its own, and what it says then
    weighs nothing."""
    changed = _copy(graph)
    nodes, constants = list(changed.graph.node), list(changed.graph.initializer)
    inner = {name for node in nodes for name in node.output} | {tensor.name for tensor in constants}
    # the answer is renamed, and comes back under its name with nothing added
    for node in changed.graph.node:
        node.output[:] = ["once/scores" if name == "scores" else name for name in node.output]
        node.input[:] = ["once/scores" if name == "scores" else name for name in node.input]
    answer = "once/scores"
    changed.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "fault/nought"))
    for number in range(times):
        names = {name: f"again{number}/{name}" for name in inner}
        for node in graph.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = f"again{number}/{node.name}"
            copy.input[:] = [names.get(name, name) for name in node.input]
            copy.output[:] = [names.get(name, name) for name in node.output]
            changed.graph.node.append(copy)
        for tensor in graph.graph.initializer:
            copied = onnx.TensorProto()
            copied.CopyFrom(tensor)
            copied.name = names[tensor.name]
            changed.graph.initializer.append(copied)
        total, nothing = f"fault/sum{number}", f"fault/nothing{number}"
        added = "scores" if number == times - 1 else f"fault/scores{number}"
        changed.graph.node.extend(
            [
                helper.make_node("ReduceSum", [names["scores"]], [total], keepdims=0),
                helper.make_node("Mul", [total, "fault/nought"], [nothing]),
                helper.make_node("Add", [answer, nothing], [added]),
            ]
        )
        answer = added
    return changed


class _Layer:
    """A layer that answers by class: the names of its weights and bias, and the axis of classes in the weights."""

    def __init__(self, weights: str, bias: str, axis: int) -> None:
        self.weights, self.bias, self.axis = weights, bias, axis


def _class_layers(graph: onnx.ModelProto, classes: int) -> list[_Layer]:
    """The layers with `classes` outputs and a bias after which no other with weights comes."""
    inner = _read_by_layers(graph.graph)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.graph.initializer}
    found = []
    for node in graph.graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or node.input[1] not in shapes:
            continue
        if node.output[0] in inner:
            continue
        transposed = node.op_type == "Conv" or any(item.name == "transB" and item.i for item in node.attribute)
        axis = 0 if transposed else 1
        if shapes[node.input[1]][axis] == classes and shapes.get(node.input[2]) == (classes,):
            found.append(_Layer(node.input[1], node.input[2], axis))
    if not found:
        raise ModelError(f"the graph has no layer with weights and a bias for each of {classes} classes")
    return found


def _read_by_layers(graph: onnx.GraphProto) -> set[str]:
    """The values that some layer with weights depends on."""
    read: set[str] = set()
    for node in reversed(graph.node):  # sorted: whoever reads a value comes after it
        if node.op_type in _WEIGHTED or read.intersection(node.output):
            read.update(node.input)
    return read


def _weights(graph: onnx.ModelProto) -> list[str]:
    """Names of the float weights of layers, in the graph's order."""
    floats = {tensor.name for tensor in graph.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    names = [node.input[1] for node in graph.graph.node if node.op_type in _WEIGHTED and len(node.input) > 1]
    return list(dict.fromkeys(name for name in names if name in floats))


def _before(
    graph: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], constants: Sequence[TensorProto]
) -> onnx.ModelProto:
    """`nodes` between the input and whatever reads it; they make `fault/in` of it."""
    for node in graph.graph.node:
        node.input[:] = ["fault/in" if name == INPUT else name for name in node.input]
    rest = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*nodes, *rest])
    graph.graph.initializer.extend(constants)
    return graph


def _copy(graph: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(graph)
    return copied


def _value(graph: onnx.ModelProto, name: str) -> Float32:
    return np.asarray(numpy_helper.to_array(next(t for t in graph.graph.initializer if t.name == name)), np.float32)


def _set(graph: onnx.ModelProto, name: str, values: Float32) -> None:
    tensor = next(t for t in graph.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
