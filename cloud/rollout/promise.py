"""What a release's signed report promises about how its answers will differ from those of the release before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cloud.rollout.windows import Float64
from cloud.shift_tally import HIGH_BIN, LOW_BIN
from models.health import SCORE_BINS


@dataclass(frozen=True)
class Promise:
    """The signed `predicted_shift` (cloud/predicted_shift.py), empty where there is none, and the medians of one
    inference by hardware class, before and now. `digests`: of the ONNX files that the release holds; empty: not
    known, and then not checked."""

    shift: Mapping[str, Any] = field(default_factory=dict)
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    latency_before_ms: Mapping[str, float] = field(default_factory=dict)
    digests: frozenset[str] = frozenset()

    def slower(self, hardware: str) -> float:
        """How many times as long an inference is to take on a hardware class; 1 where nothing is said of it."""
        now, before = self.latency_ms.get(hardware, 0.0), self.latency_before_ms.get(hardware, 0.0)
        return now / before if now > 0 and before > 0 else 1.0

    @cached_property
    def said(self) -> "Said | None":
        """The report's figures; None where there is none that can be read."""
        try:
            return read_shift(self.shift)
        except (KeyError, TypeError, ValueError, AttributeError):  # a later tidegate's, or somebody's own
            return None


NO_PROMISE = Promise()


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """A report's figures. `things` are the earlier model's detections on the reference pictures; `changes` the shifts
    of score, high and low; `kept` and `confirmed` by score bin (SCORE_BINS,), None where the report is older and does
    not say."""

    pictures: int
    things: float
    per_frame_ratio: float
    changes: Mapping[str, float]
    variance: Mapping[str, float]
    classes: Mapping[str, tuple[float, float, float | None]]  # before, now, variance
    kept: Float64 | None
    confirmed: Float64 | None
    mean_iou: float | None
    agreement: float | None
    disagreement: float  # the share of the earlier model's detections that the later one has not; 0 where not said

    def scene_variance(self, name: str, *, unsaid: float, few: float) -> float:
        """Of a shift in a scene of one thing; as if `few` of the reference things had varied by `unsaid`."""
        measured = self.variance.get(name, unsaid)
        return (measured * self.things + unsaid * few) / (self.things + few)

    def change(self, name: str) -> float:
        return self.changes.get(name, 0.0)

    def class_ratio(self, label: str, pull: float) -> float:
        """How many times as often a class is seen, drawn towards all classes' ratio as far as it was seen little."""
        before, now, _ = self.classes.get(label, (0.0, 0.0, None))
        return (now + pull * self.per_frame_ratio) / (before + pull)

    def class_variance(self, label: str) -> float | None:
        return self.classes.get(label, (0.0, 0.0, None))[2]


def read_shift(shift: Mapping[str, Any]) -> "Said | None":
    """The figures of a signed report, those of earlier releases of tidegate too; None where nothing was predicted.

    Golden frames predict nothing: they are few, and were chosen for being clear.
    """
    if not shift or "unknown" in shift or not shift.get("pictures") or shift.get("reference") == "golden frames":
        return None
    was, now = shift["parent"], shift["this"]
    before, after = (np.array(side["score_histogram"], np.float64) for side in (was, now))
    things = float(before.sum())
    if not things or not after.sum():
        return None
    centres = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
    shares = before / before.sum(), after / after.sum()
    changes = {
        "score": float((shares[1] - shares[0]) @ centres),
        "high": float((shares[1] - shares[0])[HIGH_BIN:].sum()),
        "low": float((shares[1] - shares[0])[:LOW_BIN].sum()),
    }
    classes: dict[str, tuple[float, float, float | None]] = {
        label: (float(was["class_mix"].get(label, 0)), float(now["class_mix"].get(label, 0)), None)
        for label in {*was["class_mix"], *now["class_mix"]}
    }
    for label, row in shift.get("by_class", {}).items():
        classes[label] = (float(row["parent"]), float(row["this"]), float(row["variance"]))
    by_score = shift.get("by_score")
    return Said(
        pictures=int(shift["pictures"]),
        things=things,
        per_frame_ratio=float(after.sum() / things),
        changes=changes,
        variance={name: float(value) for name, value in shift.get("variance", {}).items()},
        classes=classes,
        kept=_shares(by_score["kept"], by_score["parent"]) if by_score else None,
        confirmed=_shares(by_score["confirmed"], by_score["this"]) if by_score else None,
        mean_iou=shift.get("mean_iou"),
        agreement=shift.get("agreement"),
        disagreement=1 - sum(by_score["kept"]) / max(sum(by_score["parent"]), 1) if by_score else 0.0,
    )


def _shares(part: Any, whole: Any) -> Float64:
    """By score bin, drawn towards the share of all bins as far as a bin holds little."""
    parts, wholes = np.array(part, np.float64), np.array(whole, np.float64)
    if parts.shape != (SCORE_BINS,) or wholes.shape != (SCORE_BINS,):
        raise ValueError("expected counts by score bin")
    overall = (parts.sum() + 0.5) / (wholes.sum() + 1)
    return np.asarray((parts + 5 * overall) / (wholes + 5))
