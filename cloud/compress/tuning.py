"""What fine-tuning needs of a run that we trained ourselves: its network, its training pictures, its own answers."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from cloud.run_folder import REFERENCE, read_report
from cloud.train.augment import Augmentation
from cloud.train.classify import to_tensor
from cloud.train.detector_export import export_detector
from cloud.train.detector_net import strides_of
from cloud.train.distill import SHARE, distillation_loss
from cloud.train.export import export_classifier
from cloud.train.lesson import Batch, Lesson
from cloud.train.loop import Settings, train
from cloud.train.nets import NetConfig
from cloud.train.request import Request
from cloud.train.tasks import TASKS, config_of, load_net
from cloud.train.weights import read_weights
from models.detections import UInt8
from models.durable import write_atomic
from models.errors import DataError, PackageError
from models.golden import disagreements, read_golden
from models.manifest import InputSpec, Manifest
from models.runner import Runner, open_runner

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A run's network in PyTorch, proven to be the one in model.onnx, and how it was trained: `settings`, and
    `seconds_per_epoch` on the machine that did (0: not known)."""

    net: nn.Module
    config: NetConfig
    manifest: Manifest
    settings: Settings
    seconds_per_epoch: float

    def export(self, net: nn.Module, into: Path) -> None:
        """Write the canonical graph of `net`, which answers as this run's network does."""
        write_atomic(into, _export(net, self.manifest, self.config).SerializeToString())


def open_trained(run: Path, manifest: Manifest, scratch: Path) -> Trained:
    """The network of a run folder's weights.pt; DataError when it is not the one in model.onnx."""
    weights = read_weights(run)
    report = read_report(run).get("training", {})
    if weights.task != manifest.task or weights.labels != manifest.labels:
        raise _other_network(f"it is for {weights.task} of {', '.join(weights.labels[:8])}")
    try:
        net = load_net(run)
    except RuntimeError as exc:  # what load_state_dict raises
        raise _other_network(str(exc).splitlines()[0]) from exc
    settings = _settings_of(report.get("settings"), TASKS[manifest.task].settings)
    seconds = report.get("seconds_per_epoch", 0.0)
    trained = Trained(net, config_of(weights.net), manifest, settings, float(seconds) if seconds else 0.0)
    file = scratch / "weights.onnx"
    trained.export(net, file)
    reference, ours = open_runner(run, manifest, REFERENCE), Runner(file, manifest)
    for name, frame in read_golden(run).frames.items():
        expected, got = reference.run_fitted(frame), ours.run_fitted(frame)
        if found := disagreements(expected, got, threshold=manifest.threshold):
            raise _other_network(f"on golden frame {name}, {found[0]}")
    return trained


def read_lesson(trained: Trained, data: Path, val: Path | None) -> Lesson:
    """The lesson that the run learned from, on the training part of `data`: what variants are judged by is in the
    other."""
    manifest = trained.manifest
    size = (manifest.input.height, manifest.input.width)
    request = Request(
        manifest.name, data, val, task=manifest.task, size=size, net=trained.config, settings=trained.settings
    )
    prepared = TASKS[manifest.task].prepare(request)
    if prepared.labels != manifest.labels:
        raise DataError(
            f"{data} has the classes {', '.join(prepared.labels[:8])}; fine-tuning needs those that the model was "
            f"trained on ({', '.join(manifest.labels[:8])})"
        )
    return prepared.lesson(request)


