"""The figures that are compared, and what is made of a signed report for each of them.

The tolerances, sizes and weights are frozen: they were chosen on simulated roll-outs with seeds 0 to 999
(benchmarks/rollout_odds.py) and are reported on others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloud.rollout import account
from cloud.rollout.promise import Promise
from cloud.rollout.surprise import Figure
from cloud.rollout.windows import Float64

REST = "anything else"
CLASS_WEIGHT, LOST_WEIGHT = 0.25, 0.15  # of all classes together
_PULL = 20.0  # as many reference detections' weight has the assumption that a class fares as all do

FIGURES = (
    Figure("things a frame", account.DETECTIONS, 1.0, True, 0.05, 0.3, 0.45, 0.2, 0.05, part=0.8),
    Figure("mean score", account.SCORES, account.SCORE_UNIT, False, 0.01, 0.05, 0.1, 0.15, 0.004, part=0.12),
    Figure("scores of 0.7 and more", account.HIGH, 1.0, False, 0.02, 0.1, 0.25, 0.1, 0.01, part=0.4),
    Figure("scores below 0.4", account.LOW, 1.0, False, 0.02, 0.1, 0.25, 0.05, 0.01, part=0.4),
    Figure("median inference time", account.P50, account.LOG_UNIT, False, 0.2, 0.3, 0.4, 0.1, 0.03, harm=1),
    Figure("p95 inference time", account.P95, account.LOG_UNIT, False, 0.3, 0.4, 0.5, 0.05, 0.05, harm=1),
    Figure("frames a second", account.FRAMES, 1.0, True, 0.15, 0.3, 0.35, 0.05, 0.03, harm=-1),
)


def class_figures(labels: Sequence[str]) -> tuple[Figure, ...]:
    """Figures of each label: its share of the detections, and that of all others together; and whether it is said at
    all. Their columns are the last ones, in order."""
    named = (*labels, REST)
    shares = tuple(
        Figure(
            f"share of {label}",
            account.FIXED + k,
            1.0,
            False,
            0.02,
            0.1,
            0.25,
            CLASS_WEIGHT / len(named),
            0.01,
            label,
            part=0.6 if label == REST else 0.4,
        )
        for k, label in enumerate(named)
    )
    said = tuple(
        Figure(
            f"how often {label} comes up",
            account.FIXED + k,
            1.0,
            True,
            0.7,
            1.0,
            9.0,
            LOST_WEIGHT / max(len(labels), 1),
            0.1,
            label,
            harm=-1,
            part=2.0,
            lost=True,
        )
        for k, label in enumerate(labels)
    )
    return shares + said


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What a report promises of gateways: `shift` (gateways, PARTS, figures), the variance of its error that is
    `shared` by all gateways (figures,), and the variance of a `scene` of one thing (figures,)."""

    shift: Float64
    shared: Float64
    scene: Float64


# where a report does not say: the variance of a scene of one thing, and of a shift nobody predicted
_UNSAID_SCENE = {"things a frame": 0.5, "mean score": 0.02, "scores of 0.7 and more": 0.3, "scores below 0.4": 0.3}
_UNSAID_SHIFT = {"things a frame": 0.15, "mean score": 0.04, "scores of 0.7 and more": 0.1, "scores below 0.4": 0.1}
_UNSAID_CLASS, _UNSAID_LOST, _UNSEEN_LOST = 0.1, 0.3, 30.0
_BY_NAME = {
    "things a frame": "per_frame",
    "mean score": "score",
    "scores of 0.7 and more": "high",
    "scores below 0.4": "low",
}
_MACHINE = {"median inference time": 0.05, "p95 inference time": 0.08, "frames a second": 0.03}
_FEW = 10.0  # as many reference things' weight has the assumption that nothing is as sure as it looks


def promised(promise: Promise, figures: Sequence[Figure], expected: Float64, hardware: Sequence[str]) -> Expected:
    """For gateways on `hardware` whose figures were `expected` to be (gateways, PARTS, figures) as before."""
    shift = np.zeros(expected.shape)
    shared, scene = np.zeros(len(figures)), np.zeros(len(figures))
    said = promise.said
    things = said.things if said else 0.0
    classes = [k for k, figure in enumerate(figures) if figure.label and not figure.lost]
    of_label = {figures[k].label: place for place, k in enumerate(classes)}
    overall = said.per_frame_ratio if said else 1.0
    ratios = np.array([said.class_ratio(figures[k].label, _PULL) if said else 1.0 for k in classes])
    share = np.nan_to_num(expected[..., classes])
    scaled = share * ratios
    sums = scaled.sum(axis=-1, keepdims=True)
    told = sums > 0
    shift[..., classes] = np.where(told, scaled / np.where(told, sums, 1.0) - share, 0.0)
    for k, figure in enumerate(figures):
        if figure.name in _MACHINE:
            shared[k] = _MACHINE[figure.name] ** 2
            if figure.name != "frames a second":
                shift[..., k] = np.log([promise.slower(name) for name in hardware])[:, None]
            continue
        if figure.lost:
            place = of_label[figure.label]
            shift[..., k] = np.log(np.where(told[..., 0], ratios[place] / np.where(told, sums, 1.0)[..., 0], 1.0))
            # of a label that the reference hardly shows no report can say that the new model has it
            before = said.classes.get(figure.label, (0.0,))[0] if said else 0.0
            shared[k] = _UNSAID_LOST**2 + (_UNSEEN_LOST * said.disagreement / (before + 1) if said else 0.0)
            continue
        shared[k] = (_UNSAID_CLASS if figure.label else _UNSAID_SHIFT[figure.name]) ** 2
        if said:
            unsaid = 0.1 if figure.label else _UNSAID_SCENE[figure.name]
            variance = said.class_variance(figure.label) if figure.label else said.variance.get(_BY_NAME[figure.name])
            measured = unsaid if variance is None else variance
            scene[k] = (measured * things + unsaid * _FEW) / (things + _FEW)
            shared[k] = scene[k] / max(things, 1.0)
        if figure.column == account.DETECTIONS:
            shift[..., k] = np.log(np.where(told[..., 0], sums[..., 0], overall))
        elif said and not figure.label:
            shift[..., k] = said.change(_BY_NAME[figure.name])
    return Expected(shift, shared, scene)


def tolerances(promise: Promise, figures: Sequence[Figure]) -> Float64:
    """Of each figure: what is nobody's business grows with how much the two models differ at all, slowly at first."""
    differ = promise.said.disagreement if promise.said else 0.0
    return np.array([figure.tolerance + figure.part * differ**2 for figure in figures])
