"""`tidegate search` leaves the best of what it tried, and goes on where it was stopped."""

import json
from pathlib import Path

import pytest

import tidegate
from cloud.run_folder import read_report
from cloud.search.study import counts, open_study
from models.manifest import read_manifest


def search(pictures: Path, out: Path, *more: str) -> int:
    words = ["search", "--data", str(pictures), "--name", "colours", "--out", str(out), "--epochs", "1"]
    return tidegate.main([*words, "--workers", "1", *more])


@pytest.mark.timeout(900)  # two trainings in processes of their own
def test_a_search_leaves_a_run_folder_and_goes_on_when_asked_for_more(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert search(pictures, out, "--trials", "1", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["tried"]["complete"] == 1
    manifest, report = read_manifest(out), read_report(out)
    assert manifest.name == "colours"
    assert manifest.lineage["search"]["trial"] == printed["chosen"]["trial"] == report["search"]["chosen"]
    assert (out / "search.png").stat().st_size > 10_000
    assert {variant.name for variant in manifest.variants} >= {"fp32", "w8"}

    # as a worker that was killed leaves it: a trial that nobody runs any more
    study = open_study(tmp_path / "run.study", seed=0)
    study.ask()
    assert search(pictures, out, "--trials", "2", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["tried"]["failed"] == 1
    assert printed["tried"]["complete"] + printed["tried"]["pruned"] == 2
    assert counts(open_study(tmp_path / "run.study", seed=0))["running"] == 0

    assert search(pictures, out, "--trials", "2", "--seed", "9") == 2
    assert "other seed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--trials", "0"], 2, "need --trials and --workers of at least 1"),
        (["--minutes", "nan"], 2, "--minutes above 0"),
        (["--epochs", "0"], 2, "need epochs"),
        (["--data", "absent"], 1, "absent is not a folder"),
    ],
)
def test_bad_input_is_one_line(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, complaint: str
) -> None:
    assert search(pictures, tmp_path / "run", *words) == code
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
