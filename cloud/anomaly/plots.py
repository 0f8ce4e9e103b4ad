"""Pictures of how well good is told from wrong."""

from pathlib import Path

import numpy as np

from cloud.anomaly.goods import GOOD
from cloud.anomaly.judged import BOUNDARY, Judged, area_under_roc
from cloud.plots import BLUE, GREY, RED, drawing
from models.detections import Float32

_NAMED = 8  # kinds of defects; more are drawn as one
_FARTHEST = 12.0


def draw_scores(path: Path, judged: Judged, *, title: str) -> None:
    """How many pictures, good and of each defect, get which score, on the scale of logits: probabilities crowd at both
    ends."""
    kinds = {kind: judged.of(kind) for kind in judged.labels[1:]}
    if len(kinds) > _NAMED:
        kinds = {"defects": judged.wrong[judged.class_ids > 0]}
    with drawing(path, width=9) as (axes,):
        edges = np.linspace(-_FARTHEST, _FARTHEST, 61).tolist()
        axes.hist(_logits(judged.of(GOOD)), edges, color=BLUE, alpha=0.8, label=f"{GOOD} ({len(judged.of(GOOD))})")
        for number, (kind, scores) in enumerate(kinds.items(), start=1):  # the first colour is too like the good ones'
            axes.hist(_logits(scores), edges, alpha=0.5, label=f"{kind} ({len(scores)})", color=f"C{number}")
        axes.axvline(0, color=RED, linewidth=1.5, label="the boundary")
        ticks = np.array((0.0001, 0.01, 0.1, BOUNDARY, 0.9, 0.99, 0.9999))
        axes.set_xticks(np.log(ticks / (1 - ticks)), [f"{tick:g}" for tick in ticks])
        axes.set_xlabel("probability of an anomaly")
        axes.set_ylabel("pictures")
        axes.set_title(title)
        axes.legend()


def draw_roc(path: Path, judged: Judged) -> None:
    """The part of the defects found by the part of good pictures called wrong, as the boundary moves, for each kind and
    for all; the boundary that ships is a dot."""
    goods, defects = judged.of(GOOD), judged.wrong[judged.class_ids > 0]
    kinds = {kind: judged.of(kind) for kind in judged.labels[1:]}
    with drawing(path, width=6, height=5.4) as (axes,):
        if 1 < len(kinds) <= _NAMED:
            for number, (kind, scores) in enumerate(kinds.items(), start=1):
                label = f"{kind} ({area_under_roc(goods, scores):.3f})"
                axes.plot(*_curve(goods, scores), linewidth=1, color=f"C{number}", label=label)
        axes.plot(*_curve(goods, defects), color=BLUE, linewidth=2, label=f"all ({judged.auroc:.3f})")
        axes.scatter([judged.false_alarms], [(defects > BOUNDARY).mean()], color=RED, zorder=4, label="the boundary")
        axes.plot((0, 1), (0, 1), color=GREY, linewidth=0.8, linestyle=":")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
        axes.set_xlabel("part of the good pictures that is called wrong")
        axes.set_ylabel("part of the defects that is found")
        axes.set_title(judged.metric)
        axes.legend(loc="lower right")


def _curve(goods: Float32, defects: Float32) -> tuple[Float32, Float32]:
    steps = np.concatenate(([np.inf], np.unique(np.concatenate((goods, defects)))[::-1]))
    return _part_above(goods, steps), _part_above(defects, steps)


def _part_above(scores: Float32, steps: Float32) -> Float32:
    return np.asarray(1 - np.searchsorted(np.sort(scores), steps, "left") / len(scores), np.float32)


def _logits(scores: Float32) -> Float32:
    safe = np.clip(scores.astype(np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.clip(np.log(safe / (1 - safe)), -_FARTHEST, _FARTHEST), np.float32)
