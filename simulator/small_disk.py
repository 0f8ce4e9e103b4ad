"""A small file system of its own for a folder, so that a disk can be filled without filling everybody's. Needs root."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import ConfigError

_DETACH = 2  # umount2: now, and for good once nobody uses it any more


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system in memory of `size` bytes at the folder, which is made; ConfigError where this user may not mount
    one."""
    folder.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, f"size={size}".encode()) != 0:
        raise ConfigError(
            f"a small disk cannot be mounted at {folder}: {os.strerror(ctypes.get_errno())}; "
            "a disk that is full needs root, or leave that fault out"
        )
    try:
        yield folder
    finally:
        libc.umount2(str(folder).encode(), _DETACH)
