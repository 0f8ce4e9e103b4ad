"""How much boxes overlap."""

import numpy as np
import numpy.typing as npt

from models.detections import Float32

Float64 = npt.NDArray[np.float64]
_NOTHING = np.finfo(np.float64).tiny


def overlaps(a: Float32 | Float64, b: Float32 | Float64) -> Float64:
    """IoU of each box with each: (n, 4), (m, 4) xyxy -> (n, m); 0 where both are empty."""
    # columns, in place: half the time of rows for the few boxes of a frame
    first, second = a.T.astype(np.float64), b.T.astype(np.float64)  # (4, n), (4, m)
    sides = np.minimum(first[2:, :, None], second[2:, None])  # (2, n, m)
    sides -= np.maximum(first[:2, :, None], second[:2, None])
    np.maximum(sides, 0, out=sides)
    inner = sides[0] * sides[1]
    first[2:] -= first[:2]
    second[2:] -= second[:2]
    union = (first[2] * first[3])[:, None] + second[2] * second[3]
    union -= inner
    np.maximum(union, _NOTHING, out=union)
    return np.asarray(inner / union, np.float64)
