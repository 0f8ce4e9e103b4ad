"""Anomaly detection: what good pictures alone can teach."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cloud.anomaly.defects import spoil
from cloud.anomaly.goods import LABELS, LEAST, Goods, find_goods
from cloud.anomaly.judged import DRAWN, area_under_roc, note, to_judge_by
from cloud.image_folder import ImageFile, Images, load_images, natural_size
from cloud.train.anomaly_net import AnomalyNet
from cloud.train.augment import Augmentation, augment
from cloud.train.classify import to_tensor
from cloud.train.data_record import oddities
from cloud.train.lesson import Batch
from cloud.train.loop import Settings
from cloud.train.nets import NetConfig
from cloud.train.request import Request
from models.detections import UInt8
from models.errors import DataError, UsageError
from models.manifest import InputSpec

SHORT_SIDE = 96
NET = NetConfig(width=24, depth=1, stages=2, dropout=0.0)
SETTINGS = Settings(
    epochs=30,
    batch=16,
    weight_decay=0.01,
    # what is changed here is taken for good: much less than the same thing may be changed by for a classifier
    augmentation=Augmentation(3.0, 0.04, 0.02, 0.04, 0.08, 0.03, flip=False),
)
_LEAST_STEPS = 16  # in an epoch, however few the pictures: each has another defect every time
_DEFECT, _CLEAN = 0.06, 0.0  # the part of a cell that is changed from which it is one, and up to which it is none
_HELD_OUT_SEED = 2
_MANY = 100


@dataclass(frozen=True, slots=True, eq=False)
class GoodPictures:
    """Good pictures to train on and others to draw the line by, fitted to `spec`; `judged` are what the figures are
    of, real defects among them, or drawn ones where there are none (`own_judged`: it has pictures of its own)."""

    spec: InputSpec
    train: Images
    held_out: Images
    judged: Images
    own_judged: bool
    false_alarms: float

    @property
    def labels(self) -> tuple[str, ...]:
        return LABELS

    @property
    def digest(self) -> str:
        return f"{self.train.digest}{self.held_out.digest}{self.judged.digest}"

    @property
    def parts(self) -> dict[str, Sequence[ImageFile]]:
        """The files of each part, once."""
        judged = {"test": self.judged.files} if self.own_judged else {}
        return {"train": self.train.files, "val": self.held_out.files, **judged}

    @property
    def broken(self) -> tuple[str, ...]:
        own = self.judged.broken if self.own_judged else ()
        return (*self.train.broken, *self.held_out.broken, *own)

    def lesson(self, request: Request) -> "DefectLesson":
        return DefectLesson(self.train.pixels, self.held_out.pixels, request.settings)

    def introduction(self) -> list[str]:
        counts = self.judged.counts()
        what = ", ".join(f"{count} {label}" for label, count in counts.items())
        lines = [
            f"{len(self.train)} good pictures to train on, {len(self.held_out)} to draw the line by; judged by {what}"
        ]
        lines += oddities(self.parts, self.broken)
        if DRAWN in counts:
            lines.append(f"[yellow]{note(self.judged.labels)}[/]")
        if len(self.held_out) * self.false_alarms < 1:
            more = f"{len(self.held_out)} held-out pictures hold no {self.false_alarms:.1%} of false alarms"
            lines.append(f"{more}: the line is where their highest scores point to")
        return lines


class DefectLesson:
    """Which cells of a picture have a drawn defect, half of the pictures having none."""

    metric = "AUROC on drawn defects"

    def __init__(self, train: UInt8, held_out: UInt8, settings: Settings) -> None:
        self._train = train
        self._settings = settings
        self._judged = _spoiled(held_out, held_out, np.random.default_rng(_HELD_OUT_SEED))
        self._held_out = held_out

    def steps(self, size: int) -> int:
        return max(_LEAST_STEPS, len(self._train) // size)

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Batch]:
        """(pictures, where they are changed (n, 1, H, W), whether they are (n,)): half of them, each in its own way.
        Pictures come in a new order, and again where they are fewer than an epoch has steps for."""
        count = self.steps(size) * size
        rounds = [torch.randperm(len(self._train), generator=rng) for _ in range(-(-count // len(self._train)))]
        order = torch.cat(rounds)[:count].numpy()
        numbers = np.random.default_rng(int(torch.randint(2**62, (1,), generator=rng)))
        for start in range(0, count, size):
            pictures = augment(to_tensor(self._train[order[start : start + size]]), self._settings.augmentation, rng)
            pixels = pictures.round().byte().permute(0, 2, 3, 1).numpy()
            half = size // 2
            spoiled, masks = _spoiled(pixels[:half], self._train, numbers)
            yield (
                to_tensor(np.concatenate((spoiled, pixels[half:]))),
                torch.cat((masks, torch.zeros(size - half, *masks.shape[1:]))),
                (torch.arange(size) < half).float(),
            )

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, float]:
        pictures, masks, spoiled = batch
        loss, highest = _loss(model, pictures, masks, spoiled)
        highest, spoiled = highest.detach().float().cpu(), spoiled.cpu()
        return loss, area_under_roc(highest[spoiled == 0].numpy(), highest[spoiled == 1].numpy())

    @torch.no_grad()
    def judge(self, model: nn.Module) -> tuple[float, float]:
        """(mean loss, AUROC of the highest cell) on held-out pictures, as they are and with defects drawn in."""
        device = next(model.parameters()).device
        pixels, masks = self._judged
        losses, scores = [], []
        for start in range(0, len(pixels), 32):
            part = slice(start, start + 32)
            pictures = torch.cat((to_tensor(pixels[part]), to_tensor(self._held_out[part])))
            where = torch.cat((masks[part], torch.zeros_like(masks[part])))
            spoiled = torch.arange(len(pictures)) < len(pictures) // 2
            loss, highest = _loss(model, pictures.to(device), where.to(device), spoiled.float().to(device))
            losses.append(float(loss) * len(pictures))
            scores.append(highest.cpu().view(2, -1))
        defects, goods = torch.cat(scores, dim=1).numpy()
        return sum(losses) / (2 * len(pixels)), area_under_roc(goods, defects)


def prepare(request: Request) -> GoodPictures:
    """Read the good pictures of a training, and what it is judged by."""
    if request.teacher is not None:
        raise UsageError("--teacher: only classifiers learn from a teacher; train the anomaly detector without")
    if not 0 < request.false_alarms <= 0.5:
        raise UsageError(f"--false-alarms must be above 0 and at most 0.5, got {request.false_alarms:g}")
    found = find_goods(request.data, request.val, seed=request.settings.seed)
    size = request.size or natural_size(found.train.paths, found.train.root, short_side=SHORT_SIDE)
    spec = InputSpec(*size, fit="stretch", interpolation="area")
    train, held_out = load_images(found.train, spec), load_images(found.held_out, spec)
    if len(train) + len(held_out) < LEAST:
        raise DataError(
            f"{found.train.root}: {len(train) + len(held_out)} good pictures can be decoded; expected at least {LEAST}"
        )
    judged = to_judge_by(_judged(found, held_out, spec))
    return GoodPictures(spec, train, held_out, judged, found.judged is not None, request.false_alarms)


def make_net(labels: Sequence[str], config: NetConfig) -> AnomalyNet:
    """An untrained network; it has the same two labels always."""
    return AnomalyNet(config)


def _judged(found: Goods, held_out: Images, spec: InputSpec) -> Images:
    if found.judged is None:
        return held_out
    judged = load_images(found.judged, spec)
    if (judged.class_ids == 0).any():
        return judged
    # there are defects alone: the good pictures that the line was drawn by are what is left to compare them with
    return replace(
        judged,
        pixels=np.concatenate((held_out.pixels, judged.pixels)),
        class_ids=np.concatenate((held_out.class_ids, judged.class_ids)),
    )


def _spoiled(pixels: UInt8, others: UInt8, rng: np.random.Generator) -> tuple[UInt8, Tensor]:
    """Each of the pictures with a defect, and where it is, float (n, 1, H, W)."""
    drawn = [spoil(picture, others[rng.integers(len(others))], rng) for picture in pixels]
    masks = np.stack([mask for _, mask in drawn])
    return np.stack([picture for picture, _ in drawn]), torch.from_numpy(masks).float()[:, None]


def _loss(model: nn.Module, pictures: Tensor, masks: Tensor, spoiled: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy by cell, cells with a defect weighing as much as those without, and of the picture as a whole;
    and the highest logit of each picture (n,)."""
    assert isinstance(model, AnomalyNet)
    cells, _ = model.look(pictures)
    part = functional.adaptive_avg_pool2d(masks, (cells.shape[2], cells.shape[3]))
    defect, clean = (part > _DEFECT).float(), (part <= _CLEAN).float()  # cells between are neither
    wrong = functional.binary_cross_entropy_with_logits(cells, defect, reduction="none")
    by_cell = (wrong * defect).sum() / defect.sum().clamp_min(1) + (wrong * clean).sum() / clean.sum().clamp_min(1)
    highest = cells.amax(dim=(1, 2, 3))
    return (by_cell + functional.binary_cross_entropy_with_logits(highest, spoiled)) / 2, highest
