"""How much boxes overlap."""

import numpy as np
import numpy.typing as npt

from models.detections import Float32

Float64 = npt.NDArray[np.float64]


def overlaps(a: Float32 | Float64, b: Float32 | Float64) -> Float64:
    """IoU of each box with each: (n, 4), (m, 4) xyxy -> (n, m); 0 where both are empty."""
    x1, y1, x2, y2 = a.astype(np.float64).T[:, :, None]  # each (n, 1)
    left, top, right, bottom = b.astype(np.float64).T  # each (m,)
    width = np.minimum(x2, right) - np.maximum(x1, left)  # (n, m)
    height = np.minimum(y2, bottom) - np.maximum(y1, top)
    inner = np.maximum(width, 0) * np.maximum(height, 0)
    union = (x2 - x1) * (y2 - y1) + (right - left) * (bottom - top) - inner
    return np.asarray(np.divide(inner, union, out=np.zeros_like(inner), where=union > 0), np.float64)
