"""What was found in place of what: boxes matched to boxes, whatever their classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloud.average_precision import Truth
from models.detections import Detections, Int64
from models.overlap import overlaps

_SAME_PLACE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """A picture's `truth` and what was `found` in it. `pairs` are (row of truth, row of found) at the same place;
    `missed` rows of truth that have no box of their class, `made_up` rows of found that are no thing of their class."""

    truth: Truth
    found: Detections
    pairs: tuple[tuple[int, int], ...]

    @property
    def missed(self) -> list[int]:
        right = {row for row, other in self.pairs if self.truth.class_ids[row] == self.found.class_ids[other]}
        return [row for row in range(len(self.truth.class_ids)) if row not in right]

    @property
    def made_up(self) -> list[int]:
        right = {other for row, other in self.pairs if self.truth.class_ids[row] == self.found.class_ids[other]}
        return [other for other in range(len(self.found)) if other not in right]

    @property
    def mistakes(self) -> int:
        """Boxes missed or made up; one that is taken for another class counts once."""
        swapped = sum(self.truth.class_ids[row] != self.found.class_ids[other] for row, other in self.pairs)
        return len(self.missed) + len(self.made_up) - int(swapped)


def match(truth: Truth, found: Detections) -> Matched:
    """Pair boxes at the same place (IoU from 0.5), best score first, its own class before others."""
    ious = overlaps(found.xyxy, truth.xyxy)
    alike = found.class_ids[:, None] == truth.class_ids[None]
    free = np.ones(len(truth.class_ids), np.bool_)
    pairs: list[tuple[int, int]] = []
    for right_class in (True, False):
        for other in np.argsort(-found.scores, kind="stable").tolist():
            if any(other == taken for _, taken in pairs) or not free.any():
                continue
            open_to = np.where(free & (alike[other] | (not right_class)), ious[other], 0.0)
            row = int(open_to.argmax())
            if open_to[row] >= _SAME_PLACE:
                pairs.append((row, other))
                free[row] = False
    return Matched(truth, found, tuple(pairs))


def confusion(matched: Sequence[Matched], class_count: int) -> Int64:
    """Counts of boxes, (C + 1, C + 1): rows are the truth, columns what was found; the last is nothing."""
    counts = np.zeros((class_count + 1, class_count + 1), np.int64)
    for each in matched:
        rows, others = {row for row, _ in each.pairs}, {other for _, other in each.pairs}
        for row, other in each.pairs:
            counts[each.truth.class_ids[row], each.found.class_ids[other]] += 1
        for row in set(range(len(each.truth.class_ids))) - rows:
            counts[each.truth.class_ids[row], class_count] += 1
        for other in set(range(len(each.found))) - others:
            counts[class_count, each.found.class_ids[other]] += 1
    return counts
