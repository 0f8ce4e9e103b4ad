"""Making files of a table on disk survive a power cut."""

import os
from collections.abc import Iterable
from pathlib import Path

from models.durable import sync_folder


def make_durable(table: Path, names: Iterable[str]) -> None:
    """fsync files of the table, and the folders that name them."""
    paths = [table / name for name in names]
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    for folder in {parent for path in paths for parent in (path.parent, path.parent.parent)}:
        sync_folder(folder)
