"""TrashNet (https://github.com/garythung/trashnet) from scratch: the int8 model's accuracy on the validation part.

It must be at least 0.85, in at most 1 MB, trained in at most 45 minutes on 2 cores; its authors' network, trained from
scratch, had about 0.75 on the test part. `--keep FOLDER` leaves the run folder there.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.bar import Bar, report
from benchmarks.learning import learn, on_two_cores, real_data

RECIPE = (
    *("--size", "96x128", "--width", "24", "--stages", "4", "--growth", "1.9", "--dropout", "0.2"),
    *("--epochs", "120", "--batch", "32", "--learning-rate", "3e-3", "--averaging", "0.995", "--mixup", "0.2"),
    *("--rotation", "20", "--zoom", "0.25", "--shift", "0.08", "--cutout", "0.4", "--contrast", "0.3"),
)
ACCURACY, MAX_BYTES, MAX_MINUTES = 0.85, 1_000_000, 45


def main() -> int:
    data = real_data("trashnet256")
    on_two_cores()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[sys.argv.index("--keep") + 1]) if "--keep" in sys.argv else Path(temporary)
        learned = learn(folder / "trashnet", data, *RECIPE)
    small = learned.variants["int8"]
    held = small["bytes"] <= MAX_BYTES and learned.seconds <= 60 * MAX_MINUTES
    measured = (
        f"top-1 of int8 on {small['pictures']} validation pictures (fp32 {learned.variants['fp32']['accuracy']:.4f}), "
        f"{small['bytes']:,} bytes (at most {MAX_BYTES:,}), trained in {learned.seconds / 60:.1f} min (at most "
        f"{MAX_MINUTES}); 0 where one of these does not hold"
    )
    return report(Bar("TrashNet from scratch", small["accuracy"] if held else 0, ACCURACY, "higher", "top-1", measured))


if __name__ == "__main__":
    sys.exit(main())
