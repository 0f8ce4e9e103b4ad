"""The training loop: read it from top to bottom."""

import copy
import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from cloud.train.augment import Augmentation
from cloud.train.checkpoint import Checkpoint, resume, write_checkpoint
from cloud.train.lesson import Batch, Lesson
from cloud.train.muon import Muon
from models.errors import TidegateError, UsageError

Optimizer = Literal["adamw", "sgd", "muon"]
Schedule = Literal["one-cycle", "cosine"]
MixedPrecision = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training run depends on besides its data; the same settings and seed give the same model.

    `averaging`: of the weights, per step: the average (EMA) is what is kept. `patience`: epochs without a better
    metric after which to stop and keep the best (0: never; then the last is kept). `balance`: rare classes weigh more
    in the loss. `mixed_precision`: "auto" is bfloat16 where the device computes it in hardware; "on" anywhere.
    """

    epochs: int = 40
    seed: int = 0
    batch: int = 32
    optimizer: Optimizer = "adamw"
    learning_rate: float = 3e-3
    schedule: Schedule = "one-cycle"
    weight_decay: float = 0.05
    label_smoothing: float = 0.05
    warm_up: float = 0.15  # part of the run in which the learning rate rises
    averaging: float = 0.98
    patience: int = 0
    mixup: float = 0.0  # Zhang et al. 2018, https://arxiv.org/abs/1710.09412: alpha of the Beta distribution
    balance: bool = True
    threads: int = 2
    device: str = "cpu"
    mixed_precision: MixedPrecision = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if not (1 <= self.epochs <= 10_000 and 2 <= self.batch <= 4096 and 0 < self.learning_rate <= 1):
            raise ValueError(
                f"need epochs 1..10000, batch 2..4096, learning rate above 0 up to 1, got {self.epochs}, {self.batch}, "
                f"{self.learning_rate}"
            )
        if not (0 <= self.seed < 2**32 and 1 <= self.threads <= 1024):
            raise ValueError(f"need seed 0..{2**32 - 1} and threads 1..1024, got {self.seed} and {self.threads}")
        if not (0 <= self.weight_decay <= 1 and 0 <= self.label_smoothing < 1 and 0 <= self.mixup <= 10):
            raise ValueError(
                f"need weight decay 0..1, label smoothing 0..1 and mixup 0..10, got {self.weight_decay}, "
                f"{self.label_smoothing} and {self.mixup}"
            )
        if not (0 < self.warm_up < 1 and 0 <= self.averaging < 1 and self.patience >= 0):
            raise ValueError(
                f"need warm-up and averaging between 0 and 1, patience from 0 on, got {self.warm_up}, "
                f"{self.averaging} and {self.patience}"
            )


@dataclass(frozen=True, slots=True)
class Epoch:
    """How far the training is after a pass over the data. `figure` is the training part's (such as the part that was
    right, augmented), `val_metric` the lesson's metric of the averaged weights on what is held out."""

    number: int
    loss: float
    figure: float
    val_loss: float
    val_metric: float
    seconds: float


