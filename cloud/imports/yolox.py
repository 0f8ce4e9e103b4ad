"""YOLOX as its authors export it: no decoding in the graph, sigmoids in the head (Megvii, arXiv:2107.08430)."""

import numpy as np

from cloud.imports.adapted import Adapted, Candidates, MisfitError
from cloud.imports.cells import cells_of
from cloud.imports.graph import Nodes, best_class, boxes_around, canonical_detector, columns, likely_rows, suppress
from cloud.imports.preprocess import PictureInput, Preprocess, feeding, picture_input, prepare_picture
from cloud.imports.source import Source
from models.detections import Float32
from models.manifest import InputSpec

STRIDES = (8, 16, 32)


def yolox(source: Source, how: Preprocess | None = None) -> Adapted:
    """Input 1 x 3 x H x W float, BGR 0..255, letterboxed at the top left; output 1 x cells x (4 + 1 + classes).

    For each cell of strides 8, 16, 32, row by row: centre = (v[0:2] + cell) * stride, size = exp(v[2:4]) * stride,
    score = v[4] * v[5 + class].
    """
    how = how or Preprocess(fit="letterbox")
    port = picture_input(source, multiple=32)
    height, width = port.height, port.width
    cells, strides = cells_of(height, width, STRIDES)  # (N, 2), (N, 1)
    class_count = _class_count(source, port)

    before, after = Nodes("in"), Nodes("out")
    prepare_picture(before, port, how)

    answer = source.value(source.outputs[0].name)
    rows = after.op("Squeeze", answer, after.constant([0], np.int64))  # (1, N, 5 + C) -> (N, 5 + C)
    objectness = after.op("Gather", rows, after.constant(4, np.int64), axis=1)  # (N,)
    at = likely_rows(after, objectness)  # (m,): a score is never above its objectness
    found = after.op("Gather", rows, at)  # (m, 5 + C)
    classes, best = best_class(after, columns(after, found, 5, 5 + class_count))
    scores = after.op("Mul", after.op("Gather", objectness, at), best)
    cell = after.op("Gather", after.constant(cells, np.float32), at)
    stride = after.op("Gather", after.constant(strides, np.float32), at)
    centre = after.op("Mul", after.op("Add", columns(after, found, 0, 2), cell), stride)
    size = after.op("Mul", after.op("Exp", columns(after, found, 2, 4)), stride)
    boxes = boxes_around(after, centre, size)
    suppress(after, boxes=boxes, scores=scores, classes=classes, class_count=class_count, side=max(height, width))

    return Adapted(
        model=canonical_detector(source.model, before=before, after=after, height=height, width=width),
        task="detection",
        input=InputSpec(height, width, fit=how.fit, interpolation="linear"),
        class_count=class_count,
        feed=feeding(port, how),
        decode=lambda outputs: _decode(outputs[0], cells, strides),
    )


def _decode(answer: Float32, cells: Float32, strides: Float32) -> Candidates:
    values = answer[0].astype(np.float64)
    centre = (values[:, 0:2] + cells) * strides
    with np.errstate(over="ignore"):
        half = np.exp(values[:, 2:4]) * strides / 2
    scores = values[:, 4:5] * values[:, 5:]
    classes = scores.argmax(axis=1)
    return Candidates(np.concatenate((centre - half, centre + half), axis=1), scores.max(axis=1), classes)


def _class_count(source: Source, port: PictureInput) -> int:
    if len(source.outputs) != 1:
        raise MisfitError(f"outputs are {_said(source.outputs)}, expected a single one")
    height, width = port.height, port.width
    grey = np.full((height, width, 3), 114, np.uint8)
    (answer,) = source.run(feeding(port, Preprocess())(grey))
    cell_count = sum((height // stride) * (width // stride) for stride in STRIDES)
    if answer.ndim != 3 or answer.shape[:2] != (1, cell_count) or answer.shape[2] < 6:
        raise MisfitError(
            f"output {source.outputs[0].name!r} is {'x'.join(map(str, answer.shape))}, "
            f"expected 1x{cell_count}x(5 + classes), a row per cell of strides 8, 16 and 32 in {height}x{width}",
        )
    confidences = answer[0, :, 4:]
    if not (confidences.min() >= 0 and confidences.max() <= 1):
        raise MisfitError(
            f"its confidences reach from {confidences.min():.2f} to {confidences.max():.2f}, expected 0..1; "
            f"export it with the sigmoids of the head",
        )
    return int(answer.shape[2]) - 5


def _said(ports: tuple[object, ...]) -> str:
    return "; ".join(map(str, ports)) or "none"
