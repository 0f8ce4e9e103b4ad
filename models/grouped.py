"""Differences between rows that belong together, and back."""

import numpy as np
import numpy.typing as npt

from models.detections import Int64


class Groups:
    """Rows that share a key, in their own order: what a row's difference is taken against."""

    def __init__(self, *keys: Int64) -> None:
        n = len(keys[0])
        telling = [key for key in keys if n and np.any(key != key[0])]  # most batches are of one camera
        sorted_already = not telling or (len(telling) == 1 and bool(np.all(telling[0][1:] >= telling[0][:-1])))
        self.order = np.arange(n) if sorted_already else np.lexsort(telling[::-1])
        self.starts = np.zeros(n, np.bool_)
        self.starts[:1] = True
        for key in telling:
            ordered = key[self.order]
            self.starts[1:] |= ordered[1:] != ordered[:-1]


def rank_in_runs(starts: npt.NDArray[np.bool_]) -> Int64:
    """How many rows ago the last start was."""
    index = np.arange(len(starts))
    return index - np.maximum.accumulate(np.where(starts, index, 0)) if len(starts) else index


def delta_by(values: Int64, groups: Groups) -> Int64:
    """(n,) values less the one before of the same group; the first of a group as it is."""
    ordered = values[groups.order]
    steps = np.empty_like(values)
    steps[groups.order] = ordered - np.where(groups.starts, 0, np.concatenate(([0], ordered[:-1])))
    return steps


def undelta_by(steps: Int64, groups: Groups) -> Int64:
    """(n,) or (n, k), one or several columns of the same rows: the way back."""
    ordered = np.cumsum(steps[groups.order], axis=0)
    if len(ordered):
        # what had been summed up before a group began does not belong to it
        before = ordered[groups.starts] - steps[groups.order][groups.starts]
        ordered = ordered - before[np.cumsum(groups.starts) - 1]
    values = np.empty_like(steps)
    values[groups.order] = ordered
    return values
