"""The cells of anchor-free detectors: a grid for each stride, row by row, one stride after the other."""

from collections.abc import Sequence

import numpy as np

from models.detections import Float32


def cells_of(height: int, width: int, strides: Sequence[int]) -> tuple[Float32, Float32]:
    """For a picture of that size: each cell's column and row, float32 (n, 2), and its stride, float32 (n, 1)."""
    grids = [
        np.stack(np.meshgrid(np.arange(width // stride), np.arange(height // stride)), axis=-1).reshape(-1, 2)
        for stride in strides
    ]
    by_cell = [np.full((len(grid), 1), stride) for grid, stride in zip(grids, strides, strict=True)]
    return np.concatenate(grids).astype(np.float32), np.concatenate(by_cell).astype(np.float32)
