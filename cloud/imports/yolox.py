"""YOLOX as its authors export it: no decoding in the graph, sigmoids in the head (Megvii, arXiv:2107.08430)."""

import numpy as np

from cloud.imports.adapted import Adapted, Candidates, MisfitError
from cloud.imports.graph import MIN_SCORE, Nodes, canonical_detector, picture_to_planes, suppress
from cloud.imports.source import Source
from models.detections import Float32
from models.manifest import InputSpec

STRIDES = (8, 16, 32)


def yolox(source: Source) -> Adapted:
    """Input 1 x 3 x H x W float, BGR 0..255, letterboxed at the top left; output 1 x cells x (4 + 1 + classes).

    For each cell of strides 8, 16, 32, row by row: centre = (v[0:2] + cell) * stride, size = exp(v[2:4]) * stride,
    score = v[4] * v[5 + class].
    """
    height, width = _input_size(source)
    cells, strides = _cells(height, width)  # (N, 2), (N, 1)
    class_count = _class_count(source, height, width)

    before, after = Nodes(), Nodes()
    picture_to_planes(before, into=source.inputs[0].name)

    rows = after.op("Squeeze", source.outputs[0].name, after.constant([0], np.int64))  # (1, N, 5 + C) -> (N, 5 + C)
    objectness = after.op("Gather", rows, after.constant(4, np.int64), axis=1)  # (N,)
    # a score is never above its objectness: a few dozen of thousands of cells go on from here
    likely = after.op("Greater", objectness, after.constant(MIN_SCORE, np.float32))
    at = after.op("Squeeze", after.op("NonZero", likely), after.constant([0], np.int64))  # (m,)
    found = after.op("Gather", rows, at)  # (m, 5 + C)

    def columns(first: int, last: int) -> str:
        bounds = (after.constant([first], np.int64), after.constant([last], np.int64), after.constant([1], np.int64))
        return after.op("Slice", found, *bounds)

    by_class = columns(5, 5 + class_count)
    classes = after.op("ArgMax", by_class, axis=1, keepdims=0)
    best = after.op("ReduceMax", by_class, after.constant([1], np.int64), keepdims=0)
    scores = after.op("Mul", after.op("Gather", objectness, at), best)
    cell = after.op("Gather", after.constant(cells, np.float32), at)
    stride = after.op("Gather", after.constant(strides, np.float32), at)
    centre = after.op("Mul", after.op("Add", columns(0, 2), cell), stride)
    size = after.op("Mul", after.op("Exp", columns(2, 4)), stride)
    half = after.op("Mul", size, after.constant(0.5, np.float32))
    boxes = after.op("Concat", after.op("Sub", centre, half), after.op("Add", centre, half), axis=1)
    suppress(after, boxes=boxes, scores=scores, classes=classes, class_count=class_count, side=max(height, width))

    return Adapted(
        model=canonical_detector(source.model, before=before, after=after, height=height, width=width),
        task="detection",
        input=InputSpec(height, width, fit="letterbox", interpolation="linear"),
        class_count=class_count,
        feed=lambda fitted: {source.inputs[0].name: fitted.transpose(2, 0, 1)[None].astype(np.float32)},
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


def _cells(height: int, width: int) -> tuple[Float32, Float32]:
    grids = [
        np.stack(np.meshgrid(np.arange(width // stride), np.arange(height // stride)), axis=-1).reshape(-1, 2)
        for stride in STRIDES
    ]
    strides = [np.full((len(grid), 1), stride) for grid, stride in zip(grids, STRIDES, strict=True)]
    return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _input_size(source: Source) -> tuple[int, int]:
    expected = "one float input of 1x3xHxW, H and W multiples of 32"
    if len(source.inputs) != 1 or source.inputs[0].dtype != "float":
        raise MisfitError(f"inputs are {_said(source.inputs)}, expected {expected}")
    match source.inputs[0].shape:
        case (1 | str(), 3, int(height), int(width)) if height > 0 < width and height % 32 == width % 32 == 0:
            return height, width
    raise MisfitError(f"input is {source.inputs[0]}, expected {expected}")


def _class_count(source: Source, height: int, width: int) -> int:
    if len(source.outputs) != 1:
        raise MisfitError(f"outputs are {_said(source.outputs)}, expected a single one")
    grey = np.full((1, 3, height, width), 114, np.float32)
    (answer,) = source.run({source.inputs[0].name: grey})
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