def train(
    model: nn.Module, lesson: Lesson, settings: Settings, *, checkpoint: Path | None = None, fingerprint: str = ""
) -> Iterator[Epoch]:
    """Train `model`, an Epoch at a time; once exhausted, `model` (on the CPU) holds the averaged weights.

    With `checkpoint`, the state is saved there after every epoch, and a file left there by a run with the same
    `fingerprint` is gone on from: its epochs are yielded again at once, and the weights at the end are those of a run
    that never stopped. The file stays until the caller removes it.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    rng = torch.Generator().manual_seed(settings.seed)
    device = _device(settings.device)
    model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # the stubs lack it
    average = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = _optimizer(model, settings)
    steps = lesson.steps(settings.batch) * settings.epochs
    schedule = _schedule(optimizer, settings, steps)
    history: list[Epoch] = []
    best: dict[str, Any] = {}
    found = resume(checkpoint, fingerprint) if checkpoint else None
    if found is not None:
        state = found.state
        history = [Epoch(**epoch) for epoch in state["history"]]
        best = state["best"]
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        rng.set_state(state["rng"])
        _set_dropout_rng(device, state["dropout_rng"])
        yield from history
    step = len(history) * lesson.steps(settings.batch)
    while len(history) < settings.epochs and not _gave_up(history, settings.patience):
        started = time.monotonic()
        losses: list[float] = []
        figures: list[float] = []
        model.train()
        for batch in lesson.batches(settings.batch, rng):
            with _precision(settings, device):
                loss, figure = lesson.loss(model, _to(batch, device))
            if not math.isfinite(loss.item()):
                raise _runaway("loss", loss.item(), step, steps, settings, checkpoint, history)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            slope = float(nn.utils.clip_grad_norm_(model.parameters(), 5.0))
            if not math.isfinite(slope):  # the weights are still good, and one step on they would not be
                raise _runaway("gradient", slope, step, steps, settings, checkpoint, history)
            optimizer.step()
            schedule.step()
            step += 1
            _follow(average, model, min(settings.averaging, step / (step + 10)))
            losses.append(loss.item())
            figures.append(figure)
        val_loss, val_metric = lesson.judge(average)
        seconds = time.monotonic() - started
        history.append(
            Epoch(len(history) + 1, float(np.mean(losses)), float(np.mean(figures)), val_loss, val_metric, seconds)
        )
        if settings.patience and history[-1] is kept(history, settings.patience):
            best = copy.deepcopy(average.state_dict())
        if checkpoint is not None:
            state = {
                "history": [dataclasses.asdict(epoch) for epoch in history],
                "best": best,
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "rng": rng.get_state(),
                "dropout_rng": _dropout_rng(device),
            }
            write_checkpoint(checkpoint, Checkpoint(fingerprint, len(history), state))
        yield history[-1]
    model.load_state_dict(best or average.state_dict())
    model.to("cpu").eval()


def kept(history: Sequence[Epoch], patience: int) -> Epoch:
    """The epoch whose weights a training ends with: the last, or with `patience` the first of the best."""
    return max(history, key=lambda epoch: (epoch.val_metric, -epoch.number)) if patience else history[-1]


def _gave_up(history: Sequence[Epoch], patience: int) -> bool:
    return bool(patience and history) and len(history) - kept(history, patience).number >= patience


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as exc:  # PyTorch asserts that it was built with CUDA
        reason = str(exc).splitlines()[0]
        raise UsageError(f"--device {name} cannot be used here: {reason}; cpu always can") from exc
    return device


def _precision(settings: Settings, device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 for what tolerates it, where the device computes it: elsewhere it is emulated, and slower."""
    supported = (
        device.type == "cuda" or torch.cpu._is_amx_tile_supported() or bool(torch.cpu._is_avx512_bf16_supported())
    )
    if settings.mixed_precision == "off" or (settings.mixed_precision == "auto" and not supported):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _dropout_rng(device: torch.device) -> torch.Tensor:
    """The state of what dropout draws from, which no generator can be passed to."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_dropout_rng(device: torch.device, state: torch.Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def _optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Decay pulls at the convolutions' weights, not at biases and normalisations."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trained if parameter.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    if settings.optimizer == "muon":
        return Muon(groups, lr=settings.learning_rate)
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _schedule(optimizer: torch.optim.Optimizer, settings: Settings, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if settings.schedule == "one-cycle":  # Smith and Topin 2018, https://arxiv.org/abs/1708.07120
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=settings.learning_rate, total_steps=steps + 1, pct_start=settings.warm_up
        )
    rise = max(1, round(steps * settings.warm_up))

    def part(step: int) -> float:
        return (
            (step + 1) / rise if step < rise else 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(1, steps - rise))
        )

    return torch.optim.lr_scheduler.LambdaLR(optimizer, part)


def _to(batch: Batch, device: torch.device) -> Batch:
    return tuple(tensor.to(device, non_blocking=True) for tensor in batch)


def _runaway(
    what: str, value: float, step: int, steps: int, settings: Settings, checkpoint: Path | None, history: list[Epoch]
) -> TidegateError:
    advice = f"lower --learning-rate (it is {settings.learning_rate:g})"
    if checkpoint is not None and history:
        advice += (
            f"; the weights after epoch {len(history)} are good and kept: a new --out with --from {checkpoint} goes on "
            f"from them"
        )
    return TidegateError(f"the {what} became {value} at step {step + 1} of {steps}: {advice}")


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move the averaged weights, and the running statistics, a little towards the model's."""
    for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)
