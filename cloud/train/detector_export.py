"""From a trained detector to the canonical ONNX graph."""

import math
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import nn

from cloud.imports.cells import cells_of
from cloud.imports.graph import MIN_SCORE, Nodes, best_class, canonical_detector, columns, likely_rows, suppress
from cloud.train.assign import LONGEST
from cloud.train.export import fold_batch_norm, traced
from models.manifest import InputSpec
from models.runner import INPUT


def export_detector(model: nn.Module, spec: InputSpec, strides: Sequence[int], class_count: int) -> onnx.ModelProto:
    """The canonical graph of a DetectorNet: uint8 (1, H, W, 3) in; boxes, scores and classes out, after suppression.

    Decoding is of the cells alone that have a score worth it, a few dozen of hundreds.
    """
    example = torch.zeros(1, 3, spec.height, spec.width)
    network = traced(fold_batch_norm(model), example, name="pixels", outputs=["logits", "sides"])
    before, after = Nodes("in"), Nodes("out")
    planes = before.op("Transpose", INPUT, perm=[0, 3, 1, 2])  # while it is a quarter of the bytes
    before.op("Cast", planes, to=TensorProto.FLOAT, out="pixels")

    cells, by_cell = cells_of(spec.height, spec.width, strides)  # (N, 2), (N, 1)
    first = after.constant([0], np.int64)
    logits = after.op("Squeeze", "logits", first)  # (1, N, C) -> (N, C)
    best_logit = after.op("ReduceMax", logits, after.constant([1], np.int64), keepdims=0)  # (N,)
    at = likely_rows(after, best_logit, least=math.log(MIN_SCORE / (1 - MIN_SCORE)))  # (m,)
    classes, scores = best_class(after, after.op("Sigmoid", after.op("Gather", logits, at)))
    sides = after.op("Gather", after.op("Squeeze", "sides", first), at)  # (m, 4)
    limited = after.op("Min", sides, after.constant(LONGEST, np.float32))
    away = after.op("Mul", after.op("Exp", limited), after.op("Gather", after.constant(by_cell, np.float32), at))
    centre = after.op("Gather", after.constant((cells + 0.5) * by_cell, np.float32), at)
    low = after.op("Sub", centre, columns(after, away, 0, 2))
    high = after.op("Add", centre, columns(after, away, 2, 4))
    boxes = after.op("Concat", low, high, axis=1)
    side = max(spec.height, spec.width)
    suppress(after, boxes=boxes, scores=scores, classes=classes, class_count=class_count, side=side)
    return canonical_detector(network, before=before, after=after, height=spec.height, width=spec.width)
