"""What people write by hand to run FastestDet on a video, for the bars that compare the gateway with it."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before onnxruntime is imported

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import onnxruntime as ort

from benchmarks.took import Took, measured
from models.detections import UInt8

SCORE, IOU = 0.25, 0.45
SIDE = 352
INPUT = "input.1"

Rows = list[tuple[float, float, float, float, float, int]]  # x1, y1, x2, y2 in pixels of the picture, score, class
Look = Callable[[UInt8], Rows]


def run_loop(look: Look, video: Path, results: Path, *, frames: int | None = None, fps: float | None = None) -> Took:
    """Every frame of a video read, looked at, and a line of JSON written for it; at most `fps` frames a second."""
    capture = cv2.VideoCapture(str(video))
    number = 0
    with results.open("w") as file, measured() as took:
        due = time.monotonic()
        while frames is None or number < frames:
            read, picture = capture.read()
            if not read:
                break
            _write(file, number, look(np.asarray(picture, np.uint8)))
            number += 1
            if fps is not None:
                due += 1 / fps
                time.sleep(max(0.0, due - time.monotonic()))
    return Took(number, *took)


def single_threaded(model: Path) -> ort.InferenceSession:
    """A session on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def with_defaults(model: Path) -> ort.InferenceSession:
    """A session as onnxruntime gives it: a thread for each core, which spin while they wait."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def blob_look(session: ort.InferenceSession) -> Look:
    """A careful loop: blobFromImage, decoding in numpy with the cells below the score dropped first, OpenCV's NMS."""

    def look(picture: UInt8) -> Rows:
        height, width = picture.shape[:2]
        blob = cv2.dnn.blobFromImage(picture, 1 / 255, (SIDE, SIDE))
        cells = session.run(None, {INPUT: blob})[0][0]  # (85, 22, 22)
        scores = cells[0] ** 0.6 * cells[5:].max(axis=0) ** 0.4
        rows, columns = np.nonzero(scores > SCORE)
        if not len(rows):
            return []
        found, kept = cells[:, rows, columns], scores[rows, columns]
        x = (columns + np.tanh(found[1])) / cells.shape[2] * width
        y = (rows + np.tanh(found[2])) / cells.shape[1] * height
        half_w = width / (1 + np.exp(-found[3])) / 2
        half_h = height / (1 + np.exp(-found[4])) / 2
        classes = found[5:].argmax(axis=0)
        corners = np.stack((x - half_w, y - half_h, 2 * half_w, 2 * half_h), axis=1)
        best = cv2.dnn.NMSBoxesBatched(corners.tolist(), kept.tolist(), classes.tolist(), SCORE, IOU)
        return [
            (*_corners(x[i], y[i], half_w[i], half_h[i]), float(kept[i]), int(classes[i]))
            for i in np.asarray(best).reshape(-1)
        ]

    return look


def script_look(session: ort.InferenceSession) -> Look:
    """The style of scripts that come with a model: float64 pictures, INTER_AREA, a Python loop over the cells."""

    def look(picture: UInt8) -> Rows:
        height, width = picture.shape[:2]
        resized = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        blob = (np.asarray(resized).transpose(2, 0, 1)[None] / 255).astype(np.float32)
        cells = session.run(None, {INPUT: blob})[0][0].transpose(1, 2, 0)  # (22, 22, 85)
        found: Rows = []
        for row in range(cells.shape[0]):
            for column in range(cells.shape[1]):
                values = cells[row][column]
                score = float(values[0] ** 0.6 * values[5:].max() ** 0.4)
                if score > SCORE:
                    x = (column + math.tanh(values[1])) / cells.shape[1] * width
                    y = (row + math.tanh(values[2])) / cells.shape[0] * height
                    half_w = width / (1 + math.exp(-values[3])) / 2
                    half_h = height / (1 + math.exp(-values[4])) / 2
                    found.append((*_corners(x, y, half_w, half_h), score, int(np.argmax(values[5:]))))
        return _suppressed(found)

    return look


def _corners(x: float, y: float, half_w: float, half_h: float) -> tuple[float, float, float, float]:
    return float(x - half_w), float(y - half_h), float(x + half_w), float(y + half_h)


def _suppressed(rows: Rows) -> Rows:
    if not rows:
        return []
    table = np.array(rows)
    order = table[:, 4].argsort()[::-1]
    areas = (table[:, 2] - table[:, 0]) * (table[:, 3] - table[:, 1])
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(rows[best])
        left, top = np.maximum(table[best, :2, None], table[order, :2].T)
        right, bottom = np.minimum(table[best, 2:4, None], table[order, 2:4].T)
        inner = np.clip(right - left, 0, None) * np.clip(bottom - top, 0, None)
        apart = inner / (areas[best] + areas[order] - inner) <= IOU
        order = order[apart | (table[order, 5] != table[best, 5])]
    return kept


def _write(file: TextIO, number: int, rows: Rows) -> None:
    document: dict[str, Any] = {"frame": number, "at": time.time(), "detections": [list(row) for row in rows]}
    file.write(json.dumps(document) + "\n")
