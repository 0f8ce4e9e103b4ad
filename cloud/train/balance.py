"""How much classes weigh in a loss where some are rare."""

from collections.abc import Mapping

import numpy as np
from rich.markup import escape

_UNEVEN = 1.5  # times as many in the largest class as in the smallest


def is_uneven(counts: Mapping[str, int]) -> bool:
    """Whether some labels that are there at all are far more frequent than others."""
    there = [count for count in counts.values() if count]
    return max(there) > _UNEVEN * min(there)


def class_weights(counts: Mapping[str, int], *, balance: bool) -> dict[str, float]:
    """How much one of a class weighs, by label: with `balance` by the inverse square root of their number where numbers
    are uneven; 1 on average over all."""
    numbers = np.array(list(counts.values()), np.float64)
    weights = np.maximum(numbers, 1) ** -0.5 if balance and is_uneven(counts) else np.ones_like(numbers)
    return dict(zip(counts, (weights * numbers.sum() / (weights * numbers).sum()).tolist(), strict=True))


def unevenness(counts: Mapping[str, int], *, balance: bool) -> list[str]:
    """What its user should know of uneven classes: a line (rich markup), or none."""
    if not is_uneven(counts):
        return []
    there = {label: count for label, count in counts.items() if count}
    fewest, most = min(there, key=lambda label: there[label]), max(there, key=lambda label: there[label])
    how = "rare ones weigh more in the loss, by the square root" if balance else "and weigh the same"
    return [escape(f"classes are uneven ({most} {there[most]}, {fewest} {there[fewest]}): {how}")]
