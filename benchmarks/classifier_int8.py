"""Full int8 of our own convolution and ReLU classifiers, against fp32: a short training on real photographs.

Accuracy within 0.005 of fp32, bytes at most 0.32 x, latency at most 0.75 x on x86 with VNNI. The value is the worst of
these figures as a part of its limit.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.bar import Bar, report
from benchmarks.learning import learn, on_two_cores, real_data

LOSS, BYTES, LATENCY = 0.005, 0.32, 0.75
RECIPE = ("--size", "96x128", "--width", "24", "--stages", "4", "--epochs", "12")


def main() -> int:
    data = real_data("trashnet256")
    on_two_cores()
    with tempfile.TemporaryDirectory() as temporary:
        learned = learn(Path(temporary) / "classifier", data, *RECIPE)
    full, small = learned.variants["fp32"], learned.variants["int8"]
    loss = full["accuracy"] - small["accuracy"]
    size, took = small["bytes"] / full["bytes"], small["p50_ms"] / full["p50_ms"]
    measured = (
        f"after 12 epochs on TrashNet: accuracy {loss:.4f} below fp32's {full['accuracy']:.4f} (at most {LOSS}), bytes "
        f"{size:.3f} x (at most {BYTES}), latency {took:.2f} x (at most {LATENCY}), {small['pictures']} pictures"
    )
    worst = max(loss / LOSS, size / BYTES, took / LATENCY)
    return report(Bar("our classifiers in int8", worst, 1.0, "lower", "of limit", measured))


if __name__ == "__main__":
    sys.exit(main())
