"""int8 is in the network and nowhere else, and decides as fp32 does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from cloud.compress.quantize import float_part, prepare, quantize
from cloud.compress.sensitivity import sensitivities
from cloud.image_folder import find_images, load_images
from models.detections import UInt8
from models.errors import ModelError
from models.manifest import read_manifest
from models.runner import Runner


@pytest.fixture
def calibration(pictures: Path, trained_run: Path) -> UInt8:
    return load_images(find_images(pictures / "train"), read_manifest(trained_run).input).pixels


def test_int8_decides_as_fp32_on_what_it_never_saw(
    trained_run: Path, pictures: Path, calibration: UInt8, tmp_path: Path
) -> None:
    manifest = read_manifest(trained_run)
    quantize(prepare(trained_run / "model.onnx", tmp_path), tmp_path / "int8.onnx", calibration)
    full, small = Runner(trained_run / "model.onnx", manifest), Runner(tmp_path / "int8.onnx", manifest)
    for picture in load_images(find_images(pictures / "val"), manifest.input).pixels:
        assert small.probabilities(picture) == pytest.approx(full.probabilities(picture), abs=0.1)


def test_preprocessing_first_convolution_and_softmax_stay_in_float(
    trained_run: Path, calibration: UInt8, tmp_path: Path
) -> None:
    quantize(prepare(trained_run / "model.onnx", tmp_path), tmp_path / "int8.onnx", calibration)
    graph = onnx.load(tmp_path / "int8.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    fed_by_int8 = [made_by.get(node.input[0]) == "DequantizeLinear" for node in convolutions]
    assert fed_by_int8 == [False] + [True] * (len(convolutions) - 1)
    (softmax,) = [node for node in graph.node if node.op_type == "Softmax"]
    assert softmax.output[0] == "scores"
    first_quantised = next(index for index, node in enumerate(graph.node) if node.op_type == "QuantizeLinear")
    assert "Cast" in {node.op_type for node in graph.node[:first_quantised]}


def test_weights_have_a_scale_for_each_channel(trained_run: Path, calibration: UInt8, tmp_path: Path) -> None:
    quantize(prepare(trained_run / "model.onnx", tmp_path), tmp_path / "int8.onnx", calibration)
    scales = [tensor for tensor in onnx.load(tmp_path / "int8.onnx").graph.initializer if "weight_scale" in tensor.name]
    assert any(np.prod(scale.dims) > 1 for scale in scales)


def test_only_what_lies_between_weights_is_the_network() -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["a"], "cast", to=1),
        helper.make_node("Conv", ["a", "w3"], ["b"], "stem"),
        helper.make_node("Relu", ["b"], ["c"], "relu"),
        helper.make_node("Conv", ["c", "w1"], ["d"], "depthwise", group=8),
        helper.make_node("Sigmoid", ["d"], ["e"], "gate"),
        helper.make_node("Mul", ["d", "e"], ["f"], "swish"),
        helper.make_node("Conv", ["f", "w8"], ["g"], "head"),
        helper.make_node("Exp", ["g"], ["boxes"], "decode"),
    ]
    weights = [
        helper.make_tensor(name, 1, shape, np.zeros(np.prod(shape)))
        for name, shape in (("w3", (8, 3, 1, 1)), ("w1", (8, 1, 1, 1)), ("w8", (4, 8, 1, 1)))
    ]
    graph = helper.make_graph(nodes, "g", [], [], weights)
    assert float_part(graph) == {"cast", "stem", "decode"}


def test_an_old_opset_is_raised(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["image", "w"], ["scores"], "conv")]
    weight = helper.make_tensor("w", 1, (2, 3, 1, 1), np.zeros(6))
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("image", 1, (1, 3, 4, 4))],
        [helper.make_tensor_value_info("scores", 1, (1, 2, 4, 4))],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.save(model, tmp_path / "old.onnx")
    prepared = prepare(tmp_path / "old.onnx", tmp_path)
    assert onnx.load(prepared.path).opset_import[0].version >= 13


def test_a_node_left_in_float_keeps_its_weights_and_its_activation(
    trained_run: Path, calibration: UInt8, tmp_path: Path
) -> None:
    prepared = prepare(trained_run / "model.onnx", tmp_path)
    spared = prepared.weighted[0]
    quantize(prepared, tmp_path / "int8.onnx", calibration, floating=[spared])
    graph = onnx.load(tmp_path / "int8.onnx").graph
    weights = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    (node,) = [node for node in graph.node if node.name == spared]
    assert node.input[1] in weights
    (reader,) = [other for other in graph.node if node.output[0] in other.input]
    assert reader.op_type == "Relu"  # not rounded on the way to it


def test_a_node_left_in_float_between_int8_ones_is_not_rounded_when_the_session_loads(
    trained_run: Path, calibration: UInt8, tmp_path: Path
) -> None:
    manifest, prepared = read_manifest(trained_run), prepare(trained_run / "model.onnx", tmp_path)
    quantize(prepared, tmp_path / "int8.onnx", calibration, floating=prepared.weighted)
    full, spared = (Runner(path, manifest) for path in (prepared.path, tmp_path / "int8.onnx"))
    for picture in calibration[:5]:
        assert spared.probabilities(picture) == pytest.approx(full.probabilities(picture), abs=0.02)


def test_sensitivity_names_every_node_with_weights_worst_first(
    trained_run: Path, calibration: UInt8, tmp_path: Path
) -> None:
    prepared = prepare(trained_run / "model.onnx", tmp_path)
    found = sensitivities(prepared, list(calibration), method="min-max")
    assert {item.node for item in found} == set(prepared.weighted)
    assert found == sorted(found, key=lambda item: -item.error)
    assert all(0 < item.error < 0.5 for item in found)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="could not be quantised"):
        prepare(tmp_path / "model.onnx", tmp_path)
    assert not (tmp_path / "int8.onnx").exists()


@pytest.mark.parametrize("module", ["cloud.compress.quantize", "cloud.imports.source"])
def test_whoever_imports_onnxruntime_has_switched_its_telemetry_off(module: str) -> None:
    code = f"import os, {module}; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
