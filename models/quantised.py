"""Detections in the whole numbers of the wire, and back, with every check that a stranger's numbers need."""

from collections.abc import Mapping, Sequence

import numpy as np

from models import tidegate_pb2 as pb
from models.bounds import MAX_NUMBER
from models.detections import Float32, Int64
from models.records import BOX_SCALE, SCORE_SCALE

_MAX_PIXEL = 2**20


def boxes_to_int(xyxy: Float32) -> Int64:
    """(n, 4) corners in quarter pixels."""
    corners: Int64 = np.rint(xyxy.astype(np.float64) * BOX_SCALE).astype(np.int64)
    return corners


def scores_to_int(scores: Float32) -> Int64:
    """(n,) in 1/255."""
    quantised: Int64 = np.rint(scores * np.float32(SCORE_SCALE)).astype(np.int64)
    return quantised


def boxes_of(corners: Int64, scale: int) -> Float32:
    """(n, 4) in pixels; ValueError for a scale or boxes that cannot be."""
    _check_scale(scale)
    # float32 keeps quarter pixels up to here, and no picture is larger
    if len(corners) and not (corners.min() >= -_MAX_PIXEL * scale and corners.max() <= _MAX_PIXEL * scale):
        raise ValueError(f"boxes must be within {_MAX_PIXEL} pixels, got {np.abs(corners / scale).max():.0f}")
    return (corners / scale).astype(np.float32)


def scores_of(scores: Int64, scale: int) -> Float32:
    """(n,) in 0..1; ValueError for a scale or scores that cannot be."""
    _check_scale(scale)
    if len(scores) and not (scores.min() >= 0 and scores.max() <= scale):
        raise ValueError(f"scores must be in 0..{scale}, got {scores.min()}..{scores.max()}")
    return (scores / scale).astype(np.float32)


def int64(values: Sequence[int]) -> Int64:
    """A protobuf column; ValueError for a number above int64."""
    column = np.asarray(values)
    # protobuf hands its columns over as arrays, and numpy would wrap a uint64 around without a word
    if column.dtype == np.uint64 and len(column) and column.max() >= MAX_NUMBER:
        raise ValueError(f"numbers must be below {MAX_NUMBER}, got {column.max()}")
    return column.astype(np.int64)


def labels_of(
    models: Sequence[pb.Model], model: Int64, model_of_row: Int64, class_ids: Int64
) -> tuple[tuple[str, ...], Int64]:
    """The distinct labels, and for each detection the index of its own; ValueError for a model or class without.

    `model` (n,) of the frames, `model_of_row` and `class_ids` (m,) of the detections."""
    # before it is shifted into a key, which could turn negative
    if len(model) and int(model.max()) >= len(models):
        raise ValueError(f"model {model.max()} of {len(models)}")
    pairs, label = np.unique(model_of_row << 32 | class_ids, return_inverse=True)
    return tuple(label_of(models[pair >> 32].labels, pair & 0xFFFFFFFF) for pair in pairs.tolist()), label


def label_of(labels: Mapping[int, str], class_id: int) -> str:
    """The label of a class; ValueError when the batch does not say it."""
    if class_id not in labels:  # a protobuf map would invent an empty one
        raise ValueError(f"class {class_id} has no label in the batch")
    return labels[class_id]


def _check_scale(scale: int) -> None:
    if scale < 1:
        raise ValueError("scales must be at least 1")
