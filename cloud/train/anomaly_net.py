"""The network that tells good from wrong: where a defect is seen, and how far the whole picture is from good ones.

Two measures, since each is blind to what the other sees. A head on every cell of a grid has learned from drawn defects
what does not belong in a picture, however small; a Gaussian of what the network sees in good pictures as a whole
knows when all of it is another thing (Lee et al. 2018, https://arxiv.org/abs/1807.03888; of low rank, Tipping and
Bishop 1999). The worse of the two decides.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cloud.train.nets import NetConfig, residual_stages

DIRECTIONS = 16  # in which good pictures vary, as far as they are told apart; in all others they vary alike
_LEAST_VARIANCE = 0.05  # in those others, of 1: what hardly varies in few pictures may in the next


class AnomalyNet(nn.Module):
    """Pixels 0..255, (B, 3, H, W) BGR -> logits (B, 2): 0 for good, and above 0 for an anomaly.

    What is fitted after training is in buffers: of the Gaussian `mean`, `scale`, `directions`, `looseness`; and `gain`
    and `offset`, which make the two measures a logit.
    """

    mean: Tensor
    scale: Tensor
    directions: Tensor
    looseness: Tensor
    gain: Tensor
    offset: Tensor

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        channels = config.widths()[-1]
        self.features = residual_stages(config)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Conv2d(channels, 1, 1)
        self.register_buffer("mean", torch.zeros(2 * channels))
        self.register_buffer("scale", torch.ones(2 * channels))
        self.register_buffer("directions", torch.zeros(2 * channels, DIRECTIONS))
        self.register_buffer("looseness", torch.ones(1))
        self.register_buffer("gain", torch.ones(2))
        self.register_buffer("offset", torch.zeros(2))

    def look(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """A defect's logit in each cell (B, 1, h, w), and what is seen there (B, C, h, w)."""
        seen = self.features((pixels - 128) * (1 / 64))
        return self.head(self.dropout(seen)), seen

    def measures(self, pixels: Tensor) -> Tensor:
        """(B, 2): the highest logit of a cell, and the distance of the whole from good pictures."""
        cells, seen = self.look(pixels)
        x = (pooled(seen) - self.mean) * self.scale  # (B, 2C)
        squared = x.square().sum(dim=1) / self.looseness - (x @ self.directions).square().sum(dim=1)
        return torch.stack((cells.amax(dim=(1, 2, 3)), squared.clamp_min(0).sqrt()), dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        logit = (self.measures(pixels) * self.gain + self.offset).amax(dim=1)
        return torch.stack((torch.zeros_like(logit), logit), dim=1)

    def fit_gaussian(self, seen: Tensor) -> None:
        """Take mean and covariance from `pooled` features (n, 2C) of good pictures."""
        values = seen.double().numpy()
        deviation = np.maximum(values.std(axis=0), 1e-3 * (values.std() + 1e-9))
        x = (values - values.mean(axis=0)) / deviation
        variances, directions = np.linalg.eigh(np.cov(x.T))  # rising
        variances, directions = variances[::-1].clip(0), directions[:, ::-1]
        rest = max(_LEAST_VARIANCE, float(variances[DIRECTIONS:].mean()) if len(variances) > DIRECTIONS else 0.0)
        count = min(DIRECTIONS, len(variances))
        # |x|^2 / rest in all directions, less what is too much in those in which good pictures vary more
        excess = np.sqrt(np.maximum(0, 1 / rest - 1 / np.maximum(variances[:count], rest)))
        self.mean.copy_(torch.from_numpy(values.mean(axis=0)))
        self.scale.copy_(torch.from_numpy(1 / deviation))
        self.directions.zero_()
        self.directions[:, :count] = torch.from_numpy(np.ascontiguousarray(directions[:, :count] * excess))
        self.looseness.fill_(rest)

    def fit_boundary(self, gain: Sequence[float], offset: Sequence[float]) -> None:
        """Make a logit of the two measures: the larger of gain x measure + offset."""
        self.gain.copy_(torch.tensor(gain))
        self.offset.copy_(torch.tensor(offset))


def pooled(seen: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, 2C): mean and maximum."""
    return torch.cat((seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3))), dim=1)
