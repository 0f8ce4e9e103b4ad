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
from models.overlap import overlaps

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


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """What was found of one class in all pictures, best score first: `scores` float32 (n,), `right` bool
    (thresholds, n), `picture` int64 (n,) the picture that each is in; `boxes` int64 (pictures,) how many of the class
    are in each."""

    class_id: int
    scores: Float32
    right: npt.NDArray[np.bool_]
    picture: Int64
    boxes: Int64


def average_precision(truths: Sequence[Truth], found: Sequence[Detections]) -> AveragePrecision:
    """Compare what was found in each picture (with scores far below any threshold of use) with what is in it."""
    return precision_of(rank(truths, found))


def precision_of(rankings: Sequence[Ranking]) -> AveragePrecision:
    """Average precision of what has been ranked."""
    by_class = {}
    for ranking in rankings:
        boxes = int(ranking.boxes.sum())
        by_threshold = [_area(hits, boxes) for hits in ranking.right]
        by_class[ranking.class_id] = ClassPrecision(by_threshold[0], float(np.mean(by_threshold)), boxes)
    ap50 = [precision.ap50 for precision in by_class.values()]
    ap50_95 = [precision.ap50_95 for precision in by_class.values()]
    if not by_class:
        return AveragePrecision(float("nan"), float("nan"), {})
    return AveragePrecision(float(np.mean(ap50)), float(np.mean(ap50_95)), by_class)


def rank(truths: Sequence[Truth], found: Sequence[Detections]) -> list[Ranking]:
    """A ranking for each class that has a box somewhere, in order of class ids."""
    if len(truths) != len(found):
        raise ValueError(f"{len(truths)} pictures have a truth, but {len(found)} were looked at")
    classes = sorted({class_id for truth in truths for class_id in truth.class_ids.tolist()})
    return [_rank_class(truths, found, class_id) for class_id in classes]


def resampled_precision(rankings: Sequence[Ranking], counts: Int64) -> Float64:
    """AP50-95 of samples of the pictures, (samples,): in sample s picture p is there `counts[s, p]` times. Classes
    without a box in a sample don't count there; nan where there is none at all."""
    total = np.zeros(len(counts))
    classes = np.zeros(len(counts))
    for ranking in rankings:
        boxes = counts @ ranking.boxes  # (samples,)
        times = counts[:, ranking.picture].astype(np.float64)  # (samples, n)
        seen = np.maximum(np.cumsum(times, axis=1), 1e-9)
        areas = np.zeros(len(counts))
        for right in ranking.right:
            true = np.cumsum(times * right, axis=1)
            precision = np.maximum.accumulate((true / seen)[:, ::-1], axis=1)[:, ::-1]
            areas += _areas(true / np.maximum(boxes, 1)[:, None], precision)
        total += np.where(boxes > 0, areas / len(ranking.right), 0)
        classes += boxes > 0
    return np.asarray(np.divide(total, classes, out=np.full(len(counts), np.nan), where=classes > 0), np.float64)


def _areas(recall: Float64, precision: Float64) -> Float64:
    """Means of each row's precision (rows, n) at the first place where its recall reaches 0, 0.01 ... 1."""
    rows, n = recall.shape
    # one search for all rows: each is moved to a place of its own on the line
    places = 2.0 * np.arange(rows)[:, None]
    at = np.searchsorted((recall + places).ravel(), (RECALLS + places - 1e-12).ravel(), side="left").reshape(rows, -1)
    at = np.clip(at - n * np.arange(rows)[:, None], 0, n)
    padded = np.concatenate((precision, np.zeros((rows, 1))), axis=1)
    return np.asarray(np.take_along_axis(padded, at, axis=1).mean(axis=1), np.float64)


def _rank_class(truths: Sequence[Truth], found: Sequence[Detections], class_id: int) -> Ranking:
    scores: list[Float32] = []
    right: list[npt.NDArray[np.bool_]] = []
    pictures: list[Int64] = []
    boxes = []
    for index, (truth, seen) in enumerate(zip(truths, found, strict=True)):
        there = truth.xyxy[truth.class_ids == class_id]
        mine = seen.where(seen.class_ids == class_id)
        ranked = mine.where(np.argsort(-mine.scores, kind="stable")[:MAX_PER_CLASS])
        boxes.append(len(there))
        scores.append(ranked.scores)
        right.append(_match(overlaps(ranked.xyxy, there)))
        pictures.append(np.full(len(ranked.scores), index, np.int64))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Ranking(
        class_id,
        np.concatenate(scores)[order],
        np.concatenate(right, axis=1)[:, order],
        np.concatenate(pictures)[order],
        np.array(boxes, np.int64),
    )


def _match(ious: Float64) -> npt.NDArray[np.bool_]:
    """IoUs (detections in order of score, boxes) -> which detections are right, (thresholds, detections)."""
    right = np.zeros((len(IOU_THRESHOLDS), len(ious)), np.bool_)
    if not ious.size:
        return right
    free = np.ones((len(IOU_THRESHOLDS), ious.shape[1]), np.bool_)
    rows = np.arange(len(IOU_THRESHOLDS))
    for detection, row in enumerate(ious):
        candidates = np.where(free, row, -1.0)  # (thresholds, boxes)
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
