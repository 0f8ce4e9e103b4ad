"""What a search may choose: read it as the list of questions that it asks about a model."""

from dataclasses import replace
from typing import Any, Protocol

from cloud.train.augment import Augmentation
from cloud.train.nets import NetConfig
from cloud.train.request import Request

SHORT_SIDES = (48, 64, 96, 128)


class Chooser(Protocol):
    """An optuna trial, as far as it is asked here."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


def suggest(trial: Chooser, base: Request, *, aspect: float) -> tuple[Request, str]:
    """The request of one trial, and the variant that it is judged by ("int8" or "w8"). `aspect` is the pictures' width
    by their height; what `base` fixes (data, epochs, seed, threads) stays."""
    short = trial.suggest_categorical("short_side", SHORT_SIDES)
    height, width = (short, short * aspect) if aspect >= 1 else (short / aspect, short)
    net = NetConfig(
        width=trial.suggest_int("width", 8, 40, step=4),
        depth=trial.suggest_int("depth", 1, 2),
        stages=trial.suggest_int("stages", 2, 4),
        reduce=trial.suggest_categorical("reduce", (2, 4)) if short < 96 else 4,  # large and unreduced trains for hours
        growth=trial.suggest_categorical("growth", (1.5, 2.0)),
    )
    optimizer = trial.suggest_categorical("optimizer", ("adamw", "sgd"))
    fastest, slowest = (1e-2, 5e-4) if optimizer == "adamw" else (3e-1, 2e-2)
    settings = replace(
        base.settings,
        optimizer=optimizer,
        learning_rate=trial.suggest_float(f"learning_rate_{optimizer}", slowest, fastest, log=True),
        weight_decay=0.05 if optimizer == "adamw" else 5e-4,
        mixup=trial.suggest_categorical("mixup", (0.0, 0.2)),
        augmentation=Augmentation(
            rotation=trial.suggest_categorical("rotation", (0.0, 12.0, 25.0)),
            zoom=trial.suggest_categorical("zoom", (0.0, 0.15, 0.3)),
            cutout=trial.suggest_categorical("cutout", (0.0, 0.3)),
        ),
    )
    size = (max(16, round(height / 4) * 4), max(16, round(width / 4) * 4))
    return replace(base, size=size, net=net, settings=settings), trial.suggest_categorical("variant", ("int8", "w8"))
