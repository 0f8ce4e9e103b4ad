"""YOLO heads that decode by themselves: v5 to v7 with an objectness, v8 and later without."""

from collections.abc import Callable

import numpy as np

from cloud.imports.adapted import Adapted, Candidates, Float64, MisfitError
from cloud.imports.graph import Nodes, best_class, boxes_around, canonical_detector, columns, likely_rows, suppress
from cloud.imports.preprocess import PictureInput, Preprocess, feeding, picture_input, prepare_picture
from cloud.imports.source import Source
from models.detections import Float32
from models.manifest import InputSpec

_DOCUMENTED = Preprocess("rgb", std=(255.0, 255.0, 255.0), fit="letterbox-centre")
_STRIDES = (8, 16, 32)


def yolov8(source: Source, how: Preprocess | None = None) -> Adapted:
    """Input 1 x 3 x H x W float, RGB / 255, letterboxed in the middle; output 1 x (4 + classes) x N, N the cells of
    strides 8, 16, 32: centre x, centre y, width, height in pixels of the input, then a score by class."""
    how = how or _DOCUMENTED
    port = picture_input(source, multiple=32)
    count = _cell_count(port)
    match [output.shape for output in source.outputs]:
        case [(1 | str(), int(depth), int(found))] if found == count and depth > 4:
            class_count = depth - 4
        case _:
            raise _misfit(source, f"1x(4 + classes)x{count}")

    before, after = Nodes("in"), Nodes("out")
    prepare_picture(before, port, how)
    planes = after.op("Squeeze", source.value(source.outputs[0].name), after.constant([0], np.int64))  # (4 + C, N)
    by_class = after.op("Slice", planes, *(after.constant([bound], np.int64) for bound in (4, 4 + class_count)))
    best = after.op("ReduceMax", by_class, after.constant([0], np.int64), keepdims=0)  # (N,)
    at = likely_rows(after, best)
    rows = after.op("Transpose", after.op("Gather", planes, at, axis=1), perm=[1, 0])  # (m, 4 + C)
    classes, scores = best_class(after, columns(after, rows, 4, 4 + class_count))
    return _finish(source, port, how, before, after, rows, scores, classes, class_count, _decode_v8)


def yolov5(source: Source, how: Preprocess | None = None) -> Adapted:
    """Input as for yolov8; output 1 x N x (5 + classes), N three anchors in each cell of strides 8, 16, 32: centre x,
    centre y, width, height in pixels of the input, objectness, then a confidence by class; score = both multiplied."""
    how = how or _DOCUMENTED
    port = picture_input(source, multiple=32)
    count = 3 * _cell_count(port)
    match [output.shape for output in source.outputs]:
        case [(1 | str(), int(found), int(depth)), *_] if found == count and depth > 5:
            class_count = depth - 5
        case _:
            raise _misfit(source, f"1x{count}x(5 + classes)")

    before, after = Nodes("in"), Nodes("out")
    prepare_picture(before, port, how)
    every = after.op("Squeeze", source.value(source.outputs[0].name), after.constant([0], np.int64))  # (N, 5 + C)
    objectness = after.op("Gather", every, after.constant(4, np.int64), axis=1)
    at = likely_rows(after, objectness)  # a score is never above its objectness
    rows = after.op("Gather", every, at)
    classes, best = best_class(after, columns(after, rows, 5, 5 + class_count))
    scores = after.op("Mul", after.op("Gather", objectness, at), best)
    return _finish(source, port, how, before, after, rows, scores, classes, class_count, _decode_v5)


def _finish(
    source: Source,
    port: PictureInput,
    how: Preprocess,
    before: Nodes,
    after: Nodes,
    rows: str,
    scores: str,
    classes: str,
    class_count: int,
    decode: Callable[[Float32], Candidates],
) -> Adapted:
    boxes = boxes_around(after, columns(after, rows, 0, 2), columns(after, rows, 2, 4))
    side = max(port.height, port.width)
    suppress(after, boxes=boxes, scores=scores, classes=classes, class_count=class_count, side=side)
    return Adapted(
        model=canonical_detector(source.model, before=before, after=after, height=port.height, width=port.width),
        task="detection",
        input=InputSpec(port.height, port.width, fit=how.fit, interpolation="linear"),
        class_count=class_count,
        feed=feeding(port, how),
        decode=lambda outputs: decode(outputs[0]),
    )


def _decode_v8(answer: Float32) -> Candidates:
    values = answer[0].T.astype(np.float64)
    return Candidates(_corners(values), values[:, 4:].max(axis=1), values[:, 4:].argmax(axis=1))


def _decode_v5(answer: Float32) -> Candidates:
    values = answer[0].astype(np.float64)
    scores = values[:, 4] * values[:, 5:].max(axis=1)
    return Candidates(_corners(values), scores, values[:, 5:].argmax(axis=1))


def _corners(values: Float64) -> Float64:
    return np.concatenate((values[:, 0:2] - values[:, 2:4] / 2, values[:, 0:2] + values[:, 2:4] / 2), axis=1)


def _cell_count(port: PictureInput) -> int:
    return sum((port.height // stride) * (port.width // stride) for stride in _STRIDES)


def _misfit(source: Source, expected: str) -> MisfitError:
    return MisfitError(f"outputs are {'; '.join(map(str, source.outputs))}, expected one of {expected}")
