"""Frames a second of a gateway with two workers on a file at 480p, as a part of a bare `session.run` on one thread.
FastestDet; two cores, taking turns.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.bar import Bar, report
from benchmarks.gateway import against_bare, detector, video_of
from benchmarks.learning import on_two_cores


def main() -> int:
    on_two_cores()
    with tempfile.TemporaryDirectory() as folder:
        run = detector(Path(folder))
        video = video_of(Path(folder), size=(640, 480), frames=800)
        ratio, ours, bare = against_bare(run, video, workers=2)
    said = f"640x480, {ours:.0f} against {bare:.0f}/s"
    return report(Bar("frames a second with two workers / bare session.run", ratio, 1.3, "higher", "x", said))


if __name__ == "__main__":
    sys.exit(main())
