"""Average precision of a detector, as COCO measures it (https://cocodataset.org/#detection-eval).

Per class, detections of all pictures are ranked by score. Each in turn takes the free box of its class and picture
that it overlaps most, if their IoU reaches the threshold, and is then right; else it is wrong. Precision, made to fall
monotonically, is read at the 101 recalls 0, 0.01 ... 1 and averaged. AP50 is that at IoU 0.5, AP50-95 the mean over
IoU 0.5, 0.55 ... 0.95; both are means over the classes that have a box somewhere. At most 100 detections of a class
count in a picture. COCO's crowd regions and size ranges are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.detections import Detections, Float32, Int64

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MAX_PER_CLASS = 100

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is in a picture: `xyxy` float32 (n, 4) in its pixels, `class_ids` int64 (n,)."""

    xyxy: Float32
    class_ids: Int64


@dataclass(frozen=True, slots=True)
class ClassPrecision:
    """One class; `boxes` of it are in the pictures."""

    ap50: float
    ap50_95: float
    boxes: int


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """Means over classes, and each class that has a box, by class id. Without any box the means are nan."""

    ap50: float
    ap50_95: float
    by_class: dict[int, ClassPrecision]


def average_precision(truths: Sequence[Truth], found: Sequence[Detections]) -> AveragePrecision:
    """Compare what was found in each picture (with scores far below any threshold of use) with what is in it."""
    if len(truths) != len(found):
        raise ValueError(f"{len(truths)} pictures have a truth, but {len(found)} were looked at")
    classes = sorted({class_id for truth in truths for class_id in truth.class_ids.tolist()})
    by_class = {class_id: _class_precision(truths, found, class_id) for class_id in classes}
    ap50 = [precision.ap50 for precision in by_class.values()]
    ap50_95 = [precision.ap50_95 for precision in by_class.values()]
    if not by_class:
        return AveragePrecision(float("nan"), float("nan"), {})
    return AveragePrecision(float(np.mean(ap50)), float(np.mean(ap50_95)), by_class)


def _class_precision(truths: Sequence[Truth], found: Sequence[Detections], class_id: int) -> ClassPrecision:
    scores: list[Float32] = []
    right: list[npt.NDArray[np.bool_]] = []
    boxes = 0
    for truth, seen in zip(truths, found, strict=True):
        there = truth.xyxy[truth.class_ids == class_id]
        mine = seen.where(seen.class_ids == class_id)
        ranked = mine.where(np.argsort(-mine.scores, kind="stable")[:MAX_PER_CLASS])
        boxes += len(there)
        scores.append(ranked.scores)
        right.append(_match(_ious(ranked.xyxy, there)))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    by_threshold = [_area(hits[order], boxes) for hits in np.concatenate(right, axis=1)]
    return ClassPrecision(by_threshold[0], float(np.mean(by_threshold)), boxes)


def _match(ious: Float64) -> npt.NDArray[np.bool_]:
    """IoUs (detections in order of score, boxes) -> which detections are right, (thresholds, detections)."""
    right = np.zeros((len(IOU_THRESHOLDS), len(ious)), np.bool_)
    if not ious.size:
        return right
    free = np.ones((len(IOU_THRESHOLDS), ious.shape[1]), np.bool_)
    rows = np.arange(len(IOU_THRESHOLDS))
    for detection, overlaps in enumerate(ious):
        candidates = np.where(free, overlaps, -1.0)  # (thresholds, boxes)
        best = candidates.argmax(axis=1)
        hit = candidates[rows, best] >= IOU_THRESHOLDS
        right[:, detection] = hit
        free[rows[hit], best[hit]] = False
    return right


def _area(right: npt.NDArray[np.bool_], boxes: int) -> float:
    true = np.cumsum(right)
    precision = true / np.arange(1, len(right) + 1)
    # precision at a recall is the best that any higher recall reaches
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(true / boxes, RECALLS, side="left")
    return float(np.concatenate((precision, [0.0]))[np.minimum(at, len(precision))].mean())


def _ious(a: Float32, b: Float32) -> Float64:
    """(n, 4), (m, 4) -> (n, m)."""
    first, second = a[:, None].astype(np.float64), b[None].astype(np.float64)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    inner = np.clip(sides, 0, None).prod(axis=-1)
    union = (first[..., 2:] - first[..., :2]).prod(axis=-1) + (second[..., 2:] - second[..., :2]).prod(axis=-1) - inner
    return np.asarray(np.divide(inner, union, out=np.zeros_like(inner), where=union > 0), np.float64)
