"""Weights stored small come back nearly as they were, and the graph computes in float."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from onnx import helper

from cloud.compress.bias import correct_biases
from cloud.compress.weights_only import rounded, store_fp16, store_int8
from cloud.image_folder import find_images, load_images
from models.detections import Float32
from models.manifest import read_manifest
from models.runner import Runner


@pytest.mark.parametrize(("store", "size", "tolerance"), [(store_int8, 0.72, 0.05), (store_fp16, 0.8, 0.005)])
def test_a_small_file_answers_as_the_large_one(
    trained_run: Path, pictures: Path, tmp_path: Path, store: object, size: float, tolerance: float
) -> None:
    manifest, small = read_manifest(trained_run), tmp_path / "small.onnx"
    assert callable(store)
    store(trained_run / "model.onnx", small)
    assert small.stat().st_size < size * (trained_run / "model.onnx").stat().st_size
    full, ours = Runner(trained_run / "model.onnx", manifest), Runner(small, manifest, weights_only=True)
    for picture in load_images(find_images(pictures / "val"), manifest.input).pixels:
        assert ours.probabilities(picture) == pytest.approx(full.probabilities(picture), abs=tolerance)


def test_only_weights_are_dequantised_and_nothing_is_quantised(trained_run: Path, tmp_path: Path) -> None:
    store_int8(trained_run / "model.onnx", tmp_path / "w8.onnx")
    graph = onnx.load(tmp_path / "w8.onnx").graph
    constants = {tensor.name for tensor in graph.initializer}
    assert "QuantizeLinear" not in {node.op_type for node in graph.node}
    assert all(set(node.input) <= constants for node in graph.node if node.op_type == "DequantizeLinear")


@given(
    st_numpy.arrays(
        np.float32, st_numpy.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=st.floats(-9, 9, width=32)
    ),
    st.integers(0, 1),
)
def test_no_weight_moves_by_more_than_the_clipping_allows(weights: Float32, axis: int) -> None:
    values, scales = rounded(weights, axis)
    shape = [1] * weights.ndim
    shape[axis] = -1
    back = values * scales.reshape(shape)
    rows = np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
    largest = np.abs(rows).max(axis=1)
    assert (np.abs(np.moveaxis(back - weights, axis, 0).reshape(rows.shape)) <= 0.41 * largest[:, None] + 1e-6).all()
    # and the squared error is never above that of plain rounding
    plain = np.maximum(largest, 1e-12) / 127
    naive = np.rint(rows / plain[:, None]) * plain[:, None]
    mine = np.moveaxis(back, axis, 0).reshape(rows.shape)
    assert (np.square(mine - rows).sum(axis=1) <= np.square(naive - rows).sum(axis=1) + 1e-6).all()


def test_bias_correction_takes_off_what_rounding_adds_on_average(tmp_path: Path) -> None:
    """One convolution of bright pictures, whose weights all round the same way."""
    weights = np.full((2, 3, 3, 3), 0.30371, np.float32)  # far from a step of a 127th of the largest
    weights[:, :, 0, 0] = 1.0
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["pixels"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "w"], ["answer"]),
    ]
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, [1, 16, 16, 3])],
        [helper.make_tensor_value_info("answer", onnx.TensorProto.FLOAT, [1, 2, 14, 14])],
        [onnx.numpy_helper.from_array(np.tile(weights, (4, 1, 1, 1)), "w")],
    )
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = 8
    model, small = tmp_path / "model.onnx", tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), model)
    pictures = list(np.random.default_rng(0).integers(100, 256, (4, 16, 16, 3)).astype(np.uint8))

    def answer(path: Path) -> Float32:
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.stack([session.run(None, {"image": picture[None]})[0] for picture in pictures])

    store_int8(model, small)
    before = np.abs((answer(small) - answer(model)).mean())
    correct_biases(model, small, pictures)
    after = np.abs((answer(small) - answer(model)).mean())
    assert after < 0.05 * before
