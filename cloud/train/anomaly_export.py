"""From a trained anomaly network to the canonical ONNX graph."""

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor, nn

from cloud.imports.graph import Nodes, canonical_classifier
from cloud.train.anomaly_net import AnomalyNet
from cloud.train.export import fold_batch_norm, traced
from models.manifest import InputSpec
from models.runner import INPUT


def export_anomaly(model: AnomalyNet, spec: InputSpec) -> onnx.ModelProto:
    """The canonical graph: uint8 (1, H, W, 3) in, `scores` (1, 2) out, the probabilities of good and anomaly.

    What was fitted after training is in nodes named canonical/, which int8 leaves alone: a distance is a small
    difference of large numbers.
    """
    example = torch.zeros(1, 3, spec.height, spec.width)
    network = traced(fold_batch_norm(_Network(model)), example, name="pixels", outputs=["cells", "seen"])
    before, after = Nodes("in"), Nodes("out")
    planes = before.op("Transpose", INPUT, perm=[0, 3, 1, 2])  # while it is a quarter of the bytes
    before.op("Cast", planes, to=TensorProto.FLOAT, out="pixels")

    def constant(value: Tensor) -> str:
        return after.constant(value.numpy(), np.float32)

    space, row = after.constant([2, 3], np.int64), after.constant([1], np.int64)
    pooled = after.op("Concat", *(after.op(kind, "seen", space, keepdims=0) for kind in _POOLS), axis=1)  # (1, 2C)
    x = after.op("Mul", after.op("Sub", pooled, constant(model.mean)), constant(model.scale))
    along = after.op("MatMul", x, constant(model.directions))  # (1, directions)
    whole, usual = (after.op("ReduceSumSquare", value, row, keepdims=1) for value in (x, along))  # (1, 1)
    squared = after.op("Sub", after.op("Div", whole, constant(model.looseness)), usual)
    distance = after.op("Sqrt", after.op("Relu", squared))
    worst = after.op("ReduceMax", after.op("Flatten", "cells", axis=1), row, keepdims=1)
    measures = after.op("Concat", worst, distance, axis=1)  # (1, 2)
    logits = after.op("Add", after.op("Mul", measures, constant(model.gain)), constant(model.offset))
    logit = after.op("ReduceMax", logits, row, keepdims=1)
    after.op("Sigmoid", after.op("Concat", after.op("Neg", logit), logit, axis=1), out="scores")
    return canonical_classifier(
        network, before=before, after=after, height=spec.height, width=spec.width, class_count=2
    )


_POOLS = ("ReduceMean", "ReduceMax")


class _Network(nn.Module):
    def __init__(self, model: AnomalyNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.look(pixels)
