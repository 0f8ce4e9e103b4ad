"""The training loop: read it from top to bottom."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cloud.image_folder import Images
from cloud.train.augment import Augmentation, augment
from models.errors import TidegateError


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run depends on besides its data; the same settings and seed give the same model."""

    epochs: int = 40
    seed: int = 0
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    warm_up: float = 0.15  # part of the run in which the learning rate rises
    averaging: float = 0.98  # of the weights, per step: the average is what is kept
    threads: int = 2
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if not (1 <= self.epochs <= 10_000 and 2 <= self.batch <= 4096 and 0 < self.learning_rate <= 1):
            raise ValueError(
                f"need epochs 1..10000, batch 2..4096, learning rate above 0 up to 1, got {self.epochs}, {self.batch}, "
                f"{self.learning_rate}"
            )
        if not (0 <= self.seed < 2**32 and 1 <= self.threads <= 1024):
            raise ValueError(f"need seed 0..{2**32 - 1} and threads 1..1024, got {self.seed} and {self.threads}")


@dataclass(frozen=True, slots=True)
class Epoch:
    """How far the training is after a pass over the data; losses are mean cross-entropy, accuracies top-1."""

    number: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float


def train(model: nn.Module, data: Images, val: Images, settings: Settings) -> Iterator[Epoch]:
    """Train `model` (pixels -> logits), an Epoch at a time; once exhausted, `model` holds the averaged weights."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    rng = torch.Generator().manual_seed(settings.seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.learning_rate)
    steps = max(1, len(data) // settings.batch) * settings.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.learning_rate, total_steps=steps + 1, pct_start=settings.warm_up
    )
    step = 0
    for number in range(1, settings.epochs + 1):
        started = time.monotonic()
        losses: list[float] = []
        right = seen = 0
        model.train()
        for pictures, targets in _batches(data, settings.batch, rng):
            logits = model(augment(pictures, settings.augmentation, rng))
            loss = functional.cross_entropy(logits, targets, label_smoothing=settings.label_smoothing)
            if not math.isfinite(loss.item()):
                raise TidegateError(
                    f"the loss became {loss.item()} at step {step} of {steps}; lower --learning-rate "
                    f"(it is {settings.learning_rate:g})"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            step += 1
            _follow(average, model, min(settings.averaging, step / (step + 10)))
            losses.append(loss.item())
            right += int((logits.argmax(dim=1) == targets).sum())
            seen += len(targets)
        val_loss, val_accuracy = _judge(average, val)
        yield Epoch(number, float(np.mean(losses)), right / seen, val_loss, val_accuracy, time.monotonic() - started)
    model.load_state_dict(average.state_dict())
    model.eval()


def _batches(data: Images, size: int, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Every picture once in a new order; a last batch that is not full waits for the next epoch's shuffle."""
    order = torch.randperm(len(data), generator=rng).numpy()
    for start in range(0, max(1, len(order) - size + 1), size):
        chosen = order[start : start + size]
        yield to_tensor(data, chosen), torch.from_numpy(data.class_ids[chosen])


def to_tensor(data: Images, chosen: slice | np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Tensor:
    """uint8 (n, H, W, 3) -> float (n, 3, H, W), 0..255."""
    # a permuted NHWC tensor *is* channels_last: no copy is made but for the cast
    return torch.from_numpy(data.pixels[chosen]).permute(0, 3, 1, 2).float()


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay pulls at the convolutions' weights, not at biases and normalisations."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move the averaged weights, and the running statistics, a little towards the model's."""
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


@torch.no_grad()
def _judge(model: nn.Module, val: Images, batch: int = 64) -> tuple[float, float]:
    """(mean cross-entropy, top-1 accuracy) on pictures as they are."""
    loss = 0.0
    right = 0
    for start in range(0, len(val), batch):
        part = slice(start, start + batch)
        targets = torch.from_numpy(val.class_ids[part])
        logits = model(to_tensor(val, part))
        loss += float(functional.cross_entropy(logits, targets, reduction="sum"))
        right += int((logits.argmax(dim=1) == targets).sum())
    return loss / len(val), right / len(val)
