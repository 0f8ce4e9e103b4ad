"""From a trained network to the canonical ONNX graph. torch.onnx lives here."""

from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cloud.lean import lean
from cloud.quiet import quiet
from models.manifest import InputSpec


def export_classifier(model: nn.Module, spec: InputSpec) -> onnx.ModelProto:
    """The canonical graph of `model`, which takes pixels 0..255 (B, 3, H, W) BGR and answers logits (B, classes).

    uint8 (1, H, W, 3) in, probabilities out: what a camera gives goes in, and no gateway knows what happens inside.
    """
    canonical = _Canonical(fold_batch_norm(model)).eval()
    example = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
    return lean(traced(canonical, example, name="image", outputs=["scores"]))


def traced(model: nn.Module, example: Tensor, *, name: str, outputs: Sequence[str]) -> onnx.ModelProto:
    """The ONNX graph of `model`, whose input is called `name` and is like `example`."""
    # the exporter tells of each of its passes, and regrets the absence of torchvision
    with quiet("torch.onnx", "onnx_ir", "onnxscript"):
        program = torch.onnx.export(
            model, (example,), dynamo=True, input_names=[name], output_names=list(outputs), verbose=False
        )
    if program is None:
        raise RuntimeError("torch.onnx.export(dynamo=True) always returns a program")
    return program.model_proto


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy in which each batch normalisation is part of the convolution before it."""
    program = torch.fx.symbolic_trace(model.eval())
    modules = dict(program.named_modules())
    for node in list(program.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        before = node.args[0]
        convolution = modules[before.target]
        fused = fuse_conv_bn_eval(convolution, modules[node.target])
        program.set_submodule(before.target, fused)
        node.replace_all_uses_with(before)
        program.graph.erase_node(node)
    program.recompile()
    return program


class _Canonical(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).float()  # uint8 (1, H, W, 3) -> float (1, 3, H, W)
        return torch.softmax(self.model(pixels), dim=1)
