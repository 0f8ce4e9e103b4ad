"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): momentum whose steps turn all directions alike.

The momentum of a convolution, as a matrix of filters, is brought to its nearest semi-orthogonal one before it is taken
as a step, so that rare directions are learned as fast as common ones. PyTorch's own takes no convolutions.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_ITERATIONS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)  # tuned by the authors: singular values end between 0.7 and 1.2
_OTHERS = 5.0  # times the rate: a step of SGD is smaller than an orthogonal one


class Muon(torch.optim.Optimizer):
    """Orthogonal steps for convolutions, (out, in, h, w); SGD with Nesterov momentum for all other parameters, at 5
    times the rate. Weight decay is decoupled."""

    def __init__(self, groups: list[dict[str, Any]], lr: float, *, momentum: float = 0.9) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure is called
        for group in self.param_groups:
            rate, keep = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if "momentum" not in self.state[parameter]:
                    self.state[parameter]["momentum"] = torch.zeros_like(parameter)
                momentum = self.state[parameter]["momentum"]
                momentum.mul_(keep).add_(parameter.grad)
                step = parameter.grad + keep * momentum
                parameter.mul_(1 - rate * group["weight_decay"])
                if parameter.ndim == 4:
                    parameter.add_(orthogonal(step.flatten(1)).view_as(step), alpha=-rate)
                else:
                    parameter.add_(step, alpha=-_OTHERS * rate)


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix to (n, m), about, times sqrt(n / m) where it is tall: by five steps of a
    Newton-Schulz iteration."""
    a, b, c = _QUINTIC
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    tall = len(x) > x.shape[1]
    x = x.T if tall else x
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.T if tall else x
    return x * math.sqrt(max(1.0, len(matrix) / matrix.shape[1]))