class Distilled:
    """A lesson that also asks the net to answer as `teacher` does, on the same augmented pictures, and that judges by
    that alone: on `pictures`, which are the training part's."""

    metric = "fidelity"

    def __init__(self, lesson: Lesson, teacher: nn.Module, pictures: Sequence[UInt8]) -> None:
        self._lesson = lesson
        self._teacher = copy.deepcopy(teacher).eval().requires_grad_(False)
        self._pictures = to_tensor(np.stack(pictures))

    def steps(self, size: int) -> int:
        return self._lesson.steps(size)

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Batch]:
        return self._lesson.batches(size, rng)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, float]:
        heard = _Overheard(model)
        loss, figure = self._lesson.loss(heard, batch)
        with torch.no_grad():
            taught = _several(self._teacher(batch[0]))
        return (1 - SHARE) * loss + SHARE * _difference(heard.answers, taught), figure

    @torch.no_grad()
    def judge(self, model: nn.Module) -> tuple[float, float]:
        """(0, 1 less the root mean square of what is answered otherwise as a part of the teacher's answers)."""
        wrong = total = 0.0
        for pictures in torch.split(self._pictures, 64):
            for got, expected in zip(_several(model(pictures)), _several(self._teacher(pictures)), strict=True):
                wrong += float((got - expected).square().sum())
                total += float(expected.square().sum())
        return 0.0, 1 - (wrong / max(total, 1e-12)) ** 0.5


def fine_tune(net: nn.Module, lesson: Lesson, settings: Settings, *, on_step: OnStep) -> float:
    """Train `net` in place; its fidelity in the end. `on_step` is told of every step: how many of how many."""
    counted = _Counted(lesson, lesson.steps(settings.batch) * settings.epochs, on_step)
    return [epoch.val_metric for epoch in train(net, counted, settings)][-1]


class _Counted:
    def __init__(self, lesson: Lesson, steps: int, on_step: OnStep) -> None:
        self._lesson = lesson
        self._done, self._all = 0, steps
        self._on_step = on_step
        self.metric = lesson.metric
        self.steps = lesson.steps
        self.batches = lesson.batches
        self.judge = lesson.judge

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, float]:
        self._done += 1
        self._on_step(self._done, self._all)
        return self._lesson.loss(model, batch)


class _Overheard(nn.Module):
    """The model, and what it answered last."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self.answers: tuple[Tensor, ...] = ()

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, ...]:
        answer: Tensor | tuple[Tensor, ...] = self._model(pictures)
        self.answers = _several(answer)
        return answer


def _several(answer: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (answer,) if isinstance(answer, Tensor) else tuple(answer)


def _difference(answers: tuple[Tensor, ...], taught: tuple[Tensor, ...]) -> Tensor:
    """Of logits, as a distillation's; of a detector's many answers, as parts of their variance."""
    if len(answers) == 1:
        return distillation_loss(answers[0].float(), torch.softmax(taught[0].float(), dim=1))
    parts = [
        (got.float() - expected.float()).square().mean() / expected.float().var().clamp_min(1e-6)
        for got, expected in zip(answers, taught, strict=True)
    ]
    return torch.stack(parts).sum()


def _export(net: nn.Module, manifest: Manifest, config: NetConfig) -> onnx.ModelProto:
    spec: InputSpec = manifest.input
    if manifest.task == "detection":
        return export_detector(net, spec, strides_of(config), len(manifest.labels))
    return export_classifier(net, spec)


def _settings_of(document: Any, usual: Settings) -> Settings:
    """The settings that a report tells of; what it lacks, or another version knew, as is usual."""
    if not isinstance(document, dict):
        return usual
    known = {field.name for field in fields(Settings)} - {"augmentation", "device"}
    how = document.get("augmentation")
    kinds = {field.name for field in fields(Augmentation)}
    try:
        augmentation = Augmentation(**{key: value for key, value in how.items() if key in kinds}) if how else None
        settings = replace(usual, **{key: value for key, value in document.items() if key in known})
    except (TypeError, ValueError, AttributeError) as exc:
        raise PackageError(f"report.json: training settings cannot be read: {exc}; train again") from exc
    return replace(settings, augmentation=augmentation or usual.augmentation)


def _other_network(why: str) -> DataError:
    return DataError(f"weights.pt is not the network in model.onnx ({why}); train again to fine-tune it")
