"""How well good is told from wrong, measured through the runner that gateways use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.anomaly.defects import spoil_all
from cloud.anomaly.goods import ANOMALY, GOOD, LABELS
from cloud.image_folder import Images
from models.detections import Float32, Int64
from models.errors import DataError
from models.runner import Runner

DRAWN = "drawn defect"
BOUNDARY = 0.5  # of the probability: above, a picture is an anomaly
_SEED = 1

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """`wrong` float32 (n,): the probability that a picture is an anomaly; `class_ids` int64 (n,) index `labels`: good,
    and each kind of defect."""

    labels: tuple[str, ...]
    class_ids: Int64
    wrong: Float32

    @property
    def metric(self) -> str:
        """As from metric_of."""
        return metric_of(self.labels)

    @property
    def pictures(self) -> int:
        return len(self.wrong)

    @property
    def auroc(self) -> float:
        """The probability that a defect gets a higher score than a good picture (half where they are equal)."""
        return area_under_roc(self.of(GOOD), self.wrong[self.class_ids > 0])

    def of(self, label: str) -> Float32:
        """The scores of a label's pictures."""
        return np.asarray(self.wrong[self.class_ids == self.labels.index(label)], np.float32)

    @property
    def false_alarms(self) -> float:
        """The part of the good pictures that are called anomalies."""
        return float((self.of(GOOD) > BOUNDARY).mean())

    def by_class(self) -> dict[str, dict[str, Any]]:
        """Pictures, the part of them that is recognised for what it is (`recall`), and the AUROC of each defect."""
        goods = self.of(GOOD)
        found: dict[str, dict[str, Any]] = {
            GOOD: {"pictures": len(goods), "recall": 1 - self.false_alarms, "auroc": None}
        }
        for kind in self.labels[1:]:
            scores = self.of(kind)
            recall = float((scores > BOUNDARY).mean())
            found[kind] = {"pictures": len(scores), "recall": recall, "auroc": area_under_roc(goods, scores)}
        return found

    def table(self) -> list[tuple[str, str, str, str]]:
        """For people: a row of headings, one for good pictures and each kind of defect, one for all."""
        rows = [("pictures of", "count", "called anomalies", "AUROC")]
        for label, found in self.by_class().items():
            called = self.false_alarms if label == GOOD else found["recall"]
            rows.append((label, f"{found['pictures']}", _figure(called), _figure(found["auroc"])))
        return [*rows, ("all", f"{self.pictures}", "", _figure(self.auroc))]

    def document(self) -> dict[str, Any]:
        """The figures for JSON."""
        return {
            "metric": self.metric,
            "accuracy": self.auroc,
            "pictures": self.pictures,
            "false_alarms": self.false_alarms,
            "by_class": self.by_class(),
            "note": note(self.labels),
        }


def metric_of(labels: Sequence[str]) -> str:
    """AUROC, and of what where that is not defects that happened."""
    return "AUROC on drawn defects" if DRAWN in labels else "AUROC"


def note(labels: Sequence[str]) -> str:
    """What the figures are of, for people."""
    if DRAWN in labels:
        return (
            "No defect pictures were there to judge by: the defects are drawn into good pictures, and say little of "
            "how real ones are found."
        )
    return "Judged by pictures of defects, which were not learned from."


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def judge_anomalies(runner: Runner, images: Images) -> Judged:
    """What the runner makes of every fitted picture; `images` as from `to_judge_by`."""
    wrong = np.array([runner.probabilities(picture)[LABELS.index(ANOMALY)] for picture in images.pixels], np.float32)
    return Judged(images.labels, images.class_ids, wrong)


def to_judge_by(images: Images) -> Images:
    """The same pictures, and where no defect is among them each once more with one drawn into it."""
    goods = images.pixels[images.class_ids == 0]
    if not len(goods):
        raise DataError(f"no good pictures to judge by; expected some in {GOOD}/ that were not learned from")
    if len(goods) < len(images):
        return images
    pixels = np.concatenate((goods, spoil_all(goods, seed=_SEED)))
    class_ids = np.repeat(np.arange(2, dtype=np.int64), len(goods))
    return Images((GOOD, DRAWN), pixels, class_ids, images.broken, images.digest, images.files)


def area_under_roc(goods: npt.NDArray[Any], defects: npt.NDArray[Any]) -> float:
    """The part of all pairs in which the defect scores higher, ties counting half; nan without pairs."""
    if not goods.size or not defects.size:
        return float("nan")
    rising = np.sort(goods)
    below = np.searchsorted(rising, defects, "left") + np.searchsorted(rising, defects, "right")
    return float(below.mean() / 2 / len(rising))


def pairs_won(goods: npt.NDArray[Any], defects: npt.NDArray[Any]) -> Float32:
    """(defects, goods): 1 where the defect scores higher, a half where both score the same."""
    higher = defects[:, None] > goods[None, :]
    return np.asarray(higher + 0.5 * (defects[:, None] == goods[None, :]), np.float32)
