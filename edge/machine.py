"""What the machine says of itself: memory, processor time, temperature, throttling, room on the disk.

Read from the kernel's files, because a Raspberry Pi's own tool (vcgencmd) is not for an unprivileged user without
groups, and costs a process.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage

_ZONES = ("cpu-thermal", "cpu_thermal", "x86_pkg_temp", "soc-thermal", "soc_thermal")  # the processor's own, by name
_THROTTLED = "sys/devices/platform/soc*/soc*firmware/get_throttled"
_SUPPLY = "sys/class/hwmon/hwmon*"  # of which one is named rpi_volt
# bits of the Raspberry Pi firmware's answer: now, and 16 higher: at any time since it was last asked or started
_BITS = {0: "under-voltage", 1: "capped", 2: "throttled", 3: "soft temperature limit"}
_SINCE = 16


@dataclass(frozen=True, slots=True)
class Condition:
    """How the machine is: `memory_bytes` resident and `cpu_s` used by this process so far, degrees Celsius of the
    processor (0 where unknown), what holds it back ("under-voltage, capped"; empty where nothing is known of), and
    what is free where the state is kept."""

    memory_bytes: int
    cpu_s: float
    temperature_c: float
    throttled: str
    disk_free_bytes: int


class Machine:
    """The machine this process runs on. `root` is where its file system starts, for tests."""

    def __init__(self, state: Path, *, root: Path = Path("/")) -> None:
        self._state = state
        self._root = root
        self._before = _throttle_bits(root)

    def look(self) -> Condition:
        """How it is now, and whether anything held it back since the last look. What cannot be read is said to be
        unknown, never an error."""
        before, self._before = self._before, _throttle_bits(self._root)
        return self._condition(self._before | (self._before & ~before) >> _SINCE)

    def glance(self) -> Condition:
        """How it is now, for somebody who passes by: the next look tells all the same."""
        return self._condition(_throttle_bits(self._root))

    def _condition(self, bits: int) -> Condition:
        held_back = [name for bit, name in _BITS.items() if bits >> bit & 1]
        if not held_back and _supply_is_low(self._root):
            held_back.append(_BITS[0])
        return Condition(
            memory_bytes=resident_bytes(),
            cpu_s=time.process_time(),
            temperature_c=_temperature_c(self._root),
            throttled=", ".join(held_back),
            disk_free_bytes=_free_bytes(self._state),
        )


def resident_bytes() -> int:
    """Memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()
    except OSError:  # not Linux: the peak is what there is
        return getrusage(RUSAGE_SELF).ru_maxrss * 1024


def _temperature_c(root: Path) -> float:
    zones = {_read(zone / "type"): zone for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))}
    for name in _ZONES:
        if name in zones:
            return _number(_read(zones[name] / "temp"), base=10) / 1000
    return 0.0


def _throttle_bits(root: Path) -> int:
    return next((_number(_read(path), base=16) for path in sorted(root.glob(_THROTTLED))), 0)


def _supply_is_low(root: Path) -> bool:
    """What kernels without the firmware's file still tell of a Raspberry Pi's supply."""
    return any(
        _read(sensor / "in0_lcrit_alarm") == "1"
        for sensor in root.glob(_SUPPLY)
        if _read(sensor / "name") == "rpi_volt"
    )


def _free_bytes(folder: Path) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _read(path: Path) -> str:
    # a sensor that is not ready answers with an error of its own kind, and may go while it is read
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(text: str, *, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        return 0
