"""CPU time per frame of a gateway on a file (decode, infer, track, spool), as a part of what a script takes that is
written like those that come with a model (benchmarks/loops.script_look: onnxruntime's defaults, INTER_AREA, float64, a
Python loop over the cells). FastestDet, a real video, two cores, taking turns.
"""

import sys

from benchmarks.bar import Bar, report
from benchmarks.gateway import against_loop
from benchmarks.loops import script_look, with_defaults


def main() -> int:
    ratio, said = against_loop(lambda model: script_look(with_defaults(model)))
    return report(Bar("CPU per frame / the model author's style of script", ratio, 0.42, "lower", "x", said))


if __name__ == "__main__":
    sys.exit(main())
