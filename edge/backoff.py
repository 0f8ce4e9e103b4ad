"""How long to wait before the next try."""

import random
from collections.abc import Iterator


def delays(first_s: float, ceiling_s: float) -> Iterator[float]:
    """Doubling delays up to a ceiling, each drawn from its upper half, so that a fleet does not come back in step."""
    delay = first_s
    while True:
        yield random.uniform(delay / 2, delay)
        delay = min(ceiling_s, delay * 2)
