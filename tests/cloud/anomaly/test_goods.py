"""A folder of good pictures is found however it is laid out, and what is wrong with it is one clear line."""

import shutil
from pathlib import Path

import pytest

from cloud.anomaly.goods import find_goods, find_judged, looks_good_only, with_goods
from models.errors import DataError
from tests.cloud.anomaly.textures import paint_textures


@pytest.fixture(scope="session")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twenty")
    paint_textures(folder, "good", count=20, seed=0)
    return folder


@pytest.mark.parametrize(
    ("good", "defects", "labels"),
    [
        ("", (), None),  # bare pictures
        ("good", (), None),
        ("train/good", (), None),
        ("train", (), None),
        ("train/good", ("test/good", "test/bent", "test/cut"), ("good", "bent", "cut")),  # as MVTec AD
        ("good", ("val/good", "test/cut"), ("good", "cut")),
        ("good", ("val/bent",), ("good", "bent")),  # nothing good to judge by: held-out pictures are
        ("good", ("val/good",), ("good",)),
    ],
)
def test_a_layout_is_understood(
    twenty: Path, tmp_path: Path, good: str, defects: tuple[str, ...], labels: tuple[str, ...] | None
) -> None:
    shutil.copytree(twenty, tmp_path / good, dirs_exist_ok=True)
    for place in defects:
        paint_textures(tmp_path / place, "scratch", count=2, seed=1)
    (tmp_path / "ground_truth").mkdir()
    found = find_goods(tmp_path, None, seed=0)
    assert (len(found.train), len(found.held_out)) == (14, 6)
    assert not set(found.train.paths) & set(found.held_out.paths)
    assert (found.judged.labels if found.judged else None) == labels
    assert found == find_goods(tmp_path, None, seed=0)
    assert found.train != find_goods(tmp_path, None, seed=1).train


def test_what_judges_may_lie_elsewhere(twenty: Path, tmp_path: Path) -> None:
    paint_textures(tmp_path / "elsewhere" / "cut", "scratch", count=3, seed=1)
    found = find_goods(twenty, tmp_path / "elsewhere", seed=0)
    assert found.judged is not None
    both = with_goods(found.judged, found.held_out)
    assert both.counts() == {"good": 6, "cut": 3}
    assert all(path.is_relative_to(both.root) for path in both.paths)


def test_all_that_a_folder_holds_is_judged_by(twenty: Path, tmp_path: Path) -> None:
    assert find_judged(twenty).counts() == {"good": 20}
    for place in ("good", "cut"):
        paint_textures(tmp_path / "test" / place, "good", count=2, seed=1)
    assert find_judged(tmp_path).counts() == find_judged(tmp_path / "test").counts() == {"good": 2, "cut": 2}


def test_good_pictures_alone_are_known_by_their_folder(twenty: Path, tmp_path: Path) -> None:
    assert not looks_good_only(twenty)  # bare pictures may be anything
    assert not looks_good_only(tmp_path / "absent")
    shutil.copytree(twenty, tmp_path / "good")
    (tmp_path / "test" / "cut").mkdir(parents=True)
    assert looks_good_only(tmp_path)
    (tmp_path / "bad").mkdir()
    assert not looks_good_only(tmp_path)


def test_an_unusable_folder_is_refused(twenty: Path, tmp_path: Path) -> None:
    def complaint(data: Path, val: Path | None = None) -> str:
        with pytest.raises(DataError) as caught:
            find_goods(data, val, seed=0)
        return str(caught.value)

    assert "is not a folder" in complaint(tmp_path / "absent")
    assert "holds 0 good pictures; expected at least 20" in complaint(tmp_path)
    paint_textures(tmp_path / "few" / "good", "good", count=19, seed=0)
    assert "few/good holds 19 good pictures" in complaint(tmp_path / "few")
    shutil.copytree(twenty, tmp_path / "mixed" / "good")
    (tmp_path / "mixed" / "cut").mkdir()
    assert f"move defects, which are only judged by, to {tmp_path / 'mixed/test/cut'}" in complaint(tmp_path / "mixed")
    assert "is not a folder" in complaint(twenty, tmp_path / "absent")
    (tmp_path / "val" / "cut").mkdir(parents=True)
    assert "val/cut holds no pictures" in complaint(twenty, tmp_path / "val")
