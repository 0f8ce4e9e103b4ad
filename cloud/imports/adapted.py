"""What an adapter makes of a foreign model, and the proof that it is the same model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from cloud.imports.graph import MAX_DETECTIONS, MAX_IOU, MIN_SCORE
from cloud.imports.source import Source
from models.detections import UInt8
from models.errors import ModelError
from models.manifest import InputSpec, Task
from models.runner import Runner

Float64 = npt.NDArray[np.float64]
MAX_BOX_ERROR_PX = 0.01
MAX_SCORE_ERROR = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """A detector's answer before suppression, in double precision: `boxes` (m, 4) xyxy in pixels of the fitted
    picture, `scores` (m,), `classes` (m,)."""

    boxes: Float64
    scores: Float64
    classes: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """`model` is canonical. `documented` decodes the *original* file's answer to a fitted picture in plain numpy, as
    its authors' documentation says: what `model` must agree with."""

    model: onnx.ModelProto
    task: Task
    input: InputSpec
    documented: Callable[[UInt8], Candidates]


def does_not_fit(adapter: str, source: Source, reason: str) -> ModelError:
    """The error of an adapter that was given a model of another kind."""
    return ModelError(
        f"{source.path} does not fit adapter {adapter!r}: {reason} (`tidegate import --inspect` shows what it is)"
    )


def prove(adapted: Adapted, runner: Runner, frames: Iterable[UInt8]) -> int:
    """Compare the canonical graph with the documented decoding on fitted `frames`; the number of detections compared.

    ModelError when one is missing or more, has another class, is off by over 0.01 px or 1e-4 of score.
    """
    compared = 0
    for index, frame in enumerate(frames):
        expected = suppressed(adapted.documented(frame))
        boxes, scores, classes = runner.candidates(frame)
        if len(scores) != len(expected.scores):
            raise ModelError(
                f"the canonical graph finds {len(scores)} things in frame {index}, "
                f"the documented decoding {len(expected.scores)}"
            )
        # scores that are equal up to rounding may be in either order
        order = np.lexsort((boxes[:, 0], classes, -np.round(scores, 4)))
        documented = np.lexsort((expected.boxes[:, 0], expected.classes, -np.round(expected.scores, 4)))
        box_error = np.abs(boxes[order] - expected.boxes[documented]).max(initial=0.0)
        score_error = np.abs(scores[order] - expected.scores[documented]).max(initial=0.0)
        same = bool((classes[order] == expected.classes[documented]).all())
        if not (same and box_error <= MAX_BOX_ERROR_PX and score_error <= MAX_SCORE_ERROR):
            raise ModelError(
                f"the canonical graph disagrees with the documented decoding in frame {index}: "
                f"boxes by {box_error:.3f} px, scores by {score_error:.5f}, classes {'equal' if same else 'differ'}"
            )
        compared += len(scores)
    return compared


def suppressed(found: Candidates) -> Candidates:
    """Greedy non-maximum suppression within each class, best score first, at most 300 left."""
    likely = np.flatnonzero(found.scores > MIN_SCORE)
    order = likely[np.argsort(-found.scores[likely], kind="stable")]
    kept: list[int] = []
    while len(order) and len(kept) < MAX_DETECTIONS:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        overlaps = (found.classes[rest] == found.classes[best]) & (
            _ious(found.boxes[best], found.boxes[rest]) > MAX_IOU
        )
        order = rest[~overlaps]
    return Candidates(found.boxes[kept], found.scores[kept], found.classes[kept])


def _ious(box: Float64, others: Float64) -> Float64:
    inner = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return np.asarray(inner / ((box[2:] - box[:2]).prod() + areas - inner), np.float64)
