"""Pairing rows with columns at the least cost, by lap's Jonker-Volgenant solver."""

from collections.abc import Sequence

import lap
import numpy as np

Cost = tuple[int, int, float]  # of pairing this row with this column


def assign(costs: Sequence[Cost], *, limit: float) -> tuple[list[int], list[int]]:
    """The pairs (rows, columns) among these, each named once, that cost the least together, none above `limit`; in the
    order of `costs`.

    An unpaired row and an unpaired column cost `limit` together, so that a pair is never given up for a worse one
    elsewhere only to have more of them.
    """
    # what is no number is above every limit: it would keep the solver from ending
    possible = [(row, column, cost) for row, column, cost in costs if cost <= limit]
    rows, columns = [row for row, _, _ in possible], [column for _, column, _ in possible]
    # most frames leave nothing to choose; then what is possible is what is best, at a small part of the time
    if len(set(rows)) == len(rows) and len(set(columns)) == len(columns):
        return rows, columns
    row_at = {row: place for place, row in enumerate(dict.fromkeys(rows))}
    column_at = {column: place for place, column in enumerate(dict.fromkeys(columns))}
    matrix = np.full((len(row_at), len(column_at)), 2 * limit + 1)  # never paired
    for row, column, cost in possible:
        matrix[row_at[row], column_at[column]] = cost
    _, column_of, _ = lap.lapjv(matrix, extend_cost=True, cost_limit=limit)
    chosen = [(row, column) for row, column, _ in possible if column_of[row_at[row]] == column_at[column]]
    return [row for row, _ in chosen], [column for _, column in chosen]
