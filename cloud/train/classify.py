"""Image classification: labelled pictures as a lesson, and what a trained classifier leaves in its run folder."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.markup import escape
from torch import Tensor, nn
from torch.nn import functional

from cloud.evaluate import Classified, evaluate_classifier
from cloud.image_folder import Images, find_split, load_images, natural_size
from cloud.plots import draw_confusion, draw_sheet
from cloud.run_folder import REFERENCE, variant_file, write_report
from cloud.train.augment import augment
from cloud.train.balance import class_weights, unevenness
from cloud.train.data_record import enter_data, oddities
from cloud.train.distill import SHARE, distillation_loss, soft_targets
from cloud.train.export import export_classifier
from cloud.train.golden_choice import choose_golden
from cloud.train.leave import enter_reference, training_lineage, write_training
from cloud.train.lesson import Batch
from cloud.train.loop import Epoch, Settings
from cloud.train.nets import NetConfig, ResidualNet
from cloud.train.request import Outcome, Request
from models.detections import Float32, UInt8
from models.durable import write_atomic
from models.errors import DataError
from models.golden import record_golden, write_golden
from models.manifest import InputSpec, Manifest
from models.runner import Runner

SHORT_SIDE = 96
_WORST = 24


@dataclass(frozen=True, slots=True, eq=False)
class LabelledPictures:
    """Pictures to train on and to judge by, fitted to `spec`; `taught` are a teacher's probabilities for `train`, and
    with `balance` rare classes weigh more."""

    spec: InputSpec
    train: Images
    val: Images
    taught: Float32 | None = None
    balance: bool = True

    @property
    def labels(self) -> tuple[str, ...]:
        return self.train.labels

    @property
    def digest(self) -> str:
        taught = "" if self.taught is None else hashlib.sha256(self.taught.tobytes()).hexdigest()
        return f"{self.train.digest}{self.val.digest}{taught}"

    def class_weights(self) -> dict[str, float]:
        """How much a picture weighs in the loss, by label."""
        return class_weights(self.train.counts(), balance=self.balance)

    def lesson(self, request: Request) -> "ClassLesson":
        return ClassLesson(self, request.settings)

    def introduction(self) -> list[str]:
        lines = [
            f"{len(self.train)} pictures to train on, {len(self.val)} to judge by, "
            f"{len(self.labels)} classes: {escape(', '.join(self.labels))}"
        ]
        lines += oddities({"train": self.train.files, "val": self.val.files}, (*self.train.broken, *self.val.broken))
        lines += unevenness(self.train.counts(), balance=self.balance)
        return lines


class ClassLesson:
    """Cross-entropy on augmented pictures, weighed by class."""

    metric = "top-1"

    def __init__(self, data: LabelledPictures, settings: Settings) -> None:
        self._data = data
        self._settings = settings
        self._weights = torch.tensor(list(data.class_weights().values()))

    def steps(self, size: int) -> int:
        return max(1, len(self._data.train) // size)

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Batch]:
        """(pictures, targets (n, classes) that sum to 1, a teacher's probabilities or nothing). Every picture once in
        a new order; a last batch that is not full waits for the next epoch's shuffle."""
        data, settings = self._data.train, self._settings
        order = torch.randperm(len(data), generator=rng).numpy()
        for start in range(0, self.steps(size) * size, size):
            chosen = order[start : start + size]
            pictures = augment(to_tensor(data.pixels[chosen]), settings.augmentation, rng)
            targets = functional.one_hot(torch.from_numpy(data.class_ids[chosen]), len(data.labels)).float()
            taught = torch.zeros(0) if self._data.taught is None else torch.from_numpy(self._data.taught[chosen])
            if settings.mixup:
                pictures, targets, taught = _mix(pictures, targets, taught, settings.mixup, rng)
            yield pictures, targets, taught

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, float]:
        pictures, targets, taught = batch
        logits = model(pictures)
        loss = functional.cross_entropy(
            logits, targets, weight=self._weights.to(logits.device), label_smoothing=self._settings.label_smoothing
        )
        if len(taught):
            loss = (1 - SHARE) * loss + SHARE * distillation_loss(logits, taught)
        right = (logits.argmax(dim=1) == targets.argmax(dim=1)).float().mean()
        return loss, float(right)

    @torch.no_grad()
    def judge(self, model: nn.Module) -> tuple[float, float]:
        """(mean cross-entropy, top-1 accuracy) on pictures as they are."""
        val, device = self._data.val, next(model.parameters()).device
        loss = 0.0
        right = 0
        for start in range(0, len(val), 64):
            part = slice(start, start + 64)
            targets = torch.from_numpy(val.class_ids[part]).to(device)
            logits = model(to_tensor(val.pixels[part]).to(device))
            loss += float(functional.cross_entropy(logits, targets, reduction="sum"))
            right += int((logits.argmax(dim=1) == targets).sum())
        return loss / len(val), right / len(val)


