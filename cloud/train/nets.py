"""The networks we train ourselves: one family of residual convolutional classifiers.

Convolution and ReLU only: both fuse with their neighbours when quantised to int8, which swish and friends do not.
Batch normalisation is folded into the convolutions when the graph is exported.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class NetConfig:
    """`width` channels in the first stage, whose sides are the picture's divided by `reduce`; each of the `stages` - 1
    after it has `growth` times the channels (rounded to multiples of 4) and half the sides. `depth` residual blocks in
    each stage."""

    width: int = 24
    depth: int = 1
    stages: int = 3
    reduce: int = 4
    growth: float = 2.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if not (4 <= self.width <= 256 and 1 <= self.depth <= 8 and 1 <= self.stages <= 6):
            raise ValueError(
                f"need width 4..256, depth 1..8, stages 1..6, got width {self.width}, depth {self.depth}, "
                f"stages {self.stages}"
            )
        if not (self.reduce in (1, 2, 4) and 1 <= self.growth <= 4 and 0 <= self.dropout < 1):
            raise ValueError(
                f"need reduce 1, 2 or 4, growth 1..4, dropout 0..1, got reduce {self.reduce}, growth {self.growth}, "
                f"dropout {self.dropout}"
            )

    def widths(self) -> list[int]:
        """Channels by stage."""
        return [round(self.width * self.growth**stage / 4) * 4 for stage in range(self.stages)]


class ResidualNet(nn.Module):
    """Pixels 0..255, (B, 3, H, W) BGR -> (B, classes) logits."""

    def __init__(self, classes: int, config: NetConfig) -> None:
        super().__init__()
        self.features = residual_stages(config)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(2 * config.widths()[-1], classes)

    def forward(self, pixels: Tensor) -> Tensor:
        # One mean and deviation for all channels: a number by channel is a broadcast, which costs the exported
        # graph as much time as all convolutions together.
        x = (pixels - 128) * (1 / 64)
        x = self.features(x)  # (B, 3, H, W) -> (B, C, h, w)
        # the mean says what the picture is like, the maximum whether something is anywhere in it
        x = torch.cat((x.mean(dim=(2, 3)), x.amax(dim=(2, 3))), dim=1)  # (B, 2C)
        logits: Tensor = self.head(self.dropout(x))
        return logits


def residual_stages(config: NetConfig) -> nn.Sequential:
    """(B, 3, H, W) -> (B, C, h, w): all of a network but its head."""
    widths = config.widths()
    # half the channels where the picture is still large: that layer is a third of all the work otherwise
    stem = config.width // 2
    layers: list[nn.Module] = [convolution(3, stem, stride=2 if config.reduce == 4 else 1)]
    strides = [1 if config.reduce == 1 else 2, *[2] * (config.stages - 1)]
    for before, width, stride in zip([stem, *widths], widths, strides, strict=False):
        layers.append(convolution(before, width, stride=stride))
        layers += [ResidualBlock(width) for _ in range(config.depth)]
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """He et al. 2015, https://arxiv.org/abs/1512.03385, figure 2; the second normalisation starts at zero, so that
    a block begins as the identity (Goyal et al. 2017, section 5.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width, stride=1)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.second(self.first(x))))


def convolution(before: int, after: int, *, stride: int) -> nn.Sequential:
    """3x3, normalised, ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def count_parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())
