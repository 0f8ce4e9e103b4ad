"""Machines on which a network is equally fast are one class."""

import pytest

from models.hardware import classify, hardware_class

CORE = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: {}\n"
PI_4 = CORE.format("0xd08") * 2
ROCK_5 = CORE.format("0xd05") + CORE.format("0xd0b")


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", "flags\t\t: fpu avx avx2 avx512f avx512_vnni\n", "x86_64-avx512vnni"),
        ("x86_64", "flags\t\t: fpu avx avx2 avx512f avx512_vnni amx_int8\n", "x86_64-amx"),
        ("x86_64", "flags\t\t: fpu avx avx2 avx_vnni\nbugs\t: spectre_v1\n", "x86_64-avxvnni"),
        ("x86_64", "flags\t\t: fpu avx avx2\n", "x86_64-avx2"),
        ("x86_64", "flags\t\t: fpu sse2\n", "x86_64"),
        ("aarch64", PI_4, "aarch64-cortex-a72"),
        ("aarch64", ROCK_5, "aarch64-cortex-a55+cortex-a76"),  # two kinds of cores
        ("aarch64", "CPU implementer\t: 0x61\nCPU part\t: 0x022\n", "aarch64-0x61-0x022"),  # nobody's we know
        ("arm64", "", "arm64"),  # macOS has no /proc
    ],
)
def test_a_machine_is_classed_by_what_makes_networks_fast(machine: str, cpuinfo: str, expected: str) -> None:
    assert classify(machine, cpuinfo) == expected


def test_this_machine_has_a_class() -> None:
    assert hardware_class()
