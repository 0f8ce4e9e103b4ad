"""Bytes per detection of our batches, as a part of what the same frames weigh as gzipped JSON in the same batches.

A minute at 15 frames a second with three tracked boxes that wander as boxes on a video do; one batch.
"""

import gzip
import json
import sys

import numpy as np

from benchmarks.bar import Bar, report
from models.batch import batch_of
from models.detections import Detections
from models.records import FrameResult, Record
from models.wire import encode_batch

FRAMES = 900
BOXES = 3


def main() -> int:
    rng = np.random.default_rng(0)
    corners = rng.uniform((100, 100), (400, 250), (BOXES, 2))
    records: list[Record] = []
    rows = []
    for number in range(FRAMES):
        corners += rng.normal(0, 1.5, corners.shape)
        sizes = np.array([60, 120]) + rng.normal(0, 1.0, corners.shape)
        scores = np.clip(rng.normal(0.7, 0.05, BOXES), 0, 1)
        found = Detections(
            np.concatenate((corners, corners + sizes), axis=1).astype(np.float32),
            scores.astype(np.float32),
            np.full(BOXES, 39, np.int64),
            np.arange(1, BOXES + 1),
        )
        at_ns = 1_700_000_000_000_000_000 + number * 66_666_667
        records.append(FrameResult.of("line-1", number, at_ns, "coco", 3, found, ("bottle",) * BOXES))
        boxes = [
            {"label": "bottle", "score": round(float(score), 3), "box": [round(float(edge), 1) for edge in box]}
            for score, box in zip(found.scores, found.xyxy, strict=True)
        ]
        rows.append({"camera": "line-1", "frame": number, "at": at_ns // 1000, "detections": boxes})
    ours = len(encode_batch(batch_of("0123456789abcdef", 1, records)))
    theirs = len(gzip.compress(json.dumps(rows).encode()))
    detections = FRAMES * BOXES
    measured = (
        f"{ours / detections:.2f} B against {theirs / detections:.2f} B a detection, "
        f"{detections} detections in {FRAMES} frames, one batch each, seed 0"
    )
    return report(Bar("bytes per detection / gzipped JSON", ours / theirs, 0.25, "lower", "x", measured))


if __name__ == "__main__":
    sys.exit(main())
