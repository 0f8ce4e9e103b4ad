"""Faults of a device's machine: a slow processor, a clock that is wrong, a disk that is full. No root needed, except
for the small disk that can be filled."""

import errno
import os
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from models.errors import ConfigError
from simulator.nucleus.component import Component

_PERIOD_S = 0.1
_FLOAT = struct.Struct("d")
_HOOK = Path(__file__).parent / "shifted"  # holds a sitecustomize.py, which Python imports before all else
_SMALL_DISK_BYTES = 1 << 30
_BLOCK = bytes(1 << 16)


class SlowProcessor:
    """Components run for a part of the time only: SIGSTOP and SIGCONT to their process groups, ten times a second.

    A component that leaves, is killed or is paused by somebody else is not held up.
    """

    def __init__(self, components: Callable[[], Iterable[Component]], share: float) -> None:
        self.share = share
        self._components = components
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="slow processor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """All run as fast as they can again."""
        self._done.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._done.is_set():
            stopped = list(self._components())
            for component in stopped:
                component.pause()
            self._done.wait(_PERIOD_S * (1 - self.share))
            for component in stopped:
                component.resume()
            self._done.wait(_PERIOD_S * self.share)


class Clock:
    """The wall clock that Python programs of a device's components see; monotonic time is everybody's.

    A process sees it if the clock was ever set before the process started, and then at once each time it is set.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def set(self, shift_s: float) -> None:
        """Off by so many seconds from now on."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("r+b" if self._file.exists() else "wb") as clock:
            clock.write(_FLOAT.pack(shift_s))

    def adjust(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """A process' environment, with what makes it see this clock."""
        if not self._file.exists():
            return environment
        path = os.pathsep.join(filter(None, (str(_HOOK), environment.get("PYTHONPATH"))))
        return {**environment, "PYTHONPATH": path, "SHIFTED_CLOCK": str(self._file)}


def fill_disk(folder: Path) -> None:
    """Leave no room in the folder, which must be a small disk of its own: ConfigError where it is not."""
    status = os.statvfs(folder)
    if not os.path.ismount(folder) or status.f_blocks * status.f_frsize > _SMALL_DISK_BYTES:
        raise ConfigError(
            f"{folder} is no disk of its own of at most {_SMALL_DISK_BYTES >> 20} MiB, so it will not be filled; "
            "mount a tmpfs there (as root) before the device starts"
        )
    with _filler(folder).open("ab", buffering=0) as filler:
        try:
            while filler.write(_BLOCK):
                pass
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise


def free_disk(folder: Path) -> None:
    """The room is there again."""
    _filler(folder).unlink(missing_ok=True)


def _filler(folder: Path) -> Path:
    return folder / ".filler"
