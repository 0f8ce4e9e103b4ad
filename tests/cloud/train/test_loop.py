"""Training is a function of its data, settings and seed."""

import numpy as np
import pytest
import torch

from cloud.image_folder import Images
from cloud.train.augment import Augmentation, augment
from cloud.train.loop import Epoch, Settings, train
from cloud.train.nets import NetConfig, ResidualNet
from models.errors import TidegateError

STILL = Augmentation(rotation=0, zoom=0, shift=0, light=0, contrast=0, colour=0, flip=False)


def noisy_halves(count: int, seed: int) -> Images:
    """Dark pictures and bright ones."""
    rng = np.random.default_rng(seed)
    class_ids = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, 16, 16, 3)) + class_ids[:, None, None, None] * 120
    return Images(("dark", "bright"), pixels.astype(np.uint8), class_ids, (), "")


def run(settings: Settings) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
    torch.manual_seed(settings.seed)
    net = ResidualNet(2, NetConfig(width=8, stages=2))
    history = list(train(net, noisy_halves(48, 1), noisy_halves(16, 2), settings))
    return history, net.state_dict()


def test_it_learns() -> None:
    history, _ = run(Settings(epochs=4, batch=8, threads=1))
    assert [epoch.number for epoch in history] == [1, 2, 3, 4]
    assert history[-1].val_accuracy == 1.0
    assert history[-1].loss < history[0].loss


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    _, first = run(Settings(epochs=1, batch=8, threads=1, seed=7))
    _, again = run(Settings(epochs=1, batch=8, threads=1, seed=7))
    _, other = run(Settings(epochs=1, batch=8, threads=1, seed=8))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_loss_that_is_no_number_ends_the_training_and_says_where() -> None:
    net = ResidualNet(2, NetConfig(width=8, stages=2))
    history = train(net, noisy_halves(48, 1), noisy_halves(16, 2), Settings(epochs=3, batch=8, threads=1))
    next(history)
    with torch.no_grad():
        net.head.weight.fill_(torch.inf)  # as weights that ran away
    with pytest.raises(TidegateError, match=r"the loss became nan at step 6 of 18; lower --learning-rate"):
        next(history)


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


@pytest.mark.parametrize("values", [{"epochs": 0}, {"batch": 1}, {"learning_rate": -1.0}])
def test_settings_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need epochs"):
        Settings(**values)  # type: ignore[arg-type]
