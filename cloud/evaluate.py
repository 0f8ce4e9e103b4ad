"""How right a model is, measured through the very runner that gateways use."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.average_precision import Truth
from cloud.boxes.boxed import BoxFolder
from cloud.image_folder import Images, read_picture
from models.detections import Detections, Int64
from models.manifest import Manifest
from models.runner import Runner


@dataclass(frozen=True, slots=True)
class ClassAccuracy:
    """One class: `recall`, the part of its pictures that is recognised; `precision`, the part of what is taken for it
    that is it; nan where there is nothing to divide by."""

    pictures: int
    recall: float
    precision: float


@dataclass(frozen=True, slots=True, eq=False)
class Classified:
    """`confusion` int64 (C, C): rows are the truth, columns the model's answer; `unanswered` pictures had a score
    that is not a number, and count as wrong; `confidence` float32 (n,) is the best score of each picture, `answers`
    int64 (n,) its class, -1 where unanswered."""

    labels: tuple[str, ...]
    confusion: Int64
    unanswered: int
    answers: Int64
    confidence: npt.NDArray[np.float32]

    @property
    def pictures(self) -> int:
        return int(self.confusion.sum()) + self.unanswered

    @property
    def accuracy(self) -> float:
        """Top-1."""
        return float(np.trace(self.confusion)) / self.pictures

    def by_class(self) -> dict[str, ClassAccuracy]:
        right = np.diag(self.confusion)
        truths, answers = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return {
            label: ClassAccuracy(int(truths[k]), _ratio(right[k], truths[k]), _ratio(right[k], answers[k]))
            for k, label in enumerate(self.labels)
        }

    def document(self) -> dict[str, Any]:
        """The figures for JSON; null where there was nothing to divide by."""
        return {
            "metric": "top-1",
            "accuracy": self.accuracy,
            "pictures": self.pictures,
            "unanswered": self.unanswered,
            "by_class": {
                label: {key: value if value == value else None for key, value in asdict(score).items()}
                for label, score in self.by_class().items()
            },
            "confusion": self.confusion.tolist(),
        }


def evaluate_classifier(runner: Runner, images: Images) -> Classified:
    """Compare the runner's answer to every fitted picture with its class."""
    scores = np.stack([runner.probabilities(picture) for picture in images.pixels])
    finite = np.isfinite(scores).all(axis=1)
    answers = np.where(finite, scores.argmax(axis=1), -1)
    confusion = np.zeros((len(images.labels), len(images.labels)), np.int64)
    np.add.at(confusion, (images.class_ids[finite], answers[finite]), 1)
    return Classified(images.labels, confusion, int((~finite).sum()), answers, scores.max(axis=1))


def look_for_boxes(runner: Runner, folder: BoxFolder) -> tuple[list[Truth], list[Detections]]:
    """What is in each picture, and what the runner finds there: for average precision, with no threshold but the
    graph's own. DataError for the first picture that is damaged."""
    truths: list[Truth] = []
    found: list[Detections] = []
    for picture in folder.pictures:
        image = read_picture(picture.path)
        truths.append(picture.truth(image.shape[1], image.shape[0]))
        found.append(runner.run(image))
    return truths, found


def without_threshold(manifest: Manifest) -> Manifest:
    """The same model, of which nothing is held back: average precision is measured over all scores."""
    return replace(manifest, threshold=0.0)


def _ratio(part: np.int64, whole: np.int64) -> float:
    return float(part / whole) if whole else float("nan")
