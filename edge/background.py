"""Work that cameras must not notice."""

import contextlib
import os
import threading
from collections.abc import Callable

_NICE = 10


def step_behind() -> None:
    """Let the calling thread have the processor only when the others don't need it, where a thread has a priority of
    its own (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do this on a thread of its own, and wait for it at most so long; whether it was done by then. What a disk that
    hangs keeps from being done goes with the process."""
    thread = threading.Thread(target=work, name="last", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
