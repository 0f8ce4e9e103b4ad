"""What an adapter makes of a foreign model, and the proof that it is the same model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from cloud.imports.graph import MAX_DETECTIONS, MAX_IOU, MIN_SCORE
from cloud.imports.source import Source
from models.detections import Float32, Int64, UInt8
from models.errors import ModelError
from models.manifest import InputSpec, Task
from models.runner import Runner

Float64 = npt.NDArray[np.float64]
MAX_BOX_ERROR_PX = 0.01
MAX_SCORE_ERROR = 1e-4
MAX_TIES = 0.005  # of the detections
_IOU_ROUNDING = 0.01


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
    file, in plain numpy: a fitted picture into its inputs by name, its outputs into candidates (or a classifier's
    probabilities, (C,)); `class_count` is None where the file does not tell; `suppressed` if candidates need no
    suppression any more."""

    model: onnx.ModelProto
    task: Task
    input: InputSpec
    class_count: int | None
    feed: Callable[[UInt8], dict[str, npt.NDArray[Any]]]
    decode: Callable[[list[npt.NDArray[Any]]], Candidates | Float32]
    suppressed: bool = False


class MisfitError(ModelError):
    """An adapter was given a model of another kind; the message says only in what."""


def prove(adapted: Adapted, source: Source, runner: Runner, frames: Iterable[UInt8]) -> int:
    """Compare the canonical graph with the documented decoding on fitted `frames`; the number of detections (or of
    pictures classified) compared.

    ModelError when one is missing or more, has another class, is off by over 0.01 px or 1e-4 of score. Where rounding
    decides which of two overlapping boxes is left, either is right. A file in float16 must answer about as it does in
    float32, which is then compared.
    """
    compared = ties = 0
    side = max(adapted.input.height, adapted.input.width)
    for index, frame in enumerate(frames):
        documented = adapted.decode(source.run_exactly(adapted.feed(frame)))
        if not isinstance(documented, Candidates):
            error = float(np.abs(runner.probabilities(frame) - documented).max())
            if not error <= MAX_SCORE_ERROR:
                raise ModelError(
                    f"the canonical graph disagrees with the documented reading in frame {index}: probabilities differ "
                    f"by up to {error:.4g}"
                )
            compared += 1
            continue
        expected = documented if adapted.suppressed else suppressed(documented, side=side)
        boxes, scores, classes = runner.candidates(frame)
        got = Candidates(_bounded(boxes), scores.astype(np.float64), classes)
        expected = Candidates(_bounded(expected.boxes), expected.scores, expected.classes)
        missing, new = _unmatched(expected, got)
        ties += len(missing)
        compared += len(expected.scores)
        for found, others, what in ((missing, got, "does not find"), (new, expected, "finds")):
            for row in found.tolist():
                side_of = expected if others is got else got
                if not _left_out_for_another(side_of, row, others):
                    raise ModelError(
                        f"the canonical graph disagrees with the documented decoding in frame {index}: it {what} class "
                        f"{side_of.classes[row]} with score {side_of.scores[row]:.4f} at "
                        f"{', '.join(f'{edge:.2f}' for edge in side_of.boxes[row])}"
                    )
    if ties > MAX_TIES * compared:
        raise ModelError(
            f"the canonical graph and the documented decoding choose differently among overlapping boxes in {ties} of "
            f"{compared} cases, more than rounding explains"
        )
    return compared


def _unmatched(expected: Candidates, got: Candidates) -> tuple[Int64, Int64]:
    """Rows of `expected`, and of `got`, that the other does not have: class, score and box, each taken once."""
    free = np.ones(len(got.scores), np.bool_)
    missing = []
    for row, (box, score) in enumerate(zip(expected.boxes, expected.scores, strict=True)):
        alike = np.flatnonzero(
            free & (got.classes == expected.classes[row]) & (np.abs(got.scores - score) <= MAX_SCORE_ERROR)
        )
        # the relative part is float32's own: a box of a million pixels has no hundredths
        errors = (np.abs(got.boxes[alike] - box) - 1e-6 * np.abs(box)).max(axis=1, initial=-np.inf)
        if len(alike) and errors.min() <= MAX_BOX_ERROR_PX:
            free[alike[errors.argmin()]] = False
        else:
            missing.append(row)
    return np.array(missing, np.int64), np.flatnonzero(free)


def _left_out_for_another(of: Candidates, row: int, others: Candidates) -> bool:
    """Whether `others` have a box of its class in its place: of two that overlap, with scores that are equal up to
    rounding, or an overlap that is at the limit up to rounding, either may be left."""
    if len(others.scores) == MAX_DETECTIONS and of.scores[row] <= others.scores.min() + MAX_SCORE_ERROR:
        return True  # one more before it, and it is no longer among those that are left
    same = others.boxes[others.classes == of.classes[row]]
    return bool(len(same)) and bool((_ious(of.boxes[row], same) > MAX_IOU - _IOU_ROUNDING).any())


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
