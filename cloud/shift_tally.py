"""Two models on the same pictures, counted: how much the answers shift, and how much that varies from picture to
picture, which says how far a promise made on these pictures may be trusted before another camera.

The unit of trust is the thing, not the picture or the frame: a camera that looks at the same five things all day tells
five opinions, however many frames it counts.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.agreement import compare, sight
from models.detections import Detections
from models.health import SCORE_BINS
from models.tally import AnswerTally, score_bin

HIGH_BIN, LOW_BIN = 7, 4  # a score of 0.7 or more is high, one below 0.4 is low
_CLASSES = 50

Float64 = npt.NDArray[np.float64]


class ShiftTally:
    """Pictures that both models looked at. `labels_before` and `labels` are their classes' names."""

    def __init__(self, labels_before: Sequence[str], labels: Sequence[str]) -> None:
        self._labels_before, self._labels = labels_before, labels
        self.was, self.now = AnswerTally(), AnswerTally()
        self.pictures = self.agreed = 0
        self._iou_sum = 0.0
        self._rows: list[tuple[float, ...]] = []
        self._mixes: list[tuple[Counter[str], Counter[str]]] = []
        self._by_score = np.zeros((4, SCORE_BINS), np.int64)
        self._kept: Counter[str] = Counter()

    def add(self, before: Detections, now: Detections) -> None:
        """Count what the two saw in one more picture."""
        ours, theirs = sight(before, self._labels_before), sight(now, self._labels)
        agreement = compare(ours, theirs)
        self.pictures += 1
        self.agreed += agreement.left_over is None
        self._iou_sum += sum(agreement.ious)
        self.was.add(before)
        self.now.add(now)
        our_bins = [score_bin(score) for score in before.scores.tolist()]
        their_bins = [score_bin(score) for score in now.scores.tolist()]
        for mine, other in agreement.pairs:
            self._by_score[1, our_bins[mine]] += 1
            self._by_score[3, their_bins[other]] += 1
            self._kept[ours.labels[mine]] += 1
        self._by_score[0] += np.bincount(our_bins, minlength=SCORE_BINS) if our_bins else 0
        self._by_score[2] += np.bincount(their_bins, minlength=SCORE_BINS) if their_bins else 0
        matched = len(agreement.pairs)
        self._rows.append((*_sums(our_bins), *_sums(their_bins), matched))
        self._mixes.append((Counter(ours.labels), Counter(theirs.labels)))

    @property
    def agreement(self) -> float | None:
        """The part of the pictures in which both see the same; None without pictures."""
        return round(self.agreed / self.pictures, 4) if self.pictures else None

    def detail(self) -> dict[str, Any]:
        """What a signed report holds beside the totals.

        `by_score`: the earlier model's detections by score bin (`parent`) and how many of them the later one has too
        (`kept`); the later one's (`this`), and how many the earlier one has too (`confirmed`). `by_class`: detections
        of both, and those kept, by label. `variance`: of each shift, for a scene of a single thing; divided by the
        things in a scene it says how far that scene's shift may lie from the mean.
        """
        matched = int(self._by_score[1].sum())
        classes = sorted({*self._labels_before, *self._labels}, key=lambda label: (-self._count(label), label))
        return {
            "by_score": dict(zip(("parent", "kept", "this", "confirmed"), self._by_score.tolist(), strict=True)),
            "by_class": {
                label: {
                    "parent": sum(was[label] for was, _ in self._mixes),
                    "this": sum(now[label] for _, now in self._mixes),
                    "kept": self._kept[label],
                    "variance": round(self._share_variance(label), 6),
                }
                for label in classes[:_CLASSES]
                if self._count(label)
            },
            "mean_iou": round(self._iou_sum / matched, 4) if matched else None,
            "variance": {name: round(value, 6) for name, value in self._variances().items()},
        }

    def _count(self, label: str) -> int:
        return sum(was[label] + now[label] for was, now in self._mixes)

    def _variances(self) -> dict[str, float]:
        things = self.was.detections
        if not things or not self.now.detections:
            return {}
        rows = np.array(self._rows, np.float64)
        n0, score0, high0, low0, n1, score1, high1, low1, matched = rows.T
        ratio = n1.sum() / n0.sum()
        kept = np.array(self._by_score[1] / np.maximum(self._by_score[0], 1))
        confirmed = np.array(self._by_score[3] / np.maximum(self._by_score[2], 1))
        return {
            "per_frame": float(((n1 - ratio * n0) ** 2).sum() / things / ratio**2),
            "score": _variance(score0, n0, score1, n1),
            "high": _variance(high0, n0, high1, n1),
            "low": _variance(low0, n0, low1, n1),
            # beyond what the score bins say: expected given each picture's own bins would be finer still
            "kept": float(((matched - kept.dot(self._by_score[0]) / things * n0) ** 2).sum() / things),
            "confirmed": float(((matched - confirmed.dot(self._by_score[2]) / n1.sum() * n1) ** 2).sum() / n1.sum()),
        }

    def _share_variance(self, label: str) -> float:
        was, now = (np.array([mix[side][label] for mix in self._mixes], np.float64) for side in (0, 1))
        rows = np.array(self._rows, np.float64)
        return _variance(was, rows[:, 0], now, rows[:, 4])


def _sums(bins: Sequence[int]) -> tuple[float, float, float, float]:
    """Detections, the sum of their scores as known by their bins, the high ones, the low ones."""
    return (
        len(bins),
        sum((index + 0.5) / SCORE_BINS for index in bins),
        sum(index >= HIGH_BIN for index in bins),
        sum(index < LOW_BIN for index in bins),
    )


def _variance(a0: Float64, n0: Float64, a1: Float64, n1: Float64) -> float:
    """Of a1/n1 - a0/n0 for one thing, by the spread of the pictures (linearised)."""
    before, now = n0.sum(), n1.sum()
    if not before or not now:
        return 0.0
    residual = (a1 - a1.sum() / now * n1) / now - (a0 - a0.sum() / before * n0) / before
    return float((residual**2).sum() * before)
