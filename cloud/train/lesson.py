"""What a network is taught. The loop knows no task; it trains whatever keeps this protocol."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

Batch = tuple[Tensor, ...]


class Lesson(Protocol):
    """Batches, the loss on one, and how the network is judged."""

    @property
    def metric(self) -> str:
        """What `judge` measures ("top-1", "AP50-95", "AUROC"); more is better."""

    def steps(self, size: int) -> int:
        """Batches in an epoch."""

    def batches(self, size: int, rng: torch.Generator) -> Iterator[Batch]:
        """One epoch, augmented; everything random comes from `rng`, so that a resumed run sees what this one would."""

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, float]:
        """What to minimise, and the batch's training figure (such as the part that is right; nan where none)."""

    def judge(self, model: nn.Module) -> tuple[float, float]:
        """Loss and metric on what is held out; `model` is in eval mode."""
