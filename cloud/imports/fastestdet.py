"""FastestDet (https://github.com/dog-qiuqiu/FastestDet): one grid of cells, decoded by its users."""

from typing import Any

import numpy as np
import onnx
import onnx.helper

from cloud.imports.adapted import Adapted, Candidates, MisfitError
from cloud.imports.cells import cells_of
from cloud.imports.graph import Nodes, boxes_around, canonical_detector, columns, likely_rows, suppress
from cloud.imports.preprocess import Preprocess, feeding, picture_input, prepare_picture
from cloud.imports.source import Source
from models.detections import Float32
from models.manifest import InputSpec

_STRIDE = 16
_DOCUMENTED = Preprocess(std=(255.0, 255.0, 255.0), fit="stretch")


def fastestdet(source: Source, how: Preprocess | None = None) -> Adapted:
    """Input 1 x 3 x H x W float, BGR / 255, plainly resized; output 1 x (5 + classes) x H/16 x W/16.

    For the cell in row h, column w: score = v[0]^0.6 * max(v[5:])^0.4, centre = ((w + tanh v[1]) / columns,
    (h + tanh v[2]) / rows), size = (sigmoid v[3], sigmoid v[4]) as parts of the picture.
    """
    how = how or _DOCUMENTED
    port = picture_input(source, multiple=_STRIDE)
    class_count = _class_count(source, port.height // _STRIDE, port.width // _STRIDE)
    cells, _ = cells_of(port.height, port.width, [_STRIDE])  # (N, 2)
    count = len(cells)

    before, after = Nodes("in"), Nodes("out")
    prepare_picture(before, port, how)
    parts = _parts(source.model.graph, source.value(source.outputs[0].name))
    if parts is not None:
        objectness, box, best, classes = _read_parts(after, parts, class_count, count)
    else:
        objectness, box, best, classes = _read_planes(after, source.value(source.outputs[0].name), class_count, count)
    at = likely_rows(after, after.op("Pow", objectness, after.constant(0.6, np.float32)))
    classes, best = after.op("Gather", classes, at), after.op("Gather", best, at)
    found = after.op("Gather", after.op("Transpose", box, perm=[1, 0]), at)  # (m, 4)
    scores = after.op(
        "Mul",
        after.op("Pow", after.op("Gather", objectness, at), after.constant(0.6, np.float32)),
        after.op("Pow", best, after.constant(0.4, np.float32)),
    )
    cell = after.op("Gather", after.constant(cells, np.float32), at)
    moved = after.op("Add", cell, after.op("Tanh", columns(after, found, 0, 2)))
    centre = after.op("Mul", moved, after.constant(_STRIDE, np.float32))
    whole = after.constant([port.width, port.height], np.float32)
    size = after.op("Mul", after.op("Sigmoid", columns(after, found, 2, 4)), whole)
    boxes = boxes_around(after, centre, size)
    side = max(port.height, port.width)
    suppress(after, boxes=boxes, scores=scores, classes=classes, class_count=class_count, side=side)
    return Adapted(
        model=canonical_detector(source.model, before=before, after=after, height=port.height, width=port.width),
        task="detection",
        input=InputSpec(port.height, port.width, fit=how.fit, interpolation="linear"),
        class_count=class_count,
        feed=feeding(port, how),
        decode=lambda outputs: _decode(outputs[0], cells, port.height, port.width),
    )


def _parts(graph: onnx.GraphProto, output: str) -> tuple[str, str, str] | None:
    """The values that the output is made of, as its exporter writes it: objectness, boxes, and the classes before their
    softmax, (1, C, H/16, W/16) each. None where it is made otherwise."""
    made_by = {name: node for node in graph.node for name in node.output}

    def maker(name: str, kind: str) -> onnx.NodeProto | None:
        node = made_by.get(name)
        return node if node is not None and node.op_type == kind else None

    joined = maker(output, "Concat")
    if joined is None or len(joined.input) != 3 or _attribute(joined, "axis") != 1:
        return None
    back = maker(joined.input[2], "Transpose")
    softmax = back and maker(back.input[0], "Softmax")
    there = softmax and maker(softmax.input[0], "Transpose")
    if not (back and softmax and there):
        return None
    order = _attribute(there, "perm")
    # the softmax must go over the classes, and the second transposition must undo the first
    if order[_attribute(softmax, "axis")] != 1 or [order[axis] for axis in _attribute(back, "perm")] != [0, 1, 2, 3]:
        return None
    return joined.input[0], joined.input[1], there.input[0]


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    values = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    return values.get(name, {"axis": -1, "perm": [3, 2, 1, 0]}[name])


def _read_parts(after: Nodes, parts: tuple[str, str, str], class_count: int, count: int) -> tuple[str, str, str, str]:
    """Objectness (N,), box (4, N), the best class's probability (N,) and the class (N,).

    The largest of a softmax is 1 / sum(exp(x - max x)): nothing is transposed for it, which onnxruntime is slow at
    (0.35 ms of FastestDet's 6 on an x86 core).
    """
    objectness, box, logits = (
        after.op("Reshape", name, after.constant(shape, np.int64))
        for name, shape in zip(parts, ([count], [4, count], [class_count, count]), strict=True)
    )
    over_classes = after.constant([0], np.int64)
    above = after.op("Sub", logits, after.op("ReduceMax", logits, over_classes, keepdims=1))
    total = after.op("ReduceSum", after.op("Exp", above), over_classes, keepdims=0)
    return objectness, box, after.op("Reciprocal", total), after.op("ArgMax", logits, axis=0, keepdims=0)


def _read_planes(after: Nodes, output: str, class_count: int, count: int) -> tuple[str, str, str, str]:
    """The same from the output as a whole."""
    planes = after.op("Reshape", output, after.constant([5 + class_count, count], np.int64))
    objectness = after.op("Gather", planes, after.constant(0, np.int64))
    probabilities = _rows(after, planes, 5, 5 + class_count)
    best = after.op("ReduceMax", probabilities, after.constant([0], np.int64), keepdims=0)
    return objectness, _rows(after, planes, 1, 5), best, after.op("ArgMax", probabilities, axis=0, keepdims=0)


def _rows(after: Nodes, values: str, first: int, last: int) -> str:
    bounds = (after.constant([first], np.int64), after.constant([last], np.int64), after.constant([0], np.int64))
    return after.op("Slice", values, *bounds)


def _decode(answer: Float32, cells: Float32, height: int, width: int) -> Candidates:
    values = answer[0].reshape(answer.shape[1], -1).T.astype(np.float64)  # (N, 5 + C)
    centre = (cells + np.tanh(values[:, 1:3])) * _STRIDE
    half = 1 / (1 + np.exp(-values[:, 3:5])) * (width, height) / 2
    scores = values[:, 0] ** 0.6 * values[:, 5:].max(axis=1) ** 0.4
    return Candidates(np.concatenate((centre - half, centre + half), axis=1), scores, values[:, 5:].argmax(axis=1))


def _class_count(source: Source, rows: int, columns_: int) -> int:
    expected = f"a single output of 1x(5 + classes)x{rows}x{columns_}, a sixteenth of the input's sides"
    match [output.shape for output in source.outputs]:
        case [(1 | str(), int(depth), int(height), int(width))] if (height, width) == (rows, columns_) and depth > 5:
            return depth - 5
    raise MisfitError(f"outputs are {'; '.join(map(str, source.outputs))}, expected {expected}")
