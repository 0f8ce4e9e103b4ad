"""The detector that we train ourselves: residual stages, a way back down from coarse to fine, a head for each grid.

Convolution and ReLU only, as in nets.py, and for the same reason. No anchors: each cell of each grid says which class
has a thing around its centre, and how far its four sides are (Tian et al. 2019, https://arxiv.org/abs/1904.01355).
"""

import math

import torch
from torch import Tensor, nn

from cloud.train.nets import NetConfig, ResidualBlock, convolution

_LEVELS = 3
_RARE = 0.01  # of all cells have a thing, as far as an untrained head knows (Lin et al. 2017, section 4.1)
_SIDE = 2.0  # cells from a centre to a side, as far as an untrained head knows


def strides_of(config: NetConfig) -> tuple[int, ...]:
    """Pixels by cell of each grid that things are found on, the finest first."""
    strides = [max(2, config.reduce) * 2**stage for stage in range(config.stages)]
    return tuple(strides[1:][-_LEVELS:])


class DetectorNet(nn.Module):
    """Pixels 0..255, (B, 3, H, W) BGR with sides that are multiples of the last stride -> logits (B, cells, classes)
    and logarithms of the distances, in cells, from a cell's centre to left, top, right and bottom, (B, cells, 4).

    Cells are row by row, grid after grid, the finest first.
    """

    def __init__(self, classes: int, config: NetConfig) -> None:
        super().__init__()
        if config.stages < 2:
            raise ValueError(f"a detector needs at least 2 stages, got {config.stages}")
        widths = config.widths()
        stem = config.width // 2
        self.stem = convolution(3, stem, stride=2 if config.reduce == 4 else 1)
        self.stages = nn.ModuleList(
            nn.Sequential(convolution(before, width, stride=2), *[ResidualBlock(width) for _ in range(config.depth)])
            for before, width in zip([stem, *widths], widths, strict=False)
        )
        levels = len(strides_of(config))
        neck = widths[1]
        self.lateral = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in widths[-levels:])
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.what = nn.ModuleList(convolution(neck, neck, stride=1) for _ in range(levels))
        self.where = nn.ModuleList(convolution(neck, neck, stride=1) for _ in range(levels))
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.ModuleList(_prediction(neck, classes, -math.log((1 - _RARE) / _RARE)) for _ in range(levels))
        self.sides = nn.ModuleList(_prediction(neck, 4, math.log(_SIDE)) for _ in range(levels))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem((pixels - 128) * (1 / 64))
        grids = []
        for stage in self.stages:
            x = stage(x)
            grids.append(x)
        grids = [lateral(grid) for lateral, grid in zip(self.lateral, grids[-len(self.lateral) :], strict=True)]
        for fine in range(len(grids) - 2, -1, -1):  # what only the coarse grid can tell goes back to the fine ones
            grids[fine] = grids[fine] + self.upsample(grids[fine + 1])
        logits, distances = [], []
        for grid, what, head, where, sides in zip(grids, self.what, self.head, self.where, self.sides, strict=True):
            logits.append(head(self.dropout(what(grid))).flatten(2))  # (B, C, h, w) -> (B, C, cells)
            distances.append(sides(where(grid)).flatten(2))
        return torch.cat(logits, dim=2).transpose(1, 2), torch.cat(distances, dim=2).transpose(1, 2)


def _prediction(before: int, after: int, bias: float) -> nn.Conv2d:
    """1x1, which says `bias` of everything to begin with."""
    layer = nn.Conv2d(before, after, 1)
    nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]  # it has one
    return layer
