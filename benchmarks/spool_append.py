"""Durable appends of 10 KB to the spool, against the least that could be done: an append-only file and fdatasync.

Both take turns on one disk. A record of 10,000 bytes that do not compress, and for comparison 10 KB of frames, which
are many records and do.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.bar import Bar, report
from edge.spool import Spool
from models.detections import Detections
from models.records import FrameResult, PicturePart, Record
from models.wire import encode_record

SIZE = 10_000
ROUNDS = 400
WARM_UP = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; the system's temporary folder otherwise")
    folder = parser.parse_known_args()[0].folder
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        log = os.open(Path(place, "log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        # commits happen only when they are asked for
        with Spool(Path(place, "spool.db"), commit_s=3600, limit_bytes=1 << 30) as spool:
            picture = PicturePart(
                "0123456789abcdef", 0, 1, "line-1", 1, 1, "crop", (0, 0, 640, 480), rng.bytes(SIZE - 80)
            )
            frames = ten_kilobytes_of_frames(rng)

            def to_file() -> None:
                os.write(log, bytes(SIZE))
                os.fdatasync(log)

            def to_spool(*records: Record) -> None:
                spool.append(*records)
                spool.flush()

            file_s, record_s, frames_s = taking_turns(to_file, lambda: to_spool(picture), lambda: to_spool(*frames))
        os.close(log)
    measured = (
        f"means of {ROUNDS} appends: file {file_s * 1e3:.2f} ms, a record of 10 KB {record_s * 1e3:.2f} ms, "
        f"{len(frames)} frames of 10 KB together {frames_s * 1e3:.2f} ms (of which encoding is the most)"
    )
    return report(
        Bar("spool: durable appends / s / of an append-only file", file_s / record_s, 0.8, "higher", "x", measured)
    )


def ten_kilobytes_of_frames(rng: np.random.Generator) -> list[Record]:
    frames: list[Record] = []
    size = 0
    corners = rng.uniform(100, 400, (3, 2))
    while size < SIZE:
        corners = corners + rng.normal(0, 1.5, corners.shape)
        boxes = np.concatenate((corners, corners + 60), axis=1).astype(np.float32)
        found = Detections(boxes, rng.uniform(0.5, 0.9, 3).astype(np.float32), np.full(3, 39), np.arange(1, 4))
        number = len(frames)
        frames.append(FrameResult.of("line-1", number, number * 66_666_667, "coco", 3, found, ("bottle",) * 3))
        size += len(encode_record(frames[-1]))
    return frames


def taking_turns(*works: Callable[[], None]) -> list[float]:
    """The mean time of each, in seconds: what SQLite puts off for later is in it, too."""
    times: list[list[float]] = [[] for _ in works]
    for turn in range(WARM_UP + ROUNDS):
        for index in np.random.default_rng(turn).permutation(len(works)):
            began = time.perf_counter()
            works[index]()
            times[index].append(time.perf_counter() - began)
    return [float(np.mean(these[WARM_UP:])) for these in times]


if __name__ == "__main__":
    sys.exit(main())
