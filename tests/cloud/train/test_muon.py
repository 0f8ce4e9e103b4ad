"""Muon's steps turn all directions alike, and it learns."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cloud.train.muon import Muon, orthogonal


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 2**16))
def test_a_step_has_singular_values_about_one(rows: int, columns: int, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    step = orthogonal(matrix) / max(1.0, rows / columns) ** 0.5
    before, after = torch.linalg.svdvals(matrix), torch.linalg.svdvals(step)
    assert after.max() < 1.3
    # what is next to nothing may be lifted only so far in five iterations
    assert (after[before > 0.02 * before.max()] > 0.5).all()
    assert torch.sum(matrix * step) > 0


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_finds_a_filter(momentum: float) -> None:
    torch.manual_seed(0)
    wanted, net = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    optimizer = Muon([{"params": list(net.parameters())}], lr=0.05, momentum=momentum)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    losses = []
    for _ in range(100):
        pictures = torch.randn(16, 3, 8, 8)
        loss = (net(pictures) - wanted(pictures).detach()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]
