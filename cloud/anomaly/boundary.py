"""Where good ends: from scores of held-out good pictures to a probability whose middle is the boundary asked for."""

import math

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

_TAIL = 0.1  # of the good pictures, from which the shape of the tail is taken
_FEWEST = 5
_STEEPEST = 60.0


def boundary(scores: Float64, false_alarms: float) -> float:
    """The score that the part `false_alarms` of good pictures exceeds, from `scores` (n,) of some of them.

    The highest scores are taken for exponentially distributed above a threshold (peaks over threshold; Siffer et al.
    2017, https://doi.org/10.1145/3097983.3098144): 30 pictures hold no hundredth, and their highest is a matter of
    luck.
    """
    falling = np.sort(scores)[::-1]
    count = min(len(scores) - 1, max(_FEWEST, math.ceil(_TAIL * len(scores))))
    if false_alarms >= count / len(scores):
        return float(np.quantile(scores, 1 - false_alarms))
    threshold = falling[count]
    excess = float((falling[:count] - threshold).mean())
    return float(threshold + excess * math.log(count / len(scores) / false_alarms))


def expected_false_alarms(scores: Float64, false_alarms: float) -> float:
    """The part of good pictures above a boundary that others were used for: each half of `scores` by the other's."""
    halves = scores[::2], scores[1::2]
    above = [
        (judged > boundary(drawn_by, false_alarms)).sum() for judged, drawn_by in zip(halves, halves[::-1], strict=True)
    ]
    return float(sum(above) / len(scores))


def spread(scores: Float64) -> tuple[float, float]:
    """Middle and width of good pictures' scores: what makes two measures comparable."""
    middle, high = np.quantile(scores, (0.5, 0.95))
    return float(middle), float(max(high - middle, 1e-6))


def steepness(goods: Float64, defects: Float64, line: float) -> float:
    """The slope of sigmoid(slope x (score - line)) that is likeliest to give these answers, goods and defects weighing
    the same (Platt 1999, with his smoothed targets, so that it stays finite where nothing is mistaken)."""
    scores = np.concatenate((goods, defects)) - line
    counts = len(goods), len(defects)
    targets = np.repeat([1 / (counts[0] + 2), (counts[1] + 1) / (counts[1] + 2)], counts)
    weights = np.repeat([0.5 / counts[0], 0.5 / counts[1]], counts)
    slopes = np.geomspace(0.05, _STEEPEST, 200)
    logits = slopes[:, None] * scores[None, :]
    losses = (weights * (np.logaddexp(0, logits) - targets * logits)).sum(axis=1)
    return float(slopes[losses.argmin()])
