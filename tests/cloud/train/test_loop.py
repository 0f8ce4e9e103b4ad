"""Training is a function of its data, settings and seed."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cloud.image_folder import Images
from cloud.train.augment import Augmentation, augment
from cloud.train.checkpoint import read_checkpoint
from cloud.train.classify import ClassLesson, LabelledPictures
from cloud.train.lesson import Batch
from cloud.train.loop import Epoch, Optimizer, Schedule, Settings, kept, train
from cloud.train.nets import NetConfig, ResidualNet
from models.errors import DataError, TidegateError, UsageError
from models.manifest import InputSpec

STILL = Augmentation(rotation=0, zoom=0, shift=0, light=0, contrast=0, colour=0, flip=False)


def noisy_halves(count: int, seed: int) -> Images:
    """Dark pictures and bright ones."""
    rng = np.random.default_rng(seed)
    class_ids = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, 16, 16, 3)) + class_ids[:, None, None, None] * 120
    return Images(("dark", "bright"), pixels.astype(np.uint8), class_ids, (), "")


def lesson(settings: Settings) -> ClassLesson:
    data = LabelledPictures(InputSpec(16, 16), noisy_halves(48, 1), noisy_halves(16, 2))
    return ClassLesson(data, settings)


def run(
    settings: Settings, *, checkpoint: Path | None = None, stop_after: int | None = None
) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
    torch.manual_seed(settings.seed)
    net = ResidualNet(2, NetConfig(width=8, stages=2))
    epochs = train(net, lesson(settings), settings, checkpoint=checkpoint, fingerprint="this one")
    return list(itertools.islice(epochs, stop_after)), net.state_dict()


def test_it_learns() -> None:
    history, _ = run(Settings(epochs=4, batch=8, threads=1))
    assert [epoch.number for epoch in history] == [1, 2, 3, 4]
    assert history[-1].val_metric == 1.0
    assert history[-1].loss < history[0].loss


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    _, first = run(Settings(epochs=1, batch=8, threads=1, seed=7))
    _, again = run(Settings(epochs=1, batch=8, threads=1, seed=7))
    _, other = run(Settings(epochs=1, batch=8, threads=1, seed=8))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("schedule", "patience", "optimizer"),
    [("one-cycle", 0, "adamw"), ("cosine", 5, "adamw"), ("one-cycle", 5, "muon"), ("cosine", 0, "sgd")],
)
def test_a_training_that_was_stopped_ends_with_the_weights_of_one_that_was_not(
    tmp_path: Path, schedule: Schedule, patience: int, optimizer: Optimizer
) -> None:
    settings = Settings(
        epochs=3, batch=8, threads=1, mixup=0.3, schedule=schedule, patience=patience, optimizer=optimizer
    )
    whole_history, whole = run(settings)
    file = tmp_path / "checkpoint"
    first, _ = run(settings, checkpoint=file, stop_after=1)
    history, resumed = run(settings, checkpoint=file)
    assert history[0] == first[0]
    assert [epoch.loss for epoch in history] == [epoch.loss for epoch in whole_history]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_of_another_training_is_not_gone_on_from(tmp_path: Path) -> None:
    settings = Settings(epochs=2, batch=8, threads=1)
    file = tmp_path / "checkpoint"
    run(settings, checkpoint=file, stop_after=1)
    net = ResidualNet(2, NetConfig(width=8, stages=2))
    with pytest.raises(UsageError, match="other data or settings"):
        next(train(net, lesson(settings), settings, checkpoint=file, fingerprint="another"))


def test_patience_ends_a_training_that_gets_no_better_and_keeps_the_best() -> None:
    history, _ = run(Settings(epochs=30, batch=8, threads=1, patience=2))
    best = max(history, key=lambda epoch: (epoch.val_metric, -epoch.number))
    assert kept(history, 2) is best
    assert len(history) == best.number + 2 < 30


def test_a_rare_class_weighs_more() -> None:
    """The same wrong answer costs more when it is about the rarer class."""
    pictures = noisy_halves(48, 1)
    few = Images(pictures.labels, pictures.pixels[:30], np.array([0] * 27 + [1] * 3), (), "")
    subject = ClassLesson(LabelledPictures(InputSpec(16, 16), few, few), Settings(label_smoothing=0))
    last = torch.nn.Linear(3 * 16 * 16, 2)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.ones_(last.bias)
    net = torch.nn.Sequential(torch.nn.Flatten(), last)

    def gradient(class_id: int) -> float:
        net.zero_grad()
        targets = torch.nn.functional.one_hot(torch.tensor([0, 1]), 2).float()
        loss, _ = subject.loss(net, (torch.zeros(2, 3, 16, 16), targets, torch.zeros(0)))
        loss.backward()  # type: ignore[no-untyped-call]
        assert last.bias.grad is not None
        return float(last.bias.grad[class_id])

    assert gradient(1) < 0 < gradient(0)  # pulled towards the rare class though both are shown once


def test_a_loss_that_is_no_number_ends_the_training_and_says_where() -> None:
    net = ResidualNet(2, NetConfig(width=8, stages=2))
    settings = Settings(epochs=3, batch=8, threads=1)
    history = train(net, lesson(settings), settings)
    next(history)
    with torch.no_grad():
        net.head.weight.fill_(torch.inf)  # as weights that ran away
    with pytest.raises(TidegateError, match=r"the loss became nan at step 7 of 18: lower --learning-rate"):
        next(history)


class Cliff(ClassLesson):
    """A lesson whose loss is a number all the time, and whose gradient is none from the third epoch on."""

    epoch = 0

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Batch]:
        self.epoch += 1
        return super().batches(size, rng)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        loss, figure = super().loss(model, batch)
        nothing = torch.zeros((), requires_grad=True) if self.epoch < 3 else next(model.parameters()).sum() * 0
        return loss + nothing.sqrt() * 0, figure


def test_a_gradient_that_is_no_number_never_reaches_the_weights(tmp_path: Path) -> None:
    file = tmp_path / "run.checkpoint"
    settings = Settings(epochs=4, batch=8, threads=1)
    data = LabelledPictures(InputSpec(16, 16), noisy_halves(48, 1), noisy_halves(16, 2))
    net = ResidualNet(2, NetConfig(width=8, stages=2))
    with pytest.raises(TidegateError, match=r"the gradient became nan at step 13 of 24.*after epoch 2.*--from .*run"):
        list(train(net, Cliff(data, settings), settings, checkpoint=file))
    left = read_checkpoint(file)
    assert left is not None
    assert left.epoch == 2
    assert all(bool(tensor.isfinite().all()) for tensor in (*left.state["average"].values(), *net.parameters()))


def test_bfloat16_trains_too_and_leaves_weights_in_float32() -> None:
    history, weights = run(Settings(epochs=4, batch=8, threads=1, mixed_precision="on"))
    assert history[-1].val_metric == 1.0
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {torch.float32}
    _, whole = run(Settings(epochs=4, batch=8, threads=1, mixed_precision="off"))
    assert not all(torch.equal(weights[name], whole[name]) for name in whole)


@pytest.mark.parametrize("content", [b"", b"PK no archive", b"not even that"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "checkpoint"
    file.write_bytes(content)
    with pytest.raises(DataError, match="is no checkpoint of a training: remove it, or pass --fresh"):
        read_checkpoint(file)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_blends_two_pictures_and_their_targets_by_a_beta_variate(alpha: float) -> None:
    settings = Settings(batch=2, mixup=alpha, label_smoothing=0, augmentation=STILL)
    plain = Images(
        ("dark", "bright"), np.full((2, 16, 16, 3), [[[[0]]], [[[200]]]], np.uint8), np.array([0, 1]), (), ""
    )
    subject = ClassLesson(LabelledPictures(InputSpec(16, 16), plain, plain), settings)
    rng = torch.Generator().manual_seed(0)
    parts = []
    for _ in range(1500):
        for pictures, targets, _ in subject.batches(2, rng):
            assert torch.allclose(targets.sum(dim=1), torch.ones(2))
            assert torch.allclose(pictures.mean(dim=(1, 2, 3)), 200 * targets[:, 1], atol=0.1)
            if not bool(((targets == 0) | (targets == 1)).all()):  # blended with another, not with itself
                parts.append(float(targets[0, 1]))
    assert np.mean(parts) == pytest.approx(0.5, abs=0.05)
    assert np.var(parts) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)


def test_pictures_that_may_not_change_come_back_as_they_were() -> None:
    pictures = torch.rand(3, 3, 12, 20, generator=torch.Generator().manual_seed(0)) * 255
    assert torch.allclose(augment(pictures, STILL, torch.Generator().manual_seed(0)), pictures, atol=0.01)


def test_augmentation_changes_each_picture_in_its_own_way_and_stays_a_picture() -> None:
    pictures = (torch.rand(1, 3, 12, 20, generator=torch.Generator().manual_seed(0)) * 255).repeat(4, 1, 1, 1)
    changed = augment(pictures, Augmentation(), torch.Generator().manual_seed(1))
    assert changed.shape == pictures.shape
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 255
    assert not torch.equal(changed[0], changed[1])


def test_rotation_keeps_proportions() -> None:
    """A disc stays a disc, also in a picture that is wider than high."""
    y, x = torch.meshgrid(torch.arange(48) - 23.5, torch.arange(96) - 47.5, indexing="ij")
    disc = ((x * x + y * y) < 15**2).float() * 255
    turned = augment(
        disc.repeat(1, 3, 1, 1), Augmentation(90, 0, 0, 0, 0, 0, flip=False), torch.Generator().manual_seed(3)
    )
    assert float((turned[0, 0] - disc).abs().mean()) < 2.5


def test_a_jump_moves_a_picture_by_whole_pixels() -> None:
    pictures = torch.arange(1.0, 26.0).view(1, 1, 5, 5).repeat(8, 3, 1, 1)
    moved = augment(pictures, dataclasses.replace(STILL, jump=1), torch.Generator().manual_seed(0))
    for picture in moved:
        at = torch.nonzero(picture[0] == 13.0)  # the middle one
        assert ((at - 2).abs() <= 1).all()
    assert len({tuple(picture.flatten().tolist()) for picture in moved}) > 1


def test_cutout_greys_a_square_of_every_picture() -> None:
    pictures = torch.zeros(6, 3, 20, 20)
    cut = augment(pictures, dataclasses.replace(STILL, cutout=0.5), torch.Generator().manual_seed(2))
    grey = (cut == 128).flatten(1).sum(dim=1) / 3
    assert ((grey > 0) & (grey <= 11 * 11)).all()


@pytest.mark.parametrize(
    "values", [{"epochs": 0}, {"batch": 1}, {"learning_rate": -1.0}, {"mixup": -1.0}, {"patience": -1}]
)
def test_settings_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need "):
        Settings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [{"zoom": -2.0}, {"zoom": 1.1}, {"shift": float("nan")}, {"jump": -3}, {"mosaic": 3.0}, {"rotation": -1.0}],
)
def test_changes_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"need {next(iter(values))}|and jump"):
        Augmentation(**values)  # type: ignore[arg-type]
