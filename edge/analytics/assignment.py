"""Pairing rows with columns at the least cost, by lap's Jonker-Volgenant solver."""

import lap
import numpy as np

from models.overlap import Float64


def assign(cost: Float64, *, limit: float) -> tuple[list[int], list[int]]:
    """The pairs (rows, columns) of a cost matrix (n, m) that cost the least together, none above `limit`.

    An unpaired row and an unpaired column cost `limit` together, so that a pair is never given up for a worse one
    elsewhere only to have more of them.
    """
    rows, columns = (places.tolist() for places in np.nonzero(cost <= limit))
    # most frames leave nothing to choose; then what is possible is what is best, at a quarter of the time
    if len(set(rows)) == len(rows) and len(set(columns)) == len(columns):
        return rows, columns
    # nothing above the limit is ever paired; and what is not a number would keep the solver from ending
    finite = np.where(cost <= limit, cost, 2 * limit + 1)
    _, column_of, _ = lap.lapjv(finite, extend_cost=True, cost_limit=limit)
    pairs = [(row, column) for row, column in enumerate(column_of.tolist()) if column >= 0]
    return [row for row, _ in pairs], [column for _, column in pairs]
