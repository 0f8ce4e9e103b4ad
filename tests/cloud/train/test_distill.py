"""What a teacher teaches."""

from pathlib import Path

import pytest
import torch

from cloud.image_folder import find_images
from cloud.train.distill import distillation_loss, soft_targets
from models.errors import UsageError


def test_a_teachers_answers_come_in_the_pupils_order_of_classes(trained_run: Path, pictures: Path) -> None:
    paths = [path for path in find_images(pictures / "val").paths if path.parent.name == "red"]
    taught = soft_targets(trained_run, ("red", "blue"), paths)
    assert taught.shape == (8, 2)
    assert taught.sum(axis=1) == pytest.approx(1)
    assert (taught[:, 0] > 0.5).mean() >= 0.75
    assert (soft_targets(trained_run / "model.onnx", ("red", "blue"), paths) == taught).all()


def test_a_teacher_that_lacks_a_class_is_refused(trained_run: Path) -> None:
    with pytest.raises(UsageError, match="does not know class 'amber'; it knows blue, green, red"):
        soft_targets(trained_run, ("amber", "red"), [])


def test_a_pupil_that_agrees_with_its_teacher_has_nothing_to_learn() -> None:
    taught = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])
    logits = (taught.log() + 3).requires_grad_()
    distillation_loss(logits, taught).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-6
    wrong = torch.zeros(2, 3, requires_grad=True)
    distillation_loss(wrong, taught).backward()  # type: ignore[no-untyped-call]
    assert wrong.grad is not None
    assert (wrong.grad.argmin(dim=1) == taught.argmax(dim=1)).all()
