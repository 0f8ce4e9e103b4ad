"""How far two models agree on a frame."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.detections import Detections
from models.golden import iou

MIN_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What a model saw in a frame, and one label for each detection."""

    found: Detections
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The IoU of each pair of detections that match, the highest score of those that are left over, and the pairs:
    which of ours, and which of theirs."""

    ious: tuple[float, ...] = ()
    left_over: float | None = None
    pairs: tuple[tuple[int, int], ...] = ()


def sight(found: Detections, labels: Sequence[str]) -> Sight:
    """What a model saw whose classes are called `labels`."""
    return Sight(found, tuple(labels[index] for index in found.class_ids.tolist()))


def compare(ours: Sight, theirs: Sight) -> Agreement:
    """Pair detections of the same label at IoU >= 0.5, the best overlap first."""
    pairs = sorted(
        (
            (overlap, mine, other)
            for mine, label in enumerate(ours.labels)
            for other, their_label in enumerate(theirs.labels)
            if label == their_label and (overlap := iou(ours.found.xyxy[mine], theirs.found.xyxy[other])) >= MIN_IOU
        ),
        reverse=True,
    )
    mine_left, theirs_left = dict(enumerate(ours.found.scores.tolist())), dict(enumerate(theirs.found.scores.tolist()))
    ious, matched = [], []
    for overlap, mine, other in pairs:
        if mine in mine_left and other in theirs_left:
            del mine_left[mine], theirs_left[other]
            ious.append(overlap)
            matched.append((mine, other))
    return Agreement(tuple(ious), max((*mine_left.values(), *theirs_left.values()), default=None), tuple(matched))
