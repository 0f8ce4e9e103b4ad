"""What an adapter makes of a foreign model, and the proof that it is the same model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

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
    """`model` is canonical. `feed` and `decode` are what the authors' documentation says to do around the *original*
    file, in plain numpy: a fitted picture into its inputs by name, its outputs into candidates."""

    model: onnx.ModelProto
    task: Task
    input: InputSpec
    class_count: int
    feed: Callable[[UInt8], dict[str, npt.NDArray[Any]]]
    decode: Callable[[list[npt.NDArray[Any]]], Candidates]


class MisfitError(ModelError):
    """An adapter was given a model of another kind; the message says only in what."""


def prove(adapted: Adapted, source: Source, runner: Runner, frames: Iterable[UInt8]) -> int:
    """Compare the canonical graph with the documented decoding on fitted `frames`; the number of detections compared.

    ModelError when one is missing or more, has another class, is off by over 0.01 px or 1e-4 of score.
    """
    compared = 0
    side = max(adapted.input.height, adapted.input.width)
    for index, frame in enumerate(frames):
        expected = suppressed(adapted.decode(source.run(adapted.feed(frame))), side=side)
        boxes, scores, classes = runner.candidates(frame)
        if len(scores) != len(expected.scores):
            raise ModelError(
                f"the canonical graph finds {len(scores)} things in frame {index}, "
                f"the documented decoding {len(expected.scores)}"
            )
        # scores that are equal up to rounding may be in either order
        order = np.lexsort((boxes[:, 0], classes, -np.round(scores, 4)))
        documented = np.lexsort((expected.boxes[:, 0], expected.classes, -np.round(expected.scores, 4)))
        for what, got, wanted, tolerance in (
            ("boxes", _bounded(boxes[order]), _bounded(expected.boxes[documented]), MAX_BOX_ERROR_PX),
            ("scores", scores[order], expected.scores[documented], MAX_SCORE_ERROR),
            ("classes", classes[order], expected.classes[documented], 0.0),
        ):
            # the relative part is float32's own: a box of a million pixels has no hundredths
            if not np.allclose(got, wanted, rtol=1e-6, atol=tolerance):
                raise ModelError(
                    f"the canonical graph disagrees with the documented decoding in frame {index}: {what} differ by "
                    f"up to {np.abs(got - wanted).max():.4g}"
                )
        compared += len(scores)
    return compared


def suppressed(found: Candidates, *, side: int) -> Candidates:
    """Greedy non-maximum suppression within each class, best score first, at most 300 left.

    Overlaps are those of copies clipped to between -`side` and 2 * `side`, as in the canonical graph.
    """
    copies = np.clip(found.boxes, -side, 2 * side)
    likely = np.flatnonzero(found.scores > MIN_SCORE)
    order = likely[np.argsort(-found.scores[likely], kind="stable")]
    kept: list[int] = []
    while len(order) and len(kept) < MAX_DETECTIONS:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        overlaps = (found.classes[rest] == found.classes[best]) & (_ious(copies[best], copies[rest]) > MAX_IOU)
        order = rest[~overlaps]
    return Candidates(found.boxes[kept], found.scores[kept], found.classes[kept])


def _ious(box: Float64, others: Float64) -> Float64:
    inner = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + areas - inner
    return np.asarray(np.divide(inner, union, out=np.zeros_like(inner), where=union > 0), np.float64)


def _bounded(boxes: npt.NDArray[Any]) -> Float64:
    """What overflows to infinity in float32 is a very large number in double precision: both are a million here."""
    return np.clip(boxes.astype(np.float64), -1e6, 1e6)
