"""Quantisation-aware fine-tuning: weights that were trained while being rounded. torchao lives here.

Jacob et al. 2018, https://arxiv.org/abs/1712.05877: forward passes see weights and activations as int8 will have them,
gradients pass through the rounding.
"""

import copy
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.fake_quantize import FusedMovingAvgObsFakeQuantize
from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

from cloud.compress.quantize import FEW_CHANNELS
from cloud.compress.tuning import OnStep, fine_tune
from cloud.quiet import quiet
from cloud.train.export import fold_batch_norm
from cloud.train.lesson import Lesson
from cloud.train.loop import Settings
from models.manifest import InputSpec

LEARNING_RATE = 2e-4
_RANGED_ON = 4  # batches before the first step: ranges that have seen nothing are infinite

_CONVOLUTIONS = {torch.ops.aten.conv2d.default, torch.ops.aten.conv_transpose2d.input}
_WEIGHTED = {*_CONVOLUTIONS, torch.ops.aten.linear.default}
_SUMS = {torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor}
_RELUS = {torch.ops.aten.relu.default, torch.ops.aten.relu_.default}

_ACTIVATION = QuantizationSpec(
    dtype=torch.uint8,
    quant_min=0,
    quant_max=255,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(observer=MovingAverageMinMaxObserver),
)
_WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,  # as onnxruntime has it: the same scales, the same integers
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=FusedMovingAvgObsFakeQuantize.with_args(
        observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0
    ),
)


def train_quantised(
    net: nn.Module, lesson: Lesson, settings: Settings, spec: InputSpec, *, on_step: OnStep
) -> tuple[nn.Module, float]:
    """A copy of `net` with its batch normalisation folded and its weights fine-tuned under int8's rounding, and its
    fidelity to what it was. The weights are still floats: `quantize` makes the integers of them that were trained."""
    folded = fold_batch_norm(copy.deepcopy(net).eval())
    example = torch.zeros(2, 3, spec.height, spec.width)
    with quiet("torch", "torchao"):
        batch = torch.export.Dim("batch", min=1, max=4096)
        exported = torch.export.export(folded, (example,), dynamic_shapes=({0: batch},)).module()
        rounding = _Rounding(prepare_qat_pt2e(exported, _AsOurInt8()))
        rng = torch.Generator().manual_seed(settings.seed)
        with torch.no_grad():
            for pictures, *_ in islice(lesson.batches(settings.batch, rng), _RANGED_ON):
                rounding(pictures)
        # in bfloat16 the rounding would be another
        fidelity = fine_tune(rounding, lesson, replace(settings, mixed_precision="off"), on_step=on_step)
    learned = rounding.program.state_dict()
    folded.load_state_dict({name: learned[name] for name in folded.state_dict()})
    return folded, fidelity


class _Rounding(nn.Module):
    """An exported program. It refuses to change its mode, and has nothing to change: neither dropout nor statistics
    are left in it."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, ...]:
        answer: Tensor | tuple[Tensor, ...] = self.program(pictures)
        return answer

    def train(self, mode: bool = True) -> "_Rounding":
        self.training = mode
        return self


class _AsOurInt8(Quantizer):  # type: ignore[misc]  # it has no types
    """Rounds what cloud/compress/quantize.py will: weights by channel, what goes into and comes out of nodes with
    weights (after their ReLU), and sums of that; not the convolution of the bare picture."""

    def annotate(self, model: GraphModule) -> GraphModule:
        rounded: set[Node] = set()
        for node in model.graph.nodes:
            weighted = node.target in _WEIGHTED and not _reads_the_picture(node)
            if not weighted and not (node.target in _SUMS and rounded.intersection(node.all_input_nodes)):
                continue
            end = _through_relu(node)
            read = {node.args[0]: _ACTIVATION, node.args[1]: _WEIGHT} if weighted else {}
            _annotate(node, QuantizationAnnotation(read, _ACTIVATION if end is node else None))
            if end is not node:
                _annotate(end, QuantizationAnnotation({}, _ACTIVATION))
            rounded.add(end)
        return model

    def validate(self, model: GraphModule) -> None:
        """There is no choice in it that could be wrong."""


def _annotate(node: Node, annotation: QuantizationAnnotation) -> None:
    node.meta["quantization_annotation"] = replace(annotation, _annotated=True)


def _reads_the_picture(node: Node) -> bool:
    """Is it a convolution of so few channels that it stays in float?"""
    if node.target not in _CONVOLUTIONS:
        return False
    weight = node.args[1]
    assert isinstance(weight, Node)  # a parameter
    groups = node.args[6] if len(node.args) > 6 else 1
    return bool(weight.meta["val"].shape[1] * groups <= FEW_CHANNELS)


def _through_relu(node: Node) -> Node:
    """The ReLU that alone reads `node`; else `node`."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in _RELUS else node
