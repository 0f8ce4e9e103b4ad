"""What a run took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Took:
    """A run's frames, and its seconds by the wall and of processor time, of all threads."""

    frames: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Frames a second."""
        return self.frames / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """Processor time of a frame."""
        return self.cpu_s / self.frames * 1000


@contextmanager
def measured() -> Iterator[list[float]]:
    """Gives [wall seconds, processor seconds] of what is done inside."""
    took: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    yield took
    took += [time.perf_counter() - wall, time.process_time() - cpu]
