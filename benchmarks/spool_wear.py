"""What an hour of results writes to the card: a camera at 15 frames a second with three things in each, a commit every
0.9 s, health, an aggregate and an event a minute, and the lake's acknowledgements every minute.

The hour is not waited for: commits follow one another. Counted is what the process makes the kernel write (write_bytes
of /proc/self/io, whole pages); the file system's own journal comes on top.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.bar import Bar, report
from edge.spool import COMMIT_S, Spool
from models.detections import Detections
from models.health import Health
from models.records import Aggregate, Event, FrameResult

FPS = 15
THINGS = 3
MINUTES = 60


def main() -> int:
    if not Path("/proc/self/io").exists():
        sys.exit("spool_wear: what is written is counted in /proc/self/io, which only Linux has")
    rng = np.random.default_rng(0)
    commits_a_minute = round(60 / COMMIT_S)
    commits = payload = number = 0
    corners = rng.uniform(100, 400, (THINGS, 2))
    with tempfile.TemporaryDirectory() as place, Spool(Path(place, "spool.db"), commit_s=3600) as spool:
        before = written_bytes()
        for minute in range(MINUTES):
            spool.append(
                Health(minute, 60.0, "coco", 3, "d" * 64, "int8", class_mix={"bottle": 2_700}),
                Aggregate("line-1", minute, 60.0, "", "bottle", 900, 2_700, 12, 3),
                Event("line-1", number, minute, "line", "fence", label="bottle", track=7),
            )
            for _ in range(commits_a_minute):
                while number < (commits + 1) * COMMIT_S * FPS:
                    corners = corners + rng.normal(0, 1.5, corners.shape)
                    boxes = np.concatenate((corners, corners + 60), axis=1).astype(np.float32)
                    scores = rng.uniform(0.5, 0.9, THINGS).astype(np.float32)
                    found = Detections(boxes, scores, np.full(THINGS, 39), np.arange(1, THINGS + 1))
                    at_ns = 1_700_000_000_000_000_000 + number * 1_000_000_000 // FPS
                    labels = ("bottle",) * THINGS
                    spool.append(FrameResult.of("line-1", number, at_ns, "coco", 3, found, labels))
                    number += 1
                spool.flush()
                commits += 1
            payload += spool.depth.bytes
            for stream in spool.streams():
                spool.acknowledge(stream.name, stream.last)
        written = written_bytes() - before
    measured = (
        f"{number} frames, {commits} commits with an fdatasync each, {payload / 1e6:.1f} MB as packed, "
        f"{written / commits / 1e3:.1f} kB a commit"
    )
    return report(Bar("spool: written to the card in an hour", written / 1e6, 50, "lower", "MB", measured))


def written_bytes() -> int:
    """By this process, so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


if __name__ == "__main__":
    sys.exit(main())
