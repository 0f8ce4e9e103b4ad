"""Fashion-MNIST (https://github.com/zalandoresearch/fashion-mnist): the int8 model's accuracy on a tenth held out.

It must be at least 0.935, in at most 100,000 bytes, trained in at most 25 minutes on 2 cores. Published for the
official test part: two convolutions with fewer than 100K parameters 0.925, MobileNet 0.950. `--keep FOLDER` leaves the
run folder there.
"""

import gzip
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.bar import Bar, report
from benchmarks.learning import learn, on_two_cores, real_data

LABELS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
HELD_OUT = 600  # of each class
RECIPE = (
    *("--width", "32", "--stages", "2", "--growth", "1.5", "--reduce", "2", "--dropout", "0.1"),
    *("--epochs", "40", "--batch", "256", "--optimizer", "muon", "--learning-rate", "0.05", "--weight-decay", "0.02"),
    *("--warm-up", "0.2", "--averaging", "0.995", "--label-smoothing", "0.05", "--no-balance"),
    *("--rotation", "0", "--zoom", "0", "--shift", "0", "--jump", "2"),
    *("--light", "0", "--contrast", "0", "--colour", "0"),
)
ACCURACY, MAX_BYTES, MAX_MINUTES = 0.935, 100_000, 25


def main() -> int:
    source = real_data("fashion-mnist")
    on_two_cores()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[sys.argv.index("--keep") + 1]) if "--keep" in sys.argv else Path(temporary)
        data = Path(temporary) / "pictures"
        _unpack(source, data)
        learned = learn(folder / "fashion", data, *RECIPE)
    small = learned.variants["int8"]
    held = small["bytes"] <= MAX_BYTES and learned.seconds <= 60 * MAX_MINUTES
    measured = (
        f"top-1 of int8 on {small['pictures']} pictures held out of 60,000 (seed 0; fp32 "
        f"{learned.variants['fp32']['accuracy']:.4f}), {small['bytes']:,} bytes (at most {MAX_BYTES:,}), trained in "
        f"{learned.seconds / 60:.1f} min (at most {MAX_MINUTES}); 0 where one of these does not hold"
    )
    return report(Bar("Fashion-MNIST", small["accuracy"] if held else 0, ACCURACY, "higher", "top-1", measured))


def _unpack(source: Path, into: Path) -> None:
    """The published IDX files as into/{train,val}/<class>/<number>.png, `HELD_OUT` of each class in val."""
    pictures = np.frombuffer(_content(source, "train-images-idx3-ubyte"), np.uint8, offset=16).reshape(-1, 28, 28)
    class_ids = np.frombuffer(_content(source, "train-labels-idx1-ubyte"), np.uint8, offset=8)
    rng = np.random.default_rng(0)
    for class_id, label in enumerate(LABELS):
        members = rng.permutation(np.flatnonzero(class_ids == class_id))
        for part, chosen in (("val", members[:HELD_OUT]), ("train", members[HELD_OUT:])):
            folder = into / part / label
            folder.mkdir(parents=True)
            for index in chosen:
                cv2.imwrite(str(folder / f"{index:05d}.png"), pictures[index])


def _content(source: Path, name: str) -> bytes:
    return gzip.decompress((source / f"{name}.gz").read_bytes())


if __name__ == "__main__":
    sys.exit(main())
