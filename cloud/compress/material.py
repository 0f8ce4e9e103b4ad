"""What a variant is calibrated on and judged by: pictures from a user's folder, for either task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cloud.evaluate import evaluate_classifier, evaluate_detector
from cloud.image_folder import find_split, load_images, read_picture, with_labels
from cloud.yolo_folder import find_boxed, is_yolo_folder
from models.detections import UInt8
from models.errors import DataError
from models.fitting import fit
from models.manifest import Manifest
from models.runner import Runner

SAMPLES = 16  # pictures that latency is measured on


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """`calibration` and `sample`: fitted pictures, uint8 (H, W, 3); `score` measures an ONNX file of the model on
    `pictures` other ones: (the task's `metric`, how many had no finite answer)."""

    metric: str
    pictures: int
    calibration: Sequence[UInt8]
    sample: Sequence[UInt8]
    score: Callable[[Path], tuple[float, int]]


def gather(manifest: Manifest, data: Path, val: Path | None, *, seed: int, calibrate_on: int) -> Material:
    """Pictures of `data` (and `val`) for this model; the same split as `tidegate train` makes with the same seed."""
    if manifest.task == "detection":
        return _boxed(manifest, data, val, calibrate_on)
    return _labelled(manifest, data, val, seed, calibrate_on)


def _labelled(manifest: Manifest, data: Path, val: Path | None, seed: int, calibrate_on: int) -> Material:
    to_train, to_judge = find_split(data, val, seed=seed)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(to_train))[:calibrate_on].tolist()
    calibration = load_images(with_labels(to_train, manifest.labels).subset(chosen), manifest.input)
    judged = load_images(with_labels(to_judge, manifest.labels), manifest.input)

    def score(model: Path) -> tuple[float, int]:
        classified = evaluate_classifier(Runner(model, manifest), judged)
        return classified.accuracy, classified.unanswered

    spread = judged.pixels[:: max(1, len(judged) // SAMPLES)][:SAMPLES]
    return Material("top-1", len(judged), list(calibration.pixels), list(spread), score)


def _boxed(manifest: Manifest, data: Path, val: Path | None, calibrate_on: int) -> Material:
    if not is_yolo_folder(data):
        raise DataError(
            f"{data} is not laid out as YOLO's; a detector is compressed on a folder of images/ and labels/"
        )
    found = find_boxed(data)
    # without a folder to judge by, every second picture is calibrated on and the others judge
    to_calibrate, to_judge = (found, find_boxed(val)) if val is not None else (found[::2], found[1::2])
    if not to_calibrate or not to_judge:
        raise DataError(f"{data} holds {len(found)} pictures; expected at least two, or more in --val")

    def score(model: Path) -> tuple[float, int]:
        return evaluate_detector(model, manifest, to_judge).ap50_95, 0

    fitted = [fit(read_picture(picture.path), manifest.input)[0] for picture in to_calibrate[:calibrate_on]]
    return Material("AP50-95", len(to_judge), fitted, fitted[:SAMPLES], score)
