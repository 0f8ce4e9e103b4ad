"""What a model answered, counted: the same bins and classes in a gateway's health and in the cloud's predictions."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from models.detections import Detections
from models.health import SCORE_BINS

_CLASSES = 50  # in a class mix: a model of a thousand classes must not outgrow a message


@dataclass(slots=True)
class AnswerTally:
    """Detections by score, in SCORE_BINS bins of equal width over 0..1, and by class."""

    histogram: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    classes: Counter[int] = field(default_factory=Counter)

    def add(self, found: Detections) -> None:
        """Count what was found in one more frame."""
        for score in found.scores.tolist():
            self.histogram[score_bin(score)] += 1
        self.classes.update(found.class_ids.tolist())

    @property
    def detections(self) -> int:
        """How many, of all classes."""
        return self.classes.total()

    def mix(self, labels: Sequence[str]) -> dict[str, int]:
        """Detections by label, of the most frequent classes."""
        return {labels[class_id]: count for class_id, count in self.classes.most_common(_CLASSES)}


def score_bin(score: float) -> int:
    """Which of the SCORE_BINS a score belongs to."""
    # a NaN or a score out of range is the model's fault, and belongs to the edge bins
    return min(SCORE_BINS - 1, max(0, int(score * SCORE_BINS))) if score == score else 0
