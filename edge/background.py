"""Work that cameras must not notice."""

import contextlib
import os
import threading

_NICE = 10


def step_behind() -> None:
    """Let the calling thread have the processor only when the others don't need it, where a thread has a priority of
    its own (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
