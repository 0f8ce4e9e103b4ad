"""The exported graph is the trained network, and canonical."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from cloud.train.export import export_classifier, fold_batch_norm
from cloud.train.nets import NetConfig, ResidualNet
from models.manifest import InputSpec, Manifest
from models.runner import Runner

SPEC = InputSpec(24, 32)
MANIFEST = Manifest("net", "classification", ("a", "b", "c"), SPEC)


@pytest.fixture(scope="module")
def net() -> ResidualNet:
    """A network whose normalisations have seen something."""
    torch.manual_seed(5)
    net = ResidualNet(3, NetConfig(width=8, depth=1, stages=2))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    for _ in range(3):
        net(torch.rand(8, 3, 24, 32) * 255)
    return net.eval()


@pytest.fixture(scope="module")
def graph(net: ResidualNet) -> onnx.ModelProto:
    return export_classifier(net, SPEC)


def test_the_graph_answers_what_the_network_answers(net: ResidualNet, graph: onnx.ModelProto) -> None:
    runner = Runner(graph.SerializeToString(), MANIFEST)
    rng = np.random.default_rng(0)
    for _ in range(5):
        picture = rng.integers(0, 256, (24, 32, 3)).astype(np.uint8)
        with torch.no_grad():
            logits = net(torch.from_numpy(picture)[None].permute(0, 3, 1, 2).float())
        expected = torch.softmax(logits, dim=1)[0].numpy()
        assert runner.probabilities(picture) == pytest.approx(expected, abs=1e-5)


def test_normalisations_are_folded_into_convolutions(graph: onnx.ModelProto) -> None:
    operators = {node.op_type for node in graph.graph.node}
    assert "BatchNormalization" not in operators
    assert {"Conv", "Relu", "Gemm", "Softmax"} <= operators
    assert graph.opset_import[0].version >= 13


def test_folding_leaves_the_network_itself_alone(net: ResidualNet) -> None:
    pixels = torch.rand(2, 3, 24, 32) * 255
    with torch.no_grad():
        before = net(pixels)
        folded = fold_batch_norm(net)(pixels)
        assert torch.equal(net(pixels), before)
    assert torch.allclose(folded, before, atol=1e-4)
    assert any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


@pytest.mark.parametrize("values", [{"width": 2}, {"depth": 0}, {"stages": 9}])
def test_a_network_out_of_range_is_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="need width"):
        NetConfig(**values)