def prepare(request: Request) -> LabelledPictures:
    """Read the pictures of a classification, and ask the teacher if there is one."""
    to_train, to_judge = find_split(request.data, request.val, seed=request.settings.seed)
    height, width = request.size or natural_size(to_train.paths, to_train.root, short_side=SHORT_SIDE)
    spec = InputSpec(height, width, fit="stretch", interpolation="area")
    train, val = load_images(to_train, spec), load_images(to_judge, spec)
    if len(train) < 2 * len(train.labels):
        raise DataError(
            f"{to_train.root}: {len(train)} pictures of {len(train.labels)} classes are too few "
            f"to train on; expected at least two of each"
        )
    taught = None
    if request.teacher is not None:
        whole = [path for path, file in zip(to_train.paths, train.files, strict=True) if file.pixels_sha256]
        taught = soft_targets(request.teacher, train.labels, whole)
    return LabelledPictures(spec, train, val, taught, request.settings.balance)


def make_net(labels: Sequence[str], config: NetConfig) -> ResidualNet:
    """An untrained network for these classes."""
    return ResidualNet(len(labels), config)


def write_run(
    draft: Path, request: Request, net: nn.Module, prepared: LabelledPictures, history: Sequence[Epoch]
) -> Outcome:
    """Export the trained network into `draft` with its manifest, golden frames, report and plots; how right it is,
    measured on the exported graph."""
    val = prepared.val
    model = draft / variant_file(REFERENCE)
    write_atomic(model, export_classifier(net, prepared.spec).SerializeToString())
    lineage = training_lineage(request, {"data_sha256": prepared.train.digest, "val_sha256": val.digest})
    # every frame gets an answer: the best class of a classifier is its answer however unsure it is
    manifest = Manifest(request.name, "classification", val.labels, prepared.spec, threshold=0.0, lineage=lineage)
    runner = Runner(model, manifest)
    classified = evaluate_classifier(runner, val)
    enter_reference(draft, manifest, runner, val.pixels[0], accuracy=classified.accuracy, metric="top-1")
    golden = record_golden([val.pixels[index] for index in choose_golden(val, classified)], {REFERENCE: runner})
    write_golden(draft, golden)
    parts = {"train": prepared.train.files, "val": val.files}
    write_training(
        draft,
        request,
        net,
        history,
        metric="top-1",
        data={
            "pictures": {"train": prepared.train.counts(), "val": val.counts()},
            "class_weights": prepared.class_weights(),
            **enter_data(draft, parts, (*prepared.train.broken, *val.broken)),
        },
    )
    write_report(draft, {"evaluation": classified.document()})
    draw_confusion(
        draft / "confusion.png",
        classified.confusion,
        val.labels,
        title=f"{request.name}\n{classified.accuracy:.3f} of {classified.pictures} pictures",
    )
    _draw_mistakes(draft / "mistakes.png", val, classified)
    rows = [
        (
            label,
            str(score.pictures),
            *("-" if math.isnan(part) else f"{part:.3f}" for part in (score.recall, score.precision)),
        )
        for label, score in classified.by_class().items()
    ]
    rows.append(("all", str(classified.pictures), f"{classified.accuracy:.3f}", ""))
    columns = ("class", "pictures", "recall", "precision")
    return Outcome("top-1", classified.accuracy, classified.pictures, columns, tuple(rows))


def _draw_mistakes(path: Path, val: Images, classified: Classified) -> None:
    """The wrong answers that the model was surest of: mislabelled pictures, or what it has yet to learn."""
    wrong = np.flatnonzero(classified.answers != val.class_ids)
    worst = wrong[np.argsort(-classified.confidence[wrong], kind="stable")][:_WORST]
    captions = [
        f"{val.labels[val.class_ids[index]]}, taken for\n{val.labels[classified.answers[index]]} "
        f"({classified.confidence[index]:.2f})"
        for index in worst
    ]
    title = f"The {len(worst)} surest of {len(wrong)} mistakes" if len(wrong) else "No mistakes"
    draw_sheet(path, [val.pixels[index] for index in worst], captions, title=title)


def to_tensor(pixels: UInt8) -> Tensor:
    """uint8 (n, H, W, 3) -> float (n, 3, H, W), 0..255."""
    # a permuted NHWC tensor *is* channels_last: no copy is made but for the cast
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float()


def _mix(
    pictures: Tensor, targets: Tensor, taught: Tensor, alpha: float, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Each picture blended with another of the batch, and its targets likewise, by one part for all."""
    # two gamma variates make a beta one; torch's take no generator, but sums of powers of uniforms do (Joehnk 1964)
    part = _beta(alpha, rng)
    other = torch.randperm(len(pictures), generator=rng)
    blended = (part * tensor + (1 - part) * tensor[other] if len(tensor) else tensor for tensor in (targets, taught))
    return part * pictures + (1 - part) * pictures[other], *blended  # type: ignore[return-value]


def _beta(alpha: float, rng: torch.Generator) -> float:
    while True:
        a, b = (torch.rand(2, generator=rng, dtype=torch.float64) ** (1 / alpha)).tolist()
        if 0 < a + b <= 1:
            return float(a / (a + b))
