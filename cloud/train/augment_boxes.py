"""Random changes to pictures with boxes: what is moved takes its boxes along."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from cloud.train.augment import Augmentation, relight
from models.fitting import PAD

_LEFT_OVER = 0.25  # of a box must stay in the picture for it to be still there
_SMALLEST_PX = 2.0


def augment_boxed(
    pictures: Tensor, boxes: Tensor, classes: Tensor, how: Augmentation, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 3, H, W) float 0..255, (B, M, 4) xyxy in pixels, (B, M) with -1 for none -> the same, changed.

    Pictures are mirrored, zoomed, shifted and lit anew; with `mosaic` a part of them becomes four pictures of the batch
    at half their size (Bochkovskiy et al. 2020, https://arxiv.org/abs/2004.10934). A box whose greater part leaves the
    picture is gone.
    """
    if how.mosaic and len(pictures) > 1:
        pictures, boxes, classes = _mosaic(pictures, boxes, classes, how.mosaic, rng)
    pictures, boxes, classes = _move(pictures, boxes, classes, how, rng)
    return relight(pictures, how, rng), boxes, classes


def _move(
    pictures: Tensor, boxes: Tensor, classes: Tensor, how: Augmentation, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    n, _, height, width = pictures.shape
    half = torch.tensor((width, height)) / 2
    # in grid coordinates, -1..1: in = scale * mirror * out + shift
    scale = torch.exp(math.log1p(how.zoom) * (torch.rand(n, generator=rng) * 2 - 1))
    mirror = torch.where(torch.rand(n, generator=rng) < 0.5, -1.0, 1.0) if how.flip else torch.ones(n)
    shift = how.shift * (torch.rand(n, 2, generator=rng) * 2 - 1) * 2
    factor = torch.stack((scale * mirror, scale), dim=1)  # (B, 2)
    matrix = torch.cat((torch.diag_embed(factor), shift[:, :, None]), dim=2)  # (B, 2, 3)
    grid = functional.affine_grid(matrix, list(pictures.shape), align_corners=False)
    moved = functional.grid_sample((pictures - PAD).contiguous(), grid, padding_mode="zeros", align_corners=False) + PAD
    corners = boxes.view(n, -1, 2, 2) / half - 1  # (B, M, corner, xy)
    corners = ((corners - shift[:, None, None]) / factor[:, None, None] + 1) * half
    whole = torch.cat((corners.amin(dim=2), corners.amax(dim=2)), dim=2)
    kept = torch.maximum(torch.minimum(whole, torch.cat((half, half)) * 2), torch.zeros(()))
    sides = kept[..., 2:] - kept[..., :2]
    before = (whole[..., 2:] - whole[..., :2]).prod(dim=2).clamp(min=1e-6)
    there = (sides.prod(dim=2) >= _LEFT_OVER * before) & (sides.amin(dim=2) >= _SMALLEST_PX)
    return moved, kept, torch.where(there, classes, -1)


def _mosaic(
    pictures: Tensor, boxes: Tensor, classes: Tensor, part: float, rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    n, _, height, width = pictures.shape
    quarters, corners, labels = [], [], []
    small = functional.avg_pool2d(pictures, 2)
    for row in range(2):
        for column in range(2):
            others = torch.randperm(n, generator=rng)
            quarters.append(small[others])
            corner = torch.tensor((column * width / 2, row * height / 2) * 2)
            corners.append(boxes[others] / 2 + corner)
            labels.append(classes[others])
    top, bottom = torch.cat(quarters[:2], dim=3), torch.cat(quarters[2:], dim=3)
    chosen = torch.rand(n, generator=rng) < part
    empty = classes.new_full((n, 3 * classes.shape[1]), -1)
    unmoved = torch.cat((boxes, boxes.new_zeros(n, 3 * boxes.shape[1], 4)), dim=1)
    return (
        torch.where(chosen[:, None, None, None], torch.cat((top, bottom), dim=2), pictures),
        torch.where(chosen[:, None, None], torch.cat(corners, dim=1), unmoved),
        torch.where(chosen[:, None], torch.cat(labels, dim=1), torch.cat((classes, empty), dim=1)),
    )
