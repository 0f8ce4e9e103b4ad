"""Disks that are so small that a test can fill them, or that hang as disks do. Their names hold the test process' id,
so that what a killed one left mounted is found by the next."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_OURS = "tidegate-test"
_MOUNTS = Path("/proc/mounts")


@contextmanager
def small_disk_at(place: Path, size: str) -> Iterator[Path]:
    """A file system of that size ("8m") in the new folder `place`; the test is skipped where nobody may mount one."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", f"{_OURS}-{os.getpid()}", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def disk_that_can_freeze(place: Path) -> Iterator[Path]:
    """A file system in the new folder `place`, for `freeze`; the test is skipped where nobody may make one."""
    place.mkdir()
    image = place.with_name(f"{place.name}.{_OURS}-{os.getpid()}")
    with image.open("wb") as file:
        file.truncate(64 << 20)
    for command in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop", str(image), str(place)]):
        if shutil.which(command[0]) is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a disk of its own takes root, and mkfs.ext4")
    try:
        yield place
    finally:
        thaw(place)
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def freeze(disk: Path) -> None:
    """Whoever writes there waits, until `thaw`; not even SIGKILL ends that."""
    subprocess.run(["fsfreeze", "--freeze", str(disk)], check=True)


def thaw(disk: Path) -> None:
    subprocess.run(["fsfreeze", "--unfreeze", str(disk)], capture_output=True, check=False)


def use_up(disk: Path, *, but: int = 0) -> Path:
    """Other people's data, on all that is free but so many bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            with suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass
    if but:
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - but)
    return ballast


def unmount_stale() -> None:
    """Away with disks whose test process was killed: pytest cannot remove their folders, and says so much later."""
    for line in _MOUNTS.read_text().splitlines() if _MOUNTS.is_file() else ():
        source, place = line.split()[:2]
        image = Path("/sys/block") / Path(source).name / "loop" / "backing_file"
        found = re.search(rf"{_OURS}-(\d+)", image.read_text() if image.is_file() else source)
        if found is not None and not Path("/proc", found[1]).is_dir():
            thaw(Path(place))
            subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)
