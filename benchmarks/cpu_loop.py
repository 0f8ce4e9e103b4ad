"""CPU time per frame of a gateway on a file (decode, infer, track, spool), as a part of what a careful loop on one
thread takes (benchmarks/loops.blob_look: blobFromImage, numpy, a line of JSON). FastestDet, a real video, taking turns.
"""

import sys

from benchmarks.bar import Bar, report
from benchmarks.gateway import against_loop
from benchmarks.loops import blob_look, single_threaded


def main() -> int:
    ratio, said = against_loop(lambda model: blob_look(single_threaded(model)))
    return report(Bar("CPU per frame / single-threaded blobFromImage loop", ratio, 0.95, "lower", "x", said))


if __name__ == "__main__":
    sys.exit(main())
