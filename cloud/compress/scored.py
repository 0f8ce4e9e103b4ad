"""A variant's answers to labelled pictures, kept by picture, so that chance can be told from loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cloud.average_precision import Ranking, precision_of, resampled_precision
from models.detections import Int64

RESAMPLES = 500
SEED = 0

Float64 = npt.NDArray[np.float64]


class Scored(Protocol):
    """The task's metric on `pictures` pictures, and on any sample of them."""

    @property
    def pictures(self) -> int:
        """How many were looked at."""

    @property
    def unanswered(self) -> int:
        """How many of them had no finite answer."""

    @property
    def value(self) -> float:
        """The metric on the pictures as they are."""

    def resampled(self, counts: Int64) -> Float64:
        """The metric, (samples,), where picture p is there `counts[s, p]` times in sample s."""


@dataclass(frozen=True, slots=True, eq=False)
class HitOrMiss:
    """A picture is right or it is not: `right` bool (pictures,); the metric is the part that is."""

    right: npt.NDArray[np.bool_]
    unanswered: int = 0

    @property
    def pictures(self) -> int:
        return len(self.right)

    @property
    def value(self) -> float:
        return float(self.right.mean())

    def resampled(self, counts: Int64) -> Float64:
        return np.asarray((counts @ self.right) / counts.sum(axis=1), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Boxes in `pictures` pictures, ranked by class; the metric is AP50-95."""

    rankings: Sequence[Ranking]
    pictures: int
    unanswered: int = 0

    @property
    def value(self) -> float:
        return precision_of(self.rankings).ap50_95

    def resampled(self, counts: Int64) -> Float64:
        return resampled_precision(self.rankings, counts)


@dataclass(frozen=True, slots=True, eq=False)
class Separated:
    """Good pictures and defects by their scores: `won` float32 (defects, goods) as from pairs_won; the metric is
    AUROC."""

    won: npt.NDArray[np.float32]
    unanswered: int = 0

    @property
    def pictures(self) -> int:
        return sum(self.won.shape)

    @property
    def value(self) -> float:
        return float(self.won.mean())

    def resampled(self, counts: Int64) -> Float64:
        defects, goods = counts[:, : len(self.won)], counts[:, len(self.won) :]
        pairs = defects.sum(axis=1) * goods.sum(axis=1)
        won = ((defects @ self.won) * goods).sum(axis=1)
        return np.asarray(np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan), np.float64)


def loss_bound(candidate: Scored, reference: Scored, confidence: float) -> float:
    """How much lower the candidate's metric is at most than the reference's, with that confidence (one-sided).

    The paired bootstrap over pictures (Efron and Tibshirani 1993, chapter 13): both are measured on the same samples,
    drawn with a fixed seed, so what is hard for both does not count. Negative where the candidate is surely better.
    """
    rng = np.random.default_rng(SEED)
    counts = rng.multinomial(reference.pictures, np.full(reference.pictures, 1 / reference.pictures), RESAMPLES)
    losses = reference.resampled(counts) - candidate.resampled(counts)
    return float(np.quantile(losses[np.isfinite(losses)], confidence)) if np.isfinite(losses).any() else float("nan")
