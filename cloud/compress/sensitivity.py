"""What int8 ruins: each node with weights is quantised alone, and the network's answers are compared."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported; see models/runner.py

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import helper

from cloud.compress.quantize import Calibration, Prepared, quantize
from models.detections import UInt8
from models.runner import INPUT

PICTURES = 4


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """`error`: the root mean square of what changes at the network's ends when `node` alone is int8, as a part of the
    root mean square of what is there; the worst of the ends."""

    node: str
    error: float


def sensitivities(
    prepared: Prepared,
    calibration: Sequence[UInt8],
    *,
    method: Calibration,
    on_node: Callable[[], None] = lambda: None,
) -> list[Sensitivity]:
    """Every node with weights, the most sensitive first."""
    pictures = calibration[:: max(1, len(calibration) // PICTURES)][:PICTURES]
    expected = ends_of(prepared.path, prepared.ends, pictures)
    found = []
    for node in prepared.weighted:
        alone = prepared.scratch / "alone.onnx"
        quantize(prepared, alone, calibration, method=method, only=[node])
        got = ends_of(alone, prepared.ends, pictures)
        found.append(Sensitivity(node, max(relative_error(a, b) for a, b in zip(expected, got, strict=True))))
        on_node()
    return sorted(found, key=lambda item: -item.error)


def ends_of(model: Path, ends: Sequence[str], pictures: Sequence[UInt8]) -> list[npt.NDArray[np.float32]]:
    """The values at `ends`, each for all pictures one after the other."""
    proto = onnx.load(str(model))
    # a copy of each, since quantisation renames what it touches and leaves the graph's own outputs alone
    made = {name for node in proto.graph.node for name in node.output}
    for index, end in enumerate(ends):
        read = f"{end}_DequantizeLinear_Output" if f"{end}_DequantizeLinear_Output" in made else end
        proto.graph.node.append(helper.make_node("Identity", [read], [f"end{index}"]))
        proto.graph.output.append(helper.make_tensor_value_info(f"end{index}", onnx.TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [f"end{index}" for index in range(len(ends))]
    answers = [session.run(names, {INPUT: picture[None]}) for picture in pictures]
    return [np.concatenate([answer[index].ravel() for answer in answers]) for index in range(len(ends))]


def relative_error(expected: npt.NDArray[np.float32], got: npt.NDArray[np.float32]) -> float:
    """The root mean square of what changed, as a part of that of what was expected."""
    scale = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64))))
    error = float(np.sqrt(np.mean(np.square(got - expected, dtype=np.float64))))
    return error / max(scale, 1e-12)
