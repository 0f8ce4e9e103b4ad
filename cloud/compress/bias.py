"""Bias correction: what rounding the weights adds to a convolution's answers on average is taken off its bias
(Nagel et al. 2019, https://arxiv.org/abs/1906.04721, section 4.2)."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported; see models/runner.py

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from cloud.compress.weights_only import rounded, stored
from models.detections import UInt8
from models.durable import write_atomic
from models.runner import INPUT

Float32 = npt.NDArray[np.float32]


def correct_biases(model: Path, small: Path, calibration: Sequence[UInt8]) -> None:
    """Correct `small`, the weight-only int8 variant of `model`, by what its convolutions see on fitted pictures."""
    proto = onnx.load(str(model))
    weights = stored(proto.graph)
    variant = onnx.load(str(small))
    convolutions = [node for node in proto.graph.node if node.op_type == "Conv" and node.input[1] in weights]
    means = _channel_means(proto, sorted({node.input[0] for node in convolutions}), calibration)
    shifts = {}
    for node in convolutions:
        exact, axis = weights[node.input[1]]
        if exact.ndim != 4:
            continue
        values, scales = rounded(exact, axis)
        error = (values * scales.reshape(-1, 1, 1, 1) - exact).sum(axis=(2, 3))  # (out, in / groups)
        groups = next((item.i for item in node.attribute if item.name == "group"), 1)
        seen = means[node.input[0]].reshape(groups, 1, -1)  # (groups, 1, in / groups)
        shift = (error.reshape(groups, -1, error.shape[1]) * seen).sum(axis=2).reshape(-1)
        shifts[node.output[0]] = -shift
    _add_to_biases(variant, shifts)
    write_atomic(small, variant.SerializeToString())


def _channel_means(model: onnx.ModelProto, values: Sequence[str], pictures: Sequence[UInt8]) -> dict[str, Float32]:
    """The mean of each channel of (1, C, H, W) values over all places of all pictures."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    for index, value in enumerate(values):
        name = f"mean{index}"
        probe.graph.node.append(helper.make_node("GlobalAveragePool", [value], [name]))
        probe.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [f"mean{index}" for index in range(len(values))]
    answers = [session.run(names, {INPUT: picture[None]}) for picture in pictures]
    return {
        value: np.mean([answer[index].reshape(-1) for answer in answers], axis=0) for index, value in enumerate(values)
    }


def _add_to_biases(model: onnx.ModelProto, shifts: dict[str, Float32]) -> None:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Conv" or node.output[0] not in shifts:
            continue
        shift = shifts[node.output[0]].astype(np.float32)
        own = f"{node.output[0]}/bias"  # a bias may serve two convolutions
        if len(node.input) > 2 and node.input[2] in tensors:
            bias = numpy_helper.to_array(tensors[node.input[2]]).astype(np.float32) + shift
            node.input[2] = own
        elif len(node.input) == 2:
            bias = shift
            node.input.append(own)
        else:
            continue  # a bias that is computed
        model.graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), own))
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
