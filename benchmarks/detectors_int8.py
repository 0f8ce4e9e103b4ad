"""Full int8 (activations too) of YOLOX-nano and of FastestDet, on coco128.

AP at least 0.95 x fp32, bytes at most 0.45 x, latency at most 1.15 x; or the gate refuses it and says why. The value is
the worst of these figures as a part of its limit, over what was let through.
"""

import sys

from benchmarks.bar import Bar, report
from benchmarks.detectors import compress_detectors, say, worst

LIMITS = {"ap": 0.95, "bytes": 0.45, "latency": 1.15}


def main() -> int:
    value, said = 0.0, []
    for name, found in compress_detectors().items():
        row, parts = found.variants["int8"], found.against_fp32("int8")
        within = worst(parts, LIMITS)
        if row["accepted"]:
            value = max(value, within)
        verdict = "let through" if row["accepted"] else f"refused: {'; '.join(row['reasons'])}"
        said.append(f"{say(name, 'int8', parts)} ({within:.2f} of its limit; {verdict})")
    return report(Bar("detectors, full int8 or refused", value, 1.0, "lower", "of limit", "; ".join(said)))


if __name__ == "__main__":
    sys.exit(main())
