"""What kind of machine this is, as far as the speed of a network depends on it."""

import functools
import platform
from collections.abc import Iterable
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")

# the best of these that a CPU has decides which kernels run; the first three multiply int8 in hardware
_X86 = (
    ("amx_int8", "amx"),
    ("avx512_vnni", "avx512vnni"),
    ("avx_vnni", "avxvnni"),
    ("avx512f", "avx512"),
    ("avx2", "avx2"),
    ("avx", "avx"),
)
# implementer and part of the main ID register, as Arm's manuals of each core give them
_ARM = {
    ("0x41", "0xc07"): "cortex-a7",
    ("0x41", "0xd03"): "cortex-a53",
    ("0x41", "0xd04"): "cortex-a35",
    ("0x41", "0xd05"): "cortex-a55",
    ("0x41", "0xd07"): "cortex-a57",
    ("0x41", "0xd08"): "cortex-a72",
    ("0x41", "0xd09"): "cortex-a73",
    ("0x41", "0xd0a"): "cortex-a75",
    ("0x41", "0xd0b"): "cortex-a76",
    ("0x41", "0xd0c"): "neoverse-n1",
    ("0x41", "0xd40"): "neoverse-v1",
    ("0x41", "0xd41"): "cortex-a78",
    ("0x41", "0xd42"): "cortex-a78ae",
    ("0x41", "0xd44"): "cortex-x1",
    ("0x41", "0xd49"): "neoverse-n2",
    ("0x41", "0xd4f"): "neoverse-v2",
    ("0x4e", "0x003"): "denver2",
    ("0x4e", "0x004"): "carmel",
}


@functools.cache
def hardware_class() -> str:
    """The class of machine that a latency figure holds for, such as "x86_64-avx512vnni" or "aarch64-cortex-a72"."""
    try:
        cpuinfo = _CPUINFO.read_text(errors="replace")
    except OSError:  # not Linux
        cpuinfo = ""
    return classify(platform.machine(), cpuinfo)


def classify(machine: str, cpuinfo: str) -> str:
    """The class of a machine of that architecture with that /proc/cpuinfo; the bare architecture where it says nothing.

    A processor of two kinds of cores is a class of its own: nobody knows on which of them a thread will run.
    """
    if machine in ("x86_64", "AMD64", "i686"):
        flags = {flag for line in _values(cpuinfo, "flags") for flag in line.split()}
        found = [name for flag, name in _X86 if flag in flags][:1]
    else:
        parts = zip(_values(cpuinfo, "CPU implementer"), _values(cpuinfo, "CPU part"), strict=False)
        found = sorted({_ARM.get(part, f"{part[0]}-{part[1]}") for part in parts})
    return "-".join([machine, "+".join(found)]) if found else machine


def _values(cpuinfo: str, key: str) -> Iterable[str]:
    pairs = (line.partition(":") for line in cpuinfo.splitlines())
    return [value.strip() for name, _, value in pairs if name.strip() == key]
