"""Pairing rows with columns at the least cost, by lap's Jonker-Volgenant solver."""

import lap
import numpy as np

from models.detections import Int64
from models.overlap import Float64


def assign(cost: Float64, *, limit: float) -> tuple[Int64, Int64]:
    """The pairs (rows, columns) of a cost matrix (n, m) that cost the least together, none above `limit`.

    An unpaired row and an unpaired column cost `limit` together, so that a pair is never given up for a worse one
    elsewhere only to have more of them.
    """
    rows, columns = np.nonzero(cost <= limit)
    # most frames leave nothing to choose; then what is possible is what is best, at a quarter of the time
    pairs = len(rows)
    if len(set(rows.tolist())) == pairs and len(set(columns.tolist())) == pairs:
        return rows, columns
    _, column_of, _ = lap.lapjv(cost, extend_cost=True, cost_limit=limit)
    rows = np.flatnonzero(column_of >= 0)
    return rows, column_of[rows].astype(np.int64)
