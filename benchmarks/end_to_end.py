"""Frames a second of a gateway on a file (decode, infer, track, spool), as a part of a bare `session.run` of the same
canonical graph that is fed the same pictures ready made, on one thread. FastestDet, on the video as it is and on 720p;
two cores, taking turns.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.bar import Bar, report
from benchmarks.gateway import VIDEO, against_bare, detector, video_of
from benchmarks.learning import on_two_cores, real_data


def main() -> int:
    on_two_cores()
    with tempfile.TemporaryDirectory() as folder:
        run = detector(Path(folder))
        videos = {
            "the video as it is": real_data("videos") / VIDEO,
            "720p": video_of(Path(folder), size=(1280, 720), frames=600),
        }
        found = {name: against_bare(run, video) for name, video in videos.items()}
    said = "; ".join(
        f"{name} {ratio:.3f} x ({ours:.0f} against {bare:.0f}/s)" for name, (ratio, ours, bare) in found.items()
    )
    worst = min(ratio for ratio, _, _ in found.values())
    return report(Bar("frames a second / bare session.run", worst, 0.90, "higher", "x", said))


if __name__ == "__main__":
    sys.exit(main())
