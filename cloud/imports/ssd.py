"""Detectors that suppress by themselves, with the four outputs that TensorFlow's object detection has."""

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from cloud.imports.adapted import Adapted, Candidates, MisfitError
from cloud.imports.graph import MAX_DETECTIONS, MIN_SCORE, Nodes, canonical_detector, likely_rows
from cloud.imports.preprocess import Preprocess, feeding, picture_input, prepare_picture
from cloud.imports.source import Source
from models.manifest import InputSpec
from models.runner import OUTPUTS

_NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


def ssd(source: Source, how: Preprocess | None = None) -> Adapted:
    """Outputs `detection_boxes` 1 x N x 4 (ymin, xmin, ymax, xmax, 0..1 of the input), `detection_scores` 1 x N,
    `detection_classes` 1 x N and `num_detections` 1. The file has suppressed already; it is only put in order."""
    how = how or Preprocess(fit="letterbox")
    port = picture_input(source)
    names = [output.name for output in source.outputs]
    if sorted(names) != sorted(_NAMES):
        raise MisfitError(f"outputs are {', '.join(map(repr, names))}, expected {', '.join(_NAMES)}")

    before, after = Nodes("in"), Nodes("out")
    prepare_picture(before, port, how)
    first = after.constant([0], np.int64)
    corners, by_score, by_class = (
        after.op("Squeeze", source.value(name), first) for name in _NAMES[:3]
    )  # (N, 4), (N,), (N,)
    count = after.op("Cast", source.value("num_detections"), to=TensorProto.INT64)
    count = after.op("Reshape", count, after.constant([1], np.int64))
    valid = after.op("Slice", by_score, first, count)
    at = likely_rows(after, valid)
    found = after.op("Gather", valid, at)
    most = after.op("Min", after.op("Shape", found), after.constant([MAX_DETECTIONS], np.int64))
    rows = after.op("Gather", at, after.best(found, most))
    swapped = after.op("Gather", corners, after.constant([1, 0, 3, 2], np.int64), axis=1)
    boxes = after.op("Mul", swapped, after.constant([port.width, port.height] * 2, np.float32))
    classes = after.op("Cast", by_class, to=TensorProto.INT64)
    for values, out in zip((boxes, by_score, classes), OUTPUTS["detection"], strict=True):
        after.op("Gather", values, rows, out=out)
    return Adapted(
        model=canonical_detector(source.model, before=before, after=after, height=port.height, width=port.width),
        task="detection",
        input=InputSpec(port.height, port.width, fit=how.fit, interpolation="linear"),
        class_count=None,  # the file does not say
        feed=feeding(port, how),
        decode=lambda outputs: _decode(dict(zip(names, outputs, strict=True)), port.height, port.width),
        suppressed=True,
    )


def _decode(outputs: dict[str, npt.NDArray[np.float32]], height: int, width: int) -> Candidates:
    count = int(np.asarray(outputs["num_detections"]).reshape(-1)[0])
    corners = outputs["detection_boxes"][0, :count][:, [1, 0, 3, 2]].astype(np.float64) * (width, height, width, height)
    scores = outputs["detection_scores"][0, :count].astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > MIN_SCORE][:MAX_DETECTIONS]
    classes = outputs["detection_classes"][0, :count].astype(np.int64)
    return Candidates(corners[order], scores[order], classes[order])
