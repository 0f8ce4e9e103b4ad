"""Bytes per detection on the wire, on real ones: a minute of bottles seen by FastestDet and by YOLOX-nano, tracked.

Everything counts: envelopes, names, frames that show nothing, capture times with a camera's jitter, the clock that
never jumps. Batches are cut as the gateway cuts them, at 128 KB and at 5,000 B with the topic. What arrives is decoded
and compared with what was found: boxes within an eighth of a pixel, scores within 1/510.
"""

import gzip
import json
import sys

import numpy as np

from benchmarks.bar import Bar, report
from benchmarks.detectors import DETECTORS
from benchmarks.minute import Minute, json_rows, real_minute
from edge.cut import cut
from models.records import SCORE_SCALE, FrameResult
from models.topics import results_topic
from models.wire import decode_batch

ALLOWED = {128 << 10: 4.5, 5_000: 5.5}  # bytes per detection, by the uplink's limit
FEWEST = 2.5  # detections a frame


def main() -> int:
    worst, said = 0.0, []
    for name, adapter in DETECTORS.items():
        minute = real_minute(name, adapter)
        a_frame = minute.detections / len(minute.records)
        if a_frame < FEWEST:
            raise SystemExit(f"{name} sees {a_frame:.2f} detections a frame, expected at least {FEWEST}")
        sizes = []
        for limit, allowed in ALLOWED.items():
            messages = messages_of(minute, limit - len(results_topic("gw-1")))
            size = sum(len(message) for message in messages) / minute.detections
            worst = max(worst, size / allowed)
            sizes.append(f"{size:.2f} B in {len(messages)} messages of at most {limit} B")
            _check(minute, messages)
        alone = sum(len(json.dumps(row)) for row in json_rows(minute)) / minute.detections
        zipped = len(gzip.compress(json.dumps(json_rows(minute)).encode())) / minute.detections
        sizes.append(f"JSON {alone:.0f} B, with gzip {zipped:.1f} B")
        said.append(f"{name} ({a_frame:.2f} detections a frame): {', '.join(sizes)}")
    return report(Bar("bytes per detection, as a part of what is allowed", worst, 1.0, "lower", "x", "; ".join(said)))


def messages_of(minute: Minute, limit: int) -> list[bytes]:
    """The minute as the gateway would send it."""
    messages: list[bytes] = []
    sent, guess = 0, 500
    while sent < len(minute.records):
        piece = cut("0123456789abcdef", sent + 1, minute.records[sent:], limit_bytes=limit, guess=guess)
        sent += piece.records
        guess = piece.records
        messages.append(piece.message)
    return messages


def _check(minute: Minute, messages: list[bytes]) -> None:
    arrived = [result for message in messages for _, result in decode_batch(message).frames]
    if len(arrived) != len(minute.records):
        raise SystemExit(f"{len(arrived)} of {len(minute.records)} frames arrived")
    for result, record, found in zip(arrived, minute.records, minute.found, strict=True):
        order = np.lexsort((found.class_ids, found.tracks, -np.rint(found.scores * SCORE_SCALE)))
        box = np.abs(result.detections.xyxy - found.xyxy[order]).max(initial=0)
        score = np.abs(result.detections.scores - found.scores[order]).max(initial=0)
        if box > 1 / 8 + 1e-4 or score > 0.5 / SCORE_SCALE + 1e-6 or _told(result) != _told(record):
            raise SystemExit(f"frame {record.frame} arrived changed: boxes by {box:.4f} px, scores by {score:.5f}")


def _told(result: FrameResult) -> tuple[object, ...]:
    found = result.detections
    times = (result.captured_at_us, result.steady_us)
    return result.camera, result.frame, times, result.labels, found.tracks.tolist(), found.class_ids.tolist()


if __name__ == "__main__":
    sys.exit(main())
