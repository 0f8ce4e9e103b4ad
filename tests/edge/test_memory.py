"""What a process takes and what is left, read from folders like /proc and /sys/fs/cgroup."""

from pathlib import Path
from resource import getpagesize

import pytest

from edge.memory import Memory, measure

MEMINFO = "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:   400 kB\nHugePages_Total: 0\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "statm").write_text("99 7 5 1 0 9 0\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/system.slice/tidegate.service\n")
    (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
    return tmp_path / "proc"


def group(folder: Path, *, limit: str) -> Path:
    inner = folder / "cgroup" / "system.slice" / "tidegate.service"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text(limit + "\n")
    (inner / "memory.stat").write_text("anon 204800\nfile 90000000\n")
    return folder / "cgroup"


def test_the_machine_is_the_limit(proc: Path, tmp_path: Path) -> None:
    expected = Memory(7 * getpagesize(), 400 * 1024, 1000 * 1024)
    assert measure(proc, tmp_path / "none") == expected
    assert measure(proc, group(tmp_path, limit="max")) == expected


def test_the_control_group_is_the_limit_and_files_in_it_are_no_burden(proc: Path, tmp_path: Path) -> None:
    assert measure(proc, group(tmp_path, limit="512000")) == Memory(7 * getpagesize(), 512000 - 204800, 512000)


@pytest.mark.parametrize("content", ["", "garbage", "MemTotal: x kB\nMemAvailable: 3 kB"])
def test_a_system_that_does_not_tell_is_unknown(proc: Path, tmp_path: Path, content: str) -> None:
    (proc / "meminfo").write_text(content)
    assert measure(proc, tmp_path) == Memory()
    assert measure(tmp_path / "nowhere", tmp_path) == Memory()


def test_this_process_is_found() -> None:
    memory = measure()
    assert 0 < memory.resident < memory.total
    assert 0 < memory.available <= memory.total
