"""Two times for a picture: UTC, which people and the cloud want, and one that never jumps, which order needs.

A gateway without a clock of its own starts in the past and is put right by NTP, by years. Both columns differ by an
offset that is read again only when it is off by more than a slewing clock makes it: they move in step, and the offset
costs nothing on the wire.
"""

import time
from collections.abc import Callable

_JUMP_NS = 50_000_000


class UtcClock:
    """UTC for moments of `time.monotonic_ns`."""

    def __init__(
        self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall_ns, self._steady_ns = wall_ns, steady_ns
        self._offset_ns = wall_ns() - steady_ns()

    def at(self, steady_ns: int) -> int:
        """UTC in ns, of a moment not long ago."""
        offset_ns = self._wall_ns() - self._steady_ns()
        if abs(offset_ns - self._offset_ns) > _JUMP_NS:
            self._offset_ns = offset_ns
        return max(0, steady_ns + self._offset_ns)
