"""Disks that are so small that a test can fill them, or that hang."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edge.spool_database import SpoolDatabase


@contextmanager
def small_disk_at(place: Path, size: str) -> Iterator[Path]:
    """A file system of that size ("8m") in the new folder `place`; the test is skipped where nobody may mount one."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
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
    image = place.with_suffix(".image")
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
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    if but:
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - but)
    return ballast


@contextmanager
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While the event is cleared, whatever is written waits."""
    works = threading.Event()
    works.set()
    transaction = SpoolDatabase.transaction

    @contextmanager
    def waiting(database: SpoolDatabase) -> Iterator[None]:
        works.wait()
        with transaction(database):
            yield

    monkeypatch.setattr(SpoolDatabase, "transaction", waiting)
    yield works
    works.set()
