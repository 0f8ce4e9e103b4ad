"""A folder goes through bytes and comes out the same."""

import io
import tarfile
from pathlib import Path

import pytest

from cloud.archive import files_below, pack, unpack
from models.errors import PackageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files in folders, in one that is a link, and hidden ones."""
    for name in ("in/a.txt", "in/deep/b.txt", "in/.hidden", "in/.git/c.txt", "elsewhere/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    return tmp_path / "in"


def test_a_folder_comes_out_as_it_was_packed(folder: Path, tmp_path: Path) -> None:
    unpack(pack(folder), tmp_path / "out", where="it")
    came = {path.relative_to(tmp_path / "out").as_posix(): path.read_text() for path in files_below(tmp_path / "out")}
    assert came == {"a.txt": "in/a.txt", "deep/b.txt": "in/deep/b.txt", "linked/d.txt": "elsewhere/d.txt"}


def test_links_in_a_circle_are_not_followed_round(folder: Path) -> None:
    (folder / "round").symlink_to(folder)
    (folder / "linked" / "back").symlink_to(folder)
    (folder / "gone").symlink_to(folder / "nowhere")
    assert [path.relative_to(folder).as_posix() for path in files_below(folder)] == [
        "a.txt",
        "deep/b.txt",
        "linked/d.txt",
    ]


@pytest.mark.parametrize("name", ["../a.txt", "/etc/a.txt", "a/../../b.txt"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(PackageError, match=r"it holds .*, which is no plain file below it"):
        unpack(archive.getvalue(), tmp_path / "out", where="it")


def test_a_damaged_archive_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="it is no whole tar archive"):
        unpack(pack(folder)[:700], tmp_path / "out", where="it")
