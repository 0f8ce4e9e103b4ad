"""What a search may choose: read it as the list of questions that it asks about a model."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

from cloud.train.nets import NetConfig
from cloud.train.request import Request

VARIANTS = ("int8", "w8")


class Chooser(Protocol):
    """An optuna trial, as far as it is asked here."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Space:
    """What is open for a task: the input's short side in pixels, `widths` and `stages` from and to, `reduces` for
    inputs below 96 pixels (larger ones, unreduced, train for hours), and how far pictures are changed."""

    short_sides: tuple[int, ...] = (48, 64, 96, 128)
    widths: tuple[int, int] = (8, 40)
    stages: tuple[int, int] = (2, 4)
    reduces: tuple[int, ...] = (2, 4)
    growths: tuple[float, ...] = (1.5, 2.0)
    rotations: tuple[float, ...] = (0.0, 12.0, 25.0)
    zooms: tuple[float, ...] = (0.0, 0.15, 0.3)
    cutouts: tuple[float, ...] = (0.0, 0.3)
    mosaics: tuple[float, ...] = (0.0,)
    mixups: tuple[float, ...] = (0.0, 0.2)


_SPACES = {
    "detection": Space(
        short_sides=(96, 128, 160, 192, 256),
        stages=(3, 4),
        reduces=(4,),
        rotations=(0.0,),
        zooms=(0.2, 0.4, 0.6),
        cutouts=(0.0,),
        mosaics=(0.0, 0.25, 0.5),
        mixups=(0.0,),
    ),
    # what pictures are changed by is taken for good
    "anomaly": Space(stages=(1, 3), rotations=(0.0, 3.0), zooms=(0.0, 0.04), cutouts=(0.0,), mixups=(0.0,)),
}
_FASTEST_SLOWEST = {"adamw": (1e-2, 5e-4), "sgd": (3e-1, 2e-2), "muon": (1e-1, 1e-2)}
_DECAY = {"adamw": 0.05, "sgd": 5e-4, "muon": 0.02}


def suggest(trial: Chooser, base: Request, *, aspect: float) -> tuple[Request, str]:
    """The request of one trial, and the variant that it is judged by. `aspect` is the pictures' width by their height;
    what `base` fixes (task, data, epochs, seed, threads) stays."""
    space = _SPACES.get(base.task, Space())
    short = trial.suggest_categorical("short_side", space.short_sides)
    net = NetConfig(
        width=trial.suggest_int("width", *space.widths, step=4),
        depth=trial.suggest_int("depth", 1, 2),
        stages=trial.suggest_int("stages", *space.stages),
        reduce=trial.suggest_categorical("reduce", space.reduces) if short < 96 else 4,
        growth=trial.suggest_categorical("growth", space.growths),
        dropout=base.net.dropout,
    )
    optimizer = trial.suggest_categorical("optimizer", tuple(_DECAY))
    fastest, slowest = _FASTEST_SLOWEST[optimizer]
    settings = replace(
        base.settings,
        optimizer=optimizer,
        learning_rate=trial.suggest_float(f"learning_rate_{optimizer}", slowest, fastest, log=True),
        weight_decay=_DECAY[optimizer],
        mixup=trial.suggest_categorical("mixup", space.mixups),
        augmentation=replace(
            base.settings.augmentation,
            rotation=trial.suggest_categorical("rotation", space.rotations),
            zoom=trial.suggest_categorical("zoom", space.zooms),
            cutout=trial.suggest_categorical("cutout", space.cutouts),
            mosaic=trial.suggest_categorical("mosaic", space.mosaics),
        ),
    )
    # a detector's grids halve the input once a stage
    multiple = net.reduce * 2 ** (net.stages - 1) if base.task == "detection" else 4
    sides = (short, short * aspect) if aspect >= 1 else (short / aspect, short)
    height, width = (max(16, multiple, round(side / multiple) * multiple) for side in sides)
    return replace(base, size=(height, width), net=net, settings=settings), trial.suggest_categorical(
        "variant", VARIANTS
    )
