"""Waiting for what happens elsewhere."""

import time
from collections.abc import Callable

PATIENCE_S = 30.0


def eventually(
    condition: Callable[[], bool], *, within_s: float = PATIENCE_S, every_s: float = 0.02, what: str = ""
) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what or condition}"
        time.sleep(every_s)
