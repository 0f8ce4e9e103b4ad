"""A detector of our own from scratch, as `tidegate train` does it when nothing else is asked for: the AP50-95 of what
ships, on 100 held-out pictures of small and large things on clutter (benchmarks/clutter.py), learned from 400.

It must be at least 0.55, trained in at most 20 minutes on 2 cores. `--keep FOLDER` leaves pictures and run there.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.bar import Bar, report
from benchmarks.clutter import paint_clutter
from benchmarks.learning import learn, on_two_cores
from models.manifest import read_manifest

PRECISION, MAX_MINUTES = 0.55, 20


def main() -> int:
    on_two_cores()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[sys.argv.index("--keep") + 1]) if "--keep" in sys.argv else Path(temporary)
        paint_clutter(folder / "pictures" / "train", count=400, seed=1)
        paint_clutter(folder / "pictures" / "val", count=100, seed=2)
        learned = learn(folder / "clutter", folder / "pictures")
        chosen = read_manifest(folder / "clutter").chosen
    shipped, reference = learned.variants[chosen], learned.variants["fp32"]
    measured = (
        f"AP50-95 of {chosen} on {shipped['pictures']} held-out pictures (fp32 {reference['accuracy']:.3f}), "
        f"{shipped['bytes']:,} bytes (fp32 {reference['bytes']:,}), {shipped['p50_ms']:.2f} ms a picture (fp32 "
        f"{reference['p50_ms']:.2f}), trained in {learned.seconds / 60:.1f} min (at most {MAX_MINUTES}; 0 beyond)"
    )
    value = shipped["accuracy"] if learned.seconds <= 60 * MAX_MINUTES else 0
    return report(Bar("a detector from scratch", value, PRECISION, "higher", "AP50-95", measured))


if __name__ == "__main__":
    sys.exit(main())
