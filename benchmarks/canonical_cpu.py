"""CPU time per frame of a canonical graph against the script that people write, on real frames.

The script: cv2.dnn.blobFromImage, an onnxruntime session on the original file, the documented decoding in numpy
(vectorised, cells below the score threshold dropped first), cv2.dnn.NMSBoxesBatched by class. Both keep scores above
0.001 and IoU 0.45, start from the same fitted frame and compute on one thread; they take turns, frame by frame. They
must find the same: as many boxes, within 0.01 px of each other.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from benchmarks.bar import Bar, report
from benchmarks.detectors import DETECTORS
from benchmarks.learning import real_data
from cloud.imports.adapters import ADAPTERS
from cloud.imports.cells import cells_of
from cloud.imports.source import read_source
from models.detections import UInt8
from models.fitting import fit
from models.manifest import InputSpec, Manifest
from models.runner import Runner

VIDEOS = ("bottle-detection.mp4", "car-detection.mp4", "store-aisle-detection.mp4", "worker-zone-detection.mp4")
FRAMES = 40  # of each
SCORE, IOU = 0.001, 0.45

Float = npt.NDArray[np.floating[Any]]
Script = Callable[[UInt8], tuple[Float, Float]]


def main() -> int:
    cv2.setNumThreads(1)
    worst, said = 0.0, []
    for name, adapter in DETECTORS.items():
        path = real_data("models") / f"{name}.onnx"
        adapted = ADAPTERS[adapter](read_source(path), None)
        labels = tuple(map(str, range(adapted.class_count or 0)))
        manifest = Manifest("coco", "detection", labels, adapted.input, threshold=0.0)
        runner = Runner(adapted.model.SerializeToString(), manifest)
        ratio, boxes, error = _compare(runner, SCRIPTS[name](_session(str(path))), _frames(adapted.input))
        worst = max(worst, ratio)
        said.append(f"{name} {ratio:.3f} x ({boxes} boxes the same, at most {error:.1g} px apart)")
    return report(Bar("canonical graph / naive script, CPU time", worst, 0.97, "lower", "x", "; ".join(said)))


def _compare(runner: Runner, script: Script, frames: list[UInt8]) -> tuple[float, int, float]:
    """The median ratio of CPU times of a frame, the boxes found, and how far apart they are at most (px)."""
    ratios: list[float] = []
    boxes, error = 0, 0.0
    for frame in frames[:3]:
        runner.candidates(frame), script(frame)
    for number, frame in enumerate(frames):
        took = {}
        for who in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
            started = time.process_time()
            if who == "ours":
                found, scores, _ = runner.candidates(frame)
            else:
                expected, expected_scores = script(frame)
            took[who] = time.process_time() - started
        ratios.append(took["ours"] / took["theirs"])
        if len(found) != len(expected):
            raise SystemExit(f"frame {number}: {len(found)} boxes, the script finds {len(expected)}")
        boxes += len(found)
        error = max(error, _apart(found, scores, expected, expected_scores))
    if error > 0.01:
        raise SystemExit(f"boxes are up to {error:.3g} px apart")
    return float(np.median(ratios)), boxes, error


def _apart(found: Float, scores: Float, expected: Float, expected_scores: Float) -> float:
    """The largest distance of a box from the nearest of the script's with its score."""
    if not len(found):
        return 0.0
    distances = np.abs(found[:, None] - expected[None]).max(axis=2)  # (n, n)
    distances[np.abs(scores[:, None] - expected_scores[None]) > 1e-4] = np.inf
    return float(distances.min(axis=1).max())


def _yolox(session: ort.InferenceSession) -> Script:
    cells, strides = cells_of(416, 416, (8, 16, 32))

    def script(frame: UInt8) -> tuple[Float, Float]:
        blob = cv2.dnn.blobFromImage(frame)
        rows = session.run(None, {"images": blob})[0][0]
        rows, cell, stride = _likely(rows[:, 4] > SCORE, rows, cells, strides)
        scores = rows[:, 4:5] * rows[:, 5:]
        classes = scores.argmax(axis=1)
        centre, size = (rows[:, :2] + cell) * stride, np.exp(rows[:, 2:4]) * stride
        return _suppress(centre - size / 2, size, scores.max(axis=1), classes)

    return script


def _fastestdet(session: ort.InferenceSession) -> Script:
    cells, _ = cells_of(352, 352, (16,))

    def script(frame: UInt8) -> tuple[Float, Float]:
        blob = cv2.dnn.blobFromImage(frame, scalefactor=1 / 255)
        rows = session.run(None, {"input.1": blob})[0][0].reshape(85, -1).T
        rows, cell = _likely(rows[:, 0] ** 0.6 > SCORE, rows, cells)
        scores = rows[:, 0] ** 0.6 * rows[:, 5:].max(axis=1) ** 0.4
        centre = (cell + np.tanh(rows[:, 1:3])) * 16
        size = 352 / (1 + np.exp(-rows[:, 3:5]))
        return _suppress(centre - size / 2, size, scores, rows[:, 5:].argmax(axis=1))

    return script


SCRIPTS = {"yolox_nano": _yolox, "FastestDet": _fastestdet}


def _likely(mask: npt.NDArray[np.bool_], *arrays: Float) -> list[Float]:
    return [array[mask] for array in arrays]


def _suppress(corners: Float, sizes: Float, scores: Float, classes: npt.NDArray[np.int64]) -> tuple[Float, Float]:
    corners_and_sizes = np.concatenate((corners, sizes), axis=1)
    # lists: arrays take twice as long to get into this function
    left = cv2.dnn.NMSBoxesBatched(corners_and_sizes.tolist(), scores.tolist(), classes.tolist(), SCORE, IOU)
    kept = np.asarray(left, np.int64).reshape(-1)
    kept = kept[np.argsort(-scores[kept], kind="stable")][:300]
    return np.concatenate((corners, corners + sizes), axis=1)[kept], scores[kept]


def _session(path: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _frames(spec: InputSpec) -> list[UInt8]:
    frames = []
    for name in VIDEOS:
        video = cv2.VideoCapture(str(real_data("videos") / name))
        for _ in range(FRAMES):
            read, frame = video.read()
            if not read:
                break
            frames.append(fit(np.asarray(frame, np.uint8), spec)[0])
    return frames


if __name__ == "__main__":
    sys.exit(main())
