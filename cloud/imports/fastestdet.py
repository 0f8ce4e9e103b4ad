"""FastestDet (https://github.com/dog-qiuqiu/FastestDet): one grid of cells, decoded by its users."""

import numpy as np

from cloud.imports.adapted import Adapted, Candidates, MisfitError
from cloud.imports.cells import cells_of
from cloud.imports.graph import Nodes, best_class, boxes_around, canonical_detector, columns, likely_rows, suppress
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
    flat = after.constant([5 + class_count, count], np.int64)
    planes = after.op("Reshape", source.value(source.outputs[0].name), flat)
    objectness = after.op("Gather", planes, after.constant(0, np.int64))  # (N,)
    at = likely_rows(after, after.op("Pow", objectness, after.constant(0.6, np.float32)))
    # whole rows are gathered five times as fast as columns
    found = after.op("Gather", after.op("Transpose", planes, perm=[1, 0]), at)  # (m, 5 + C)
    classes, best = best_class(after, columns(after, found, 5, 5 + class_count))
    scores = after.op(
        "Mul",
        after.op("Pow", after.op("Gather", objectness, at), after.constant(0.6, np.float32)),
        after.op("Pow", best, after.constant(0.4, np.float32)),
    )
    cell = after.op("Gather", after.constant(cells, np.float32), at)
    moved = after.op("Add", cell, after.op("Tanh", columns(after, found, 1, 3)))
    centre = after.op("Mul", moved, after.constant(_STRIDE, np.float32))
    whole = after.constant([port.width, port.height], np.float32)
    size = after.op("Mul", after.op("Sigmoid", columns(after, found, 3, 5)), whole)
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
