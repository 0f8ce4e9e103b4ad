"""What a training is asked for, and what comes out of it: the same for every task."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cloud.train.lesson import Lesson
from cloud.train.loop import Settings
from cloud.train.nets import NetConfig
from cloud.train.weights import Weights
from models.manifest import InputSpec, Task


@dataclass(frozen=True, slots=True)
class Parent:
    """What a fine-tuning starts from: `weights`, and `name` for the lineage (NAME@RELEASE, or a run's folder)."""

    name: str
    weights: Weights


@dataclass(frozen=True, slots=True)
class Request:
    """One training. `size` is (height, width), by default the pictures' own shape at 96 pixels' short side; `teacher`
    a run folder or canonical ONNX file to distil from; `false_alarms` the part of good pictures that an anomaly
    detector may call wrong."""

    name: str
    data: Path
    val: Path | None = None
    task: Task = "classification"
    size: tuple[int, int] | None = None
    net: NetConfig = field(default_factory=NetConfig)
    settings: Settings = field(default_factory=Settings)
    teacher: Path | None = None
    parent: Parent | None = None
    false_alarms: float = 0.01


class Prepared(Protocol):
    """A task's data, read and fitted."""

    @property
    def spec(self) -> InputSpec:
        """The network's input."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In class order."""

    @property
    def digest(self) -> str:
        """Hex sha256 over all that is trained on and judged by."""

    def lesson(self, request: Request) -> Lesson:
        """What the loop trains on."""

    def introduction(self) -> list[str]:
        """What its user should know of the data before training starts, a line each (rich markup)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How good the exported model is on what was held out: the task's `metric`, and a table by class (`rows` under
    `columns`)."""

    metric: str
    value: float
    pictures: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def fingerprint(request: Request, prepared: Prepared) -> str:
    """Hex sha256 over all that a training's result depends on, but for the machine it runs on."""
    settings = dataclasses.asdict(request.settings)
    settings = {key: value for key, value in settings.items() if key not in ("threads", "device")}
    parts: dict[str, Any] = {
        "task": request.task,
        "data": prepared.digest,
        "input": dataclasses.asdict(prepared.spec),
        "net": dataclasses.asdict(request.net),
        "settings": settings,
        "teacher": str(request.teacher),
        "parent": request.parent.name if request.parent else None,
        "false_alarms": request.false_alarms,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
