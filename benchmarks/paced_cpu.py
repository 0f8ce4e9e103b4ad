"""CPU time of a gateway at 15 frames a second, as a part of a loop's with onnxruntime's default threads, which spin
(benchmarks/loops.blob_look). FastestDet at 480p; taking turns.
"""

import sys

from benchmarks.bar import Bar, report
from benchmarks.gateway import against_loop
from benchmarks.loops import blob_look, with_defaults

FPS = 15.0


def main() -> int:
    ratio, said = against_loop(lambda model: blob_look(with_defaults(model)), fps=FPS)
    return report(Bar("CPU at 15 fps / a loop with default threads", ratio, 0.25, "lower", "x", said))


if __name__ == "__main__":
    sys.exit(main())
