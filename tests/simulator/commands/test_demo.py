"""`tidegate demo` says what is wrong with its options in one line, before it empties a folder or starts anything."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import tidegate


@pytest.fixture
def workplace(tmp_path: Path, colour_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An earlier demo's folder `demo` with a model in it, and beside it all that an option can wrongly name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo" / "runs").mkdir(parents=True)
    (tmp_path / "demo" / ".tidegate-demo").touch()
    (tmp_path / "demo" / "report.md").write_text("what the earlier demo found")
    (tmp_path / "demo" / "runs" / "first").symlink_to(colour_run)
    (tmp_path / "model").symlink_to(colour_run)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "letter.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "one" / "good").mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(tmp_path / "one" / "good" / f"{number}.png"), np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "text").write_text("no video, no folder")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--out text", "cannot be written"),
        ("--out theirs", "not from an earlier demo"),
        ("--data nowhere", "is not there"),
        ("--data empty", "holds no pictures"),
        ("--data one", "holds one class"),
        ("--data text", "not a folder"),
        ("--data demo/runs", "is emptied first"),
        ("--model model", "go together"),
        ("--model empty --camera text", "holds no manifest.json"),
        ("--model model --camera text", "not a video"),
        ("--model model --camera text --data one", "give one of them"),
        ("--gateways 2", "must be in 3..16"),
        ("--window-s nan", "must be in 2..60"),
        ("--epochs 0", "at least 1"),
        ("--seed -1", "at least 0"),
    ],
)
def test_bad_options_are_one_line_and_touch_nothing(
    words: str, said: str, workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(workplace.rglob("*"))
    assert tidegate.main(["demo", "--out", "demo", *words.split()]) in (1, 2)
    printed = capfd.readouterr()
    assert said in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")
    assert sorted(workplace.rglob("*")) == before
