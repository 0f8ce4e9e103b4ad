"""Which cells answer for which boxes, and how wrong they are.

Assignment is task-aligned (Feng et al. 2021, https://arxiv.org/abs/2108.07755): a box is answered for by the cells near
it that are best at both its class and its place, as the network is now. Overlap is generalised IoU (Rezatofighi et al.
2019, https://arxiv.org/abs/1902.09630).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_CANDIDATES = 10  # cells at most that answer for a box
_BY_SCORE, _BY_OVERLAP = 0.5, 6.0
LONGEST = 6.0  # logarithm of cells to a side: what is longer is a runaway


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where cells are: `centres` (N, 2) in pixels, `strides` (N, 1)."""

    centres: Tensor
    strides: Tensor

    def boxes(self, sides: Tensor) -> Tensor:
        """Logarithms of distances in cells (B, N, 4) -> corners in pixels (B, N, 4) xyxy."""
        away = sides.clamp(max=LONGEST).exp() * self.strides
        return torch.cat((self.centres - away[..., :2], self.centres + away[..., 2:]), dim=-1)


def detection_loss(
    logits: Tensor, sides: Tensor, cells: Cells, boxes: Tensor, classes: Tensor, class_weights: Tensor
) -> Tensor:
    """`logits` (B, N, C) and `sides` (B, N, 4) as the network answers; `boxes` (B, M, 4) xyxy in pixels and `classes`
    int64 (B, M), -1 where a row is empty, as they should be; `class_weights` (C,) -> a number."""
    logits, found = logits.float(), cells.boxes(sides.float())
    wanted, of, aligned = assign(logits.detach().sigmoid(), found.detach(), cells, boxes, classes)
    worth = aligned.sum().clamp(min=1.0)
    by_class = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    by_class = by_class * torch.where(wanted > 0, class_weights, torch.ones_like(class_weights))
    right = of >= 0
    truth = boxes[torch.nonzero(right, as_tuple=True)[0], of[right]]
    misplaced = ((1 - _overlap(found[right], truth, general=True)) * aligned[right]).sum()
    return by_class.sum() / worth + 5.0 * misplaced / worth


@torch.no_grad()
def assign(
    scores: Tensor, found: Tensor, cells: Cells, boxes: Tensor, classes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What each cell should say: scores by class (B, N, C), its box's row or -1 (B, N), and its worth (B, N)."""
    batch, count = scores.shape[:2]
    if not boxes.shape[1]:
        nothing = scores.new_zeros(batch, count)
        return torch.zeros_like(scores), nothing.long() - 1, nothing
    there = classes >= 0  # (B, M)
    rows = classes.clamp(min=0)
    by_box = scores.gather(2, rows[:, None].expand(-1, count, -1)).transpose(1, 2)  # (B, M, N)
    overlap = _overlap(boxes[:, :, None], found[:, None])  # (B, M, N)
    fit = by_box**_BY_SCORE * overlap**_BY_OVERLAP + 1e-9 * overlap
    near = _near(cells, boxes) & there[:, :, None]
    fit = torch.where(near, fit, -1.0)
    least = fit.topk(min(_CANDIDATES, count), dim=2).values[:, :, -1:]
    taken = near & (fit >= least)  # (B, M, N)
    # a cell that several boxes want answers for the one that it overlaps most
    owner = torch.where(taken, overlap, -1.0).argmax(dim=1)  # (B, N)
    owned = taken.any(dim=1)
    taken &= owner[:, None] == torch.arange(boxes.shape[1], device=boxes.device)[None, :, None]
    # the best cell of a box is worth its overlap, the others less by as much as they fit less
    fit = torch.where(taken, fit.clamp(min=0), 0.0)
    best_fit = fit.amax(dim=2, keepdim=True).clamp(min=1e-12)
    best_overlap = torch.where(taken, overlap, 0.0).amax(dim=2, keepdim=True)
    aligned = (fit / best_fit * best_overlap).amax(dim=1)  # (B, N)
    of = torch.where(owned, owner, -1)
    wanted = torch.zeros_like(scores)
    chosen = torch.nonzero(owned, as_tuple=True)
    wanted[chosen[0], chosen[1], rows[chosen[0], owner[owned]]] = aligned[owned]
    return wanted, of, aligned


def _near(cells: Cells, boxes: Tensor) -> Tensor:
    """Cells (N) whose centre is in a box (B, M, 4), or that hold the box's own centre: (B, M, N)."""
    centres = cells.centres  # (N, 2)
    inside = (centres >= boxes[:, :, None, :2]) & (centres <= boxes[:, :, None, 2:])
    middle = (boxes[..., :2] + boxes[..., 2:])[:, :, None] / 2
    at_middle = (centres - middle).abs() <= cells.strides / 2
    return inside.all(dim=-1) | at_middle.all(dim=-1)


def _overlap(first: Tensor, second: Tensor, *, general: bool = False) -> Tensor:
    """IoU of boxes (..., 4), broadcast; `general` falls below 0 where they are apart."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    inner = (high - low).clamp(min=0).prod(dim=-1)
    union = _area(first) + _area(second) - inner
    overlap = inner / union.clamp(min=1e-6)
    if not general:
        return overlap
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    around = hull.prod(dim=-1).clamp(min=1e-6)
    return overlap - (around - union) / around


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
