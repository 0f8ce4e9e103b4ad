"""Real detectors as releases of one model: YOLOX-nano in float, and what might replace it.

naive     every operator as int8 by the runtime's own quantiser, imported as if that were the network: nothing of ours
          has measured it. Half the average precision (0.175 of 0.376 on coco128), a third of the bytes, a sixth
          faster, and no error anywhere. With a scale for each tensor and not for each channel, the quantiser's
          default, next to nothing would be left of it (0.001).
gated     what `tidegate compress` lets through.
fastest   FastestDet: another architecture, twice as fast, and less right.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime.quantization as ort_quantization
from onnx import version_converter

from benchmarks.detectors import to_compress_with
from benchmarks.gateway import detector
from benchmarks.learning import real_data
from models.detections import Float32

_SIZE, _GREY = 416, 114  # of the letterboxed picture that YOLOX-nano takes
_CALIBRATION = 12  # pictures: he was in a hurry


def fp32_run(folder: Path) -> Path:
    """YOLOX-nano as it was trained."""
    return detector(folder, "yolox_nano", "yolox")


def fastest_run(folder: Path) -> Path:
    """FastestDet."""
    return detector(folder)


def gated_run(folder: Path, fp32: Path) -> Path:
    """What the gate chooses of YOLOX-nano's variants."""
    run = folder / "gated"
    shutil.copytree(fp32, run)
    calibration, judged = to_compress_with(folder / "pictures")
    _tidegate("compress", str(run), "--data", str(calibration), "--val", str(judged), "--minutes", "1")
    return run


def naive_run(folder: Path) -> Path:
    """All of YOLOX-nano quantised, inputs, head and all."""
    models = real_data("models")
    raised, quantised = folder / "yolox_nano_13.onnx", folder / "yolox_nano_int8.onnx"
    graph = onnx.load(str(models / "yolox_nano.onnx"))
    onnx.save(version_converter.convert_version(graph, 13), str(raised))  # else there are no scales by channel
    ort_quantization.quantize_static(
        str(raised),
        str(quantised),
        _Pictures(),
        quant_format=ort_quantization.QuantFormat.QOperator,
        activation_type=ort_quantization.QuantType.QUInt8,
        weight_type=ort_quantization.QuantType.QInt8,
        per_channel=True,
    )
    run = folder / "naive"
    _tidegate(
        *("import", str(quantised), "--adapter", "yolox", "--labels", str(models / "coco.names"), "--name", "coco"),
        *("--golden", str(real_data("coco128") / "images"), "--out", str(run)),
    )
    return run


class _Pictures(ort_quantization.CalibrationDataReader):  # type: ignore[misc]
    """Letterboxed pictures, as the network takes them."""

    def __init__(self) -> None:
        paths = sorted((real_data("coco128") / "images" / "train2017").glob("*.jpg"))[:_CALIBRATION]
        self._fitted: Iterator[Float32] = (_fitted(path) for path in paths)

    def get_next(self) -> dict[str, Float32] | None:
        picture = next(self._fitted, None)
        return None if picture is None else {"images": picture}


def _fitted(path: Path) -> Float32:
    picture = cv2.imread(str(path))
    assert picture is not None
    scale = _SIZE / max(picture.shape[:2])
    small = cv2.resize(picture, (round(picture.shape[1] * scale), round(picture.shape[0] * scale)))
    boxed = np.full((_SIZE, _SIZE, 3), _GREY, np.float32)
    boxed[: small.shape[0], : small.shape[1]] = small
    return np.ascontiguousarray(boxed.transpose(2, 0, 1)[None])


def _tidegate(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "tidegate", *words], check=True, stdout=sys.stderr)
