"""The smallest variant of YOLOX-nano and of FastestDet that the gate lets through, on coco128.

AP at least 0.97 x fp32, bytes at most 0.35 x, latency at most 1.05 x. The value is the worst of these figures as a
part of its limit.
"""

import sys

from benchmarks.bar import Bar, report
from benchmarks.detectors import compress_detectors, say, worst

LIMITS = {"ap": 0.97, "bytes": 0.35, "latency": 1.05}


def main() -> int:
    value, said = 0.0, []
    for name, found in compress_detectors().items():
        accepted = [row for row in found.variants.values() if row["accepted"]]
        smallest = min(accepted, key=lambda row: row["bytes"])["name"]
        parts = found.against_fp32(smallest)
        value = max(value, worst(parts, LIMITS))
        said.append(f"{say(name, smallest, parts)} (ships: {found.chosen})")
    return report(Bar("detectors, smallest variant let through", value, 1.0, "lower", "of limit", "; ".join(said)))


if __name__ == "__main__":
    sys.exit(main())
