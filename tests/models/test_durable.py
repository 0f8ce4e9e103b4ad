"""Files are whole, before and after."""

import stat
from pathlib import Path

import pytest

from models.durable import sync_tree, write_atomic


def test_content_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    (path / "kept").write_bytes(b"old")
    with pytest.raises(OSError, match="directory"):
        write_atomic(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "kept").read_bytes() == b"old"


def test_a_tree_is_synced_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"x")
    sync_tree(tmp_path)
    (tmp_path / "a" / "gone").symlink_to("nowhere")
    with pytest.raises(FileNotFoundError):
        sync_tree(tmp_path)
