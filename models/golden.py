"""Golden frames: fitted pictures with the answers that a variant gave when it was made.

Agreement is by decision (same class, IoU >= 0.9, score +- 0.05): int8 differs in bits between x86 and ARM.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.detections import Detections, Float32, UInt8
from models.durable import write_atomic
from models.errors import PackageError
from models.runner import Runner

FOLDER = "golden"
ANSWERS = "golden.json"
MIN_IOU = 0.9
MAX_SCORE_DIFFERENCE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """`frames` by name: uint8 (H, W, 3) BGR, already fitted; `answers` by variant, then frame name (boxes in the
    fitted picture's pixels)."""

    frames: Mapping[str, UInt8]
    answers: Mapping[str, Mapping[str, Detections]]


def record_golden(frames: list[UInt8], runners: Mapping[str, Runner]) -> Golden:
    """The answers that each variant's runner gives to each fitted picture."""
    named = {f"{index:03d}.png": frame for index, frame in enumerate(frames)}
    answers = {
        variant: {name: runner.run_fitted(frame) for name, frame in named.items()}
        for variant, runner in runners.items()
    }
    return Golden(named, answers)


def replay(golden: Golden, variant: str, runner: Runner) -> list[str]:
    """What `runner` now sees differently from what `variant` saw when it was made; empty when they agree."""
    expected = golden.answers.get(variant)
    if not expected:
        return [f"no golden answers for variant {variant!r}"]
    return [
        f"{name}: {difference}"
        for name, found in expected.items()
        for difference in disagreements(found, runner.run_fitted(golden.frames[name]), threshold=runner.threshold)
    ]


def disagreements(
    expected: Detections,
    got: Detections,
    *,
    threshold: float,
    min_iou: float = MIN_IOU,
    max_score_difference: float = MAX_SCORE_DIFFERENCE,
) -> list[str]:
    """Decisions that differ. Rows whose score is within the tolerance of `threshold` may come or go.

    The tolerances are those of one variant on other hardware, unless given.
    """
    differences = []
    free = list(range(len(got)))
    floor = threshold + max_score_difference
    for row in range(len(expected)):
        box = expected.xyxy[row]
        match = next(
            (
                other
                for other in free
                if got.class_ids[other] == expected.class_ids[row]
                and iou(box, got.xyxy[other]) >= min_iou
                and abs(float(got.scores[other] - expected.scores[row])) <= max_score_difference
            ),
            None,
        )
        if match is not None:
            free.remove(match)
        elif expected.scores[row] > floor:
            differences.append(f"class {expected.class_ids[row]} at score {expected.scores[row]:.2f} is gone")
    for other in free:
        if got.scores[other] > floor:
            differences.append(f"class {got.class_ids[other]} at score {got.scores[other]:.2f} is new")
    return differences


def iou(a: Float32, b: Float32) -> float:
    """Intersection over union of two xyxy boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = float(width * height)
    return inner / float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def write_golden(folder: Path, golden: Golden) -> None:
    """Write `folder`/golden: PNGs (lossless) and golden.json, the answers last."""
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    for name, frame in golden.frames.items():
        encoded, png = cv2.imencode(".png", frame)
        if not encoded:
            raise PackageError(f"{target / name}: a picture of shape {frame.shape} could not be encoded as PNG")
        write_atomic(target / name, png.tobytes())
    document = {
        variant: {name: _to_json(found) for name, found in frames.items()} for variant, frames in golden.answers.items()
    }
    write_atomic(target / ANSWERS, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def read_golden(folder: Path) -> Golden:
    """The golden frames of a run folder or package."""
    target = folder / FOLDER
    try:
        document = json.loads((target / ANSWERS).read_bytes())
        answers = {
            variant: {name: _from_json(found) for name, found in frames.items()} for variant, frames in document.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
        raise PackageError(f"{target / ANSWERS} cannot be read: {exc}") from exc
    names = sorted({name for answered in answers.values() for name in answered})
    return Golden({name: _read_picture(target, name) for name in names}, answers)


def _read_picture(folder: Path, name: str) -> UInt8:
    path = folder / name
    if Path(name).name != name or not path.is_file():
        raise PackageError(f"{path} is missing, or not a plain file name")
    try:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error as exc:  # an absurd size in its header
        raise PackageError(f"{path} is not a picture: {exc.err}") from exc
    if picture is None:
        raise PackageError(f"{path} is not a picture")
    return np.asarray(picture, np.uint8)


def _to_json(found: Detections) -> dict[str, object]:
    return {
        "classes": found.class_ids.tolist(),
        "scores": np.round(found.scores.astype(float), 4).tolist(),
        "boxes": np.round(found.xyxy.astype(float), 2).tolist(),
    }


def _from_json(found: Mapping[str, list[float]]) -> Detections:
    return Detections.of(found["boxes"], found["scores"], found["classes"])
