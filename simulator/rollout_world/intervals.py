"""How far a share may lie from what was counted."""

import math

_Z = 1.959964  # of the 95 % interval


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson (1927), which is right also near 0 and 1; (0, 1) of nothing."""
    if not of:
        return 0.0, 1.0
    share = count / of
    middle = share + _Z**2 / (2 * of)
    spread = _Z * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2))
    whole = 1 + _Z**2 / of
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)
