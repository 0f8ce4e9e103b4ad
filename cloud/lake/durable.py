"""Making a commit to a table on disk survive a power cut. deltalake writes and renames, but never calls fsync."""

import os
from collections.abc import Sequence
from pathlib import Path

from cloud.lake.log import LOG
from models.durable import sync_folder


def make_durable(table: Path, version: int, files: Sequence[str]) -> None:
    """fsync the data files of a version, its log entry, and the folders that name them."""
    paths = [table / name for name in files] + [table / LOG / f"{version:020}.json"]
    for path in paths:
        _sync_file(path)
    for folder in {parent for path in paths for parent in (path.parent, path.parent.parent)}:
        sync_folder(folder)


def _sync_file(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # of another's commit, and replaced by compaction since
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
