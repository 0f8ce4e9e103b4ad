"""Object detection: pictures with boxes as a lesson, and what a trained detector leaves in its run folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.markup import escape
from torch import Tensor, nn

from cloud.average_precision import average_precision
from cloud.boxes.boxed import BoxFolder, with_labels
from cloud.boxes.find import split_boxed
from cloud.boxes.load import BoxedImages, load_boxed
from cloud.image_folder import natural_size
from cloud.imports.adapted import Candidates, suppressed
from cloud.imports.cells import cells_of
from cloud.train.assign import Cells, detection_loss
from cloud.train.augment import Augmentation
from cloud.train.augment_boxes import augment_boxed
from cloud.train.balance import class_weights, unevenness
from cloud.train.classify import to_tensor
from cloud.train.data_record import oddities
from cloud.train.detector_net import DetectorNet, strides_of
from cloud.train.lesson import Batch
from cloud.train.loop import Settings
from cloud.train.nets import NetConfig
from cloud.train.request import Request
from models.detections import Detections
from models.errors import DataError, UsageError
from models.manifest import InputSpec

SHORT_SIDE = 192
NET = NetConfig(width=24, depth=1, stages=4, growth=1.6, dropout=0.0)
SETTINGS = Settings(
    epochs=50,  # as good as 80 with AdamW at 2e-3
    batch=16,
    optimizer="muon",
    learning_rate=0.03,
    weight_decay=0.02,
    averaging=0.99,
    augmentation=Augmentation(rotation=0, zoom=0.4, shift=0.15, mosaic=0.25),
)
_LIKELY, _MOST = 0.01, 200  # of the cells of a picture, while training: the graph that is exported looks at more


@dataclass(frozen=True, slots=True, eq=False)
class BoxedPictures:
    """Pictures to train on and to judge by, fitted to `spec`; with `balance` rare classes weigh more. `unused` are
    labels that no picture shows."""

    spec: InputSpec
    train: BoxedImages
    val: BoxedImages
    strides: tuple[int, ...]
    balance: bool
    unused: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.train.labels

    @property
    def digest(self) -> str:
        return f"{self.train.digest}{self.val.digest}"

    def class_weights(self) -> dict[str, float]:
        """How much a box weighs in the loss, by label."""
        return class_weights(self.train.counts(), balance=self.balance)

    def lesson(self, request: Request) -> "BoxLesson":
        return BoxLesson(self, request.settings)

    def introduction(self) -> list[str]:
        counts = self.train.counts()
        judged = self.val.counts()
        lines = [
            f"{len(self.train)} pictures with {sum(counts.values())} boxes to train on, {len(self.val)} with "
            f"{sum(judged.values())} to judge by, {len(self.labels)} classes: {escape(', '.join(self.labels))}"
        ]
        lines += oddities({"train": self.train.files, "val": self.val.files}, (*self.train.broken, *self.val.broken))
        if self.unused:
            lines.append(f"[yellow]left out, no box of it anywhere:[/] {escape(', '.join(self.unused))}")
        if unseen := [label for label, count in counts.items() if not count]:
            lines.append(f"[yellow]no box to learn it from, only to judge by:[/] {escape(', '.join(unseen))}")
        if unjudged := [label for label, count in counts.items() if count and not judged[label]]:
            lines.append(f"[yellow]no box to judge it by, only to learn from:[/] {escape(', '.join(unjudged))}")
        lines += unevenness(counts, balance=self.balance)
        return lines


class BoxLesson:
    """Class and place of each box, by the cells that are best at it."""

    metric = "AP50-95"

    def __init__(self, data: BoxedPictures, settings: Settings) -> None:
        self._data = data
        self._settings = settings
        self._weights = torch.tensor(list(data.class_weights().values()), dtype=torch.float32)
        cells, strides = cells_of(data.spec.height, data.spec.width, data.strides)
        self._cells = Cells(torch.from_numpy((cells + 0.5) * strides), torch.from_numpy(strides))
        self._boxes, self._classes = padded(data.train)

    def steps(self, size: int) -> int:
        return max(1, len(self._data.train) // size)

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Batch]:
        """(pictures, boxes (n, M, 4) xyxy in pixels, classes (n, M), -1 where a row is empty). Every picture once in a
        new order; a last batch that is not full waits for the next epoch's shuffle."""
        order = torch.randperm(len(self._data.train), generator=rng)
        for start in range(0, self.steps(size) * size, size):
            chosen = order[start : start + size]
            pictures = to_tensor(self._data.train.pixels[chosen.numpy()])
            boxes, classes = self._boxes[chosen], self._classes[chosen]
            pictures, boxes, classes = augment_boxed(pictures, boxes, classes, self._settings.augmentation, rng)
            yield pictures, *_squeezed(boxes, classes)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, float]:
        pictures, boxes, classes = batch
        logits, sides = model(pictures)
        with torch.autocast(logits.device.type, enabled=False):  # exponents and areas overflow bfloat16's few digits
            device = logits.device
            cells = Cells(self._cells.centres.to(device), self._cells.strides.to(device))
            loss = detection_loss(logits.float(), sides.float(), cells, boxes, classes, self._weights.to(device))
        return loss, float("nan")

    @torch.no_grad()
    def judge(self, model: nn.Module) -> tuple[float, float]:
        """(mean loss, AP50-95) on pictures as they are."""
        val, device = self._data.val, next(model.parameters()).device
        boxes, classes = padded(val)
        found: list[Detections] = []
        losses = []
        for start in range(0, len(val), 32):
            part = slice(start, start + 32)
            logits, sides = (answer.float().cpu() for answer in model(to_tensor(val.pixels[part]).to(device)))
            squeezed = _squeezed(boxes[part], classes[part])
            losses.append(float(detection_loss(logits, sides, self._cells, *squeezed, self._weights)) * len(logits))
            found += self._detections(logits, sides)
        precision = average_precision(val.truths, found).ap50_95
        return sum(losses) / len(val), 0.0 if np.isnan(precision) else precision

    def _detections(self, logits: Tensor, sides: Tensor) -> list[Detections]:
        side = max(self._data.spec.height, self._data.spec.width)
        found = []
        for scores, boxes in zip(logits.sigmoid(), self._cells.boxes(sides), strict=True):
            best, classes = scores.max(dim=1)
            likely = best.topk(min(_MOST, len(best))).indices
            likely = likely[best[likely] > _LIKELY]
            candidates = Candidates(
                boxes[likely].double().numpy(), best[likely].double().numpy(), classes[likely].numpy()
            )
            left = suppressed(candidates, side=side)
            found.append(Detections.of(left.boxes, left.scores, left.classes))
        return found


