"""`tidegate` on a machine where time goes faster: `python -m tests.flows.fast_clock COMMAND ...`.

The file that FAST_CLOCK names holds how many times faster, one float64, which may change meanwhile. Python's clocks and
waits go by it; processors, disks and networks do not, and neither do the timers of libraries that are not in Python.
"""

import mmap
import os
import queue
import struct
import sys
import threading
import time
from pathlib import Path

_FLOAT = struct.Struct("d")
_SLICE_S = 0.05  # of real time: so long after the speed has changed, waits learn of it


def write_speed(file: Path, speed: float) -> None:
    """For processes that run, too."""
    with file.open("r+b" if file.exists() else "wb") as clock:
        clock.write(_FLOAT.pack(speed))


class FastClock:
    """Fast time since the process began, on the file's speed."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as stream:
            self._page = mmap.mmap(stream.fileno(), _FLOAT.size, access=mmap.ACCESS_READ)
        self._real = time.monotonic
        self._lock = threading.Lock()
        self._since = self._ahead_at = self._real()
        self._ahead_s = 0.0
        self._speed = self.speed

    @property
    def speed(self) -> float:
        return float(_FLOAT.unpack(self._page)[0])

    def ahead_s(self) -> float:
        """By how much fast time is ahead of real time."""
        with self._lock:
            now = self._real()
            self._ahead_s += (now - self._ahead_at) * (self._speed - 1)
            self._ahead_at, self._speed = now, self.speed
            return self._ahead_s


def install(clock: FastClock) -> None:
    """From now on Python's clocks and waits go by it."""
    wall, wall_ns, steady, steady_ns, sleep = time.time, time.time_ns, time.monotonic, time.monotonic_ns, time.sleep
    wait = threading.Condition.wait
    time.time = lambda: wall() + clock.ahead_s()
    time.time_ns = lambda: wall_ns() + int(clock.ahead_s() * 1e9)
    time.monotonic = lambda: steady() + clock.ahead_s()
    time.monotonic_ns = lambda: steady_ns() + int(clock.ahead_s() * 1e9)
    time.sleep = lambda seconds: sleep(float(seconds) / clock.speed)
    threading._time = queue.time = time.monotonic  # type: ignore[attr-defined]

    def wait_slice(self: threading.Condition, timeout: float | None = None) -> bool:
        # whoever waits for a condition looks whether it holds
        return wait(self, None if timeout is None else min(_SLICE_S, timeout / clock.speed))

    def wait_event(self: threading.Event, timeout: float | None = None) -> bool:
        until = None if timeout is None else time.monotonic() + timeout
        with self._cond:  # type: ignore[attr-defined]
            while not self.is_set() and (until is None or time.monotonic() < until):
                self._cond.wait(None if until is None else max(0.0, until - time.monotonic()))  # type: ignore[attr-defined]
        return self.is_set()

    threading.Condition.wait = wait_slice  # type: ignore[method-assign]
    threading.Event.wait = wait_event  # type: ignore[method-assign]


if __name__ == "__main__":
    install(FastClock(Path(os.environ["FAST_CLOCK"])))  # before anything of ours, or of a library's, has taken a clock
    import tidegate

    sys.exit(tidegate.main())
