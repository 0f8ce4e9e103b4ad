"""YuNet (https://github.com/opencv/opencv_zoo, face_detection_yunet) and detectors with an output a kind and stride."""

from functools import partial

import numpy as np
import numpy.typing as npt

from cloud.imports.adapted import Adapted, Candidates, MisfitError
from cloud.imports.cells import cells_of
from cloud.imports.graph import Nodes, boxes_around, canonical_detector, columns, likely_rows, suppress
from cloud.imports.preprocess import Preprocess, feeding, picture_input, prepare_picture
from cloud.imports.source import Source
from models.detections import Float32
from models.manifest import InputSpec

_STRIDES = (8, 16, 32)
_KINDS = {"cls": 1, "obj": 1, "bbox": 4}


def yunet(source: Source, how: Preprocess | None = None) -> Adapted:
    """Input 1 x 3 x H x W float, BGR 0..255; outputs `cls_S`, `obj_S` 1 x N x 1 and `bbox_S` 1 x N x 4 for strides S of
    8, 16, 32 (others, such as key points, are left aside). One class: face.

    For each cell, row by row: score = sqrt(cls * obj), both within 0..1, centre = (cell + v[0:2]) * stride, size =
    exp(v[2:4]) * stride (OpenCV, modules/objdetect/src/face_detect.cpp).
    """
    how = how or Preprocess(fit="letterbox")
    port = picture_input(source, multiple=32)
    names = [output.name for output in source.outputs]
    wanted = [f"{kind}_{stride}" for kind in _KINDS for stride in _STRIDES]
    if missing := [name for name in wanted if name not in names]:
        raise MisfitError(f"there is no output {missing[0]!r}, expected {', '.join(wanted)}")
    cells, strides = cells_of(port.height, port.width, _STRIDES)  # (N, 2), (N, 1)

    before, after = Nodes("in"), Nodes("out")
    prepare_picture(before, port, how)

    def rows(kind: str) -> str:
        by_stride = [source.value(f"{kind}_{stride}") for stride in _STRIDES]
        shape = after.constant([-1] if _KINDS[kind] == 1 else [-1, _KINDS[kind]], np.int64)
        return after.op("Reshape", after.op("Concat", *by_stride, axis=1), shape)

    limits = after.constant(0, np.float32), after.constant(1, np.float32)
    confident, there = (after.op("Clip", rows(kind), *limits) for kind in ("cls", "obj"))
    likely = after.op("Sqrt", after.op("Mul", confident, there))
    at = likely_rows(after, likely)
    found = after.op("Gather", rows("bbox"), at)
    stride = after.op("Gather", after.constant(strides, np.float32), at)
    cell = after.op("Gather", after.constant(cells, np.float32), at)
    centre = after.op("Mul", after.op("Add", cell, columns(after, found, 0, 2)), stride)
    size = after.op("Mul", after.op("Exp", columns(after, found, 2, 4)), stride)
    boxes = boxes_around(after, centre, size)
    scores = after.op("Gather", likely, at)
    classes = after.op("Mul", at, after.constant(0, np.int64))
    side = max(port.height, port.width)
    suppress(after, boxes=boxes, scores=scores, classes=classes, class_count=1, side=side)
    return Adapted(
        model=canonical_detector(source.model, before=before, after=after, height=port.height, width=port.width),
        task="detection",
        input=InputSpec(port.height, port.width, fit=how.fit, interpolation="linear"),
        class_count=1,
        feed=feeding(port, how),
        decode=partial(_decode, names, cells, strides),
    )


def _decode(names: list[str], cells: Float32, strides: Float32, outputs: list[npt.NDArray[np.float32]]) -> Candidates:
    by_name = dict(zip(names, outputs, strict=True))

    def rows(kind: str) -> npt.NDArray[np.float64]:
        parts = [by_name[f"{kind}_{stride}"][0] for stride in _STRIDES]
        return np.concatenate(parts).astype(np.float64)

    values = rows("bbox")
    centre = (cells + values[:, 0:2]) * strides
    with np.errstate(over="ignore"):
        half = np.exp(values[:, 2:4]) * strides / 2
    scores = np.sqrt(np.clip(rows("cls"), 0, 1) * np.clip(rows("obj"), 0, 1))[:, 0]
    return Candidates(np.concatenate((centre - half, centre + half), axis=1), scores, np.zeros(len(scores), np.int64))