def prepare(request: Request) -> BoxedPictures:
    """Read the pictures and boxes of a detection."""
    if request.teacher is not None:
        raise UsageError("--teacher: only classifiers learn from a teacher; train the detector without")
    if request.net.stages < 2:
        raise UsageError(f"--stages must be at least 2 for a detector, got {request.net.stages}")
    for flag, value in _meant_for_classes(request.settings).items():
        if value:
            raise UsageError(f"{flag} {value:g}: pictures with boxes are learned without; leave it out")
    to_train, to_judge = split_boxed(request.data, request.val, seed=request.settings.seed)
    to_train, to_judge, unused = _shown(to_train, to_judge)
    strides = strides_of(request.net)
    spec = InputSpec(*_size(request, to_train, strides[-1]), fit="letterbox", interpolation="area")
    train, val = load_boxed(to_train, spec), load_boxed(to_judge, spec)
    if not sum(train.counts().values()):
        raise DataError(f"{to_train.root}: {len(train)} pictures to train on show nothing; expected labelled boxes")
    if not sum(val.counts().values()):
        raise DataError(
            f"{to_judge.root}: {len(val)} pictures to judge by show nothing; expected labelled boxes, or others in "
            f"--val"
        )
    if len(train) < 2:
        raise DataError(f"{to_train.root}: {len(train)} picture is too few to train on; expected at least two")
    return BoxedPictures(spec, train, val, strides, request.settings.balance, unused)


def _meant_for_classes(settings: Settings) -> dict[str, float]:
    augmentation = settings.augmentation
    return {"--rotation": augmentation.rotation, "--jump": augmentation.jump, "--mixup": settings.mixup}


def make_net(labels: Sequence[str], config: NetConfig) -> DetectorNet:
    """An untrained network for these classes."""
    return DetectorNet(len(labels), config)


def padded(images: BoxedImages) -> tuple[Tensor, Tensor]:
    """Boxes (n, M, 4) xyxy in pixels and classes int64 (n, M), -1 where a picture has fewer than M."""
    most = max((len(truth.class_ids) for truth in images.truths), default=0)
    boxes = np.zeros((len(images), most, 4), np.float32)
    classes = np.full((len(images), most), -1, np.int64)
    for row, truth in enumerate(images.truths):
        boxes[row, : len(truth.class_ids)] = truth.xyxy
        classes[row, : len(truth.class_ids)] = truth.class_ids
    return torch.from_numpy(boxes), torch.from_numpy(classes)


def _squeezed(boxes: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """The same without columns that are empty in all pictures."""
    order = (classes >= 0).long().argsort(dim=1, descending=True, stable=True)
    most = int((classes >= 0).sum(dim=1).max()) if classes.numel() else 0
    order = order[:, :most]
    return boxes.gather(1, order[:, :, None].expand(-1, -1, 4)), classes.gather(1, order)


def _shown(train: BoxFolder, val: BoxFolder) -> tuple[BoxFolder, BoxFolder, tuple[str, ...]]:
    """Both parts with labels that have a box somewhere, and the labels that have none."""
    counts, others = train.counts(), val.counts()
    kept = tuple(label for label in train.labels if counts[label] or others[label])
    unused = tuple(label for label in train.labels if label not in kept)
    named = (replace(part, named=True) for part in (train, val))
    first, second = (with_labels(part, kept) for part in named)
    return first, second, unused


def _size(request: Request, folder: BoxFolder, multiple: int) -> tuple[int, int]:
    if request.size is not None:
        if any(side % multiple for side in request.size):
            raise UsageError(
                f"--size must be in multiples of {multiple} for a detector of {request.net.stages} stages, got "
                f"{request.size[0]}x{request.size[1]}"
            )
        return request.size
    natural = natural_size([picture.path for picture in folder.pictures], folder.root, short_side=SHORT_SIDE)
    height, width = (max(multiple, round(side / multiple) * multiple) for side in natural)
    return height, width
