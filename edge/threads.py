"""Threads that a gateway's parts run on."""

import threading
import time
from collections.abc import Callable, Iterable

Start = Callable[[str, Callable[[], None]], threading.Thread]  # runs a function on a thread of that name


def join(threads: Iterable[threading.Thread], most_s: float) -> None:
    """Wait for all of them together so long at most."""
    deadline = time.monotonic() + most_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
