"""Two releases of a model, one after the other, and what they say of themselves and each other."""

import json
from pathlib import Path
from typing import Any, Protocol

import pytest

import tidegate
from cloud.model_diff import diff_models
from cloud.model_record import ModelRecord, read_record
from cloud.rollout.starting import read_said
from greengrass.objects import open_store
from models.manifest import InputSpec, Manifest


class Painter(Protocol):
    def __call__(self, folder: Path, *, each: int, seed: int = 0) -> None: ...


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIDEGATE_REGISTRY", str(tmp_path / "registry"))
    monkeypatch.setenv("TIDEGATE_KEYS", str(tmp_path / "keys"))
    return tmp_path / "registry"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert tidegate.main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_report_counts_for_the_release_that_it_is_about(
    colour_run: Path, registry: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidegate.main(["release", str(colour_run)]) == 0
    assert tidegate.main(["release", str(colour_run)]) == 0  # and was taken back
    about_2 = printed(capsys, "release", str(colour_run))
    about_1 = printed(capsys, "release", str(colour_run), "--against", "1")
    assert [one["predicted_shift"]["against"] for one in (about_2, about_1)] == ["colour@2", "colour@1"]

    said = [read_said(open_store(str(registry)), "colour", release, 1, root=None) for release in (3, 4)]

    assert [bool(one.shift) for one in said] == [False, True]
    assert tidegate.main(["release", str(colour_run), "--against", "9"]) == 2
    assert "--against 9: colour has the releases 1, 2, 3, 4" in capsys.readouterr().err


def test_a_second_release_tells_what_changed_since_the_first(
    trained_run: Path,
    pictures: Path,
    paint: Painter,
    registry: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert tidegate.main(["release", str(trained_run)]) == 0
    more, run = tmp_path / "more", tmp_path / "second"
    paint(more / "train", each=12, seed=9)
    paint(more / "val", each=4, seed=2)
    words = ["train", "--data", str(more), "--from", "colours@1", "--name", "colours", "--out", str(run)]
    size = ["--size", "24x32", "--width", "8", "--stages", "2", "--threads", "1", "--epochs", "2", "--batch", "8"]
    assert tidegate.main([*words, *size, "--seed", "3"]) == 0
    assert printed(capsys, "release", str(run), "--reference", str(pictures / "val"))["number"] == 2

    assert [row["release"] for row in printed(capsys, "models", "list")] == ["colours@1", "colours@2"]

    first, second = (printed(capsys, "models", "show", f"colours@{number}") for number in (1, 2))
    assert first["predicted_shift"] == {}
    assert (second["predicted_shift"]["against"], second["predicted_shift"]["pictures"]) == ("colours@1", 24)
    assert second["lineage"]["parent"] == "colours@1"
    assert second["lineage"]["split"] == {"train": 36, "val": 12}
    assert second["lineage"]["seed"] == 3
    assert first["lineage"]["run"] != second["lineage"]["run"]
    assert {"code", "libraries", "data_sha256", "val_sha256", "files_sha256"} <= set(second["lineage"])

    found = printed(capsys, "models", "diff", "colours@1", "colours@2")
    changes = {(change["part"], change["what"]): (change["before"], change["after"]) for change in found["changes"]}
    assert changes["lineage", "parent"] == (None, "colours@1")
    assert changes["lineage", "seed"] == (0, 3)
    assert changes["settings", "epochs"] == (5, 2)
    assert ("model", "input") not in changes
    assert not [what for part, what in changes if part == "labels"]
    # 96 files in the first, 48 in the second; those painted with the same seed are in both
    assert len(found["files"]["added"]) + 96 - len(found["files"]["removed"]) == 48
    assert tidegate.main(["models", "diff", "colours@1", "colours@2"]) == 0

    capsys.readouterr()
    assert tidegate.main(["models", "show", "colours@2"]) == 0
    card = capsys.readouterr().out
    assert card.startswith("# colours@2\n")
    assert (run / "MODEL_CARD.md").read_text() == card
    assert "Against colours@1, on 24 pictures" in card


def test_a_model_differs_from_itself_in_nothing(trained_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tidegate.main(["models", "diff", str(trained_run), str(trained_run)]) == 0
    assert "differ in nothing that is written down" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["show", "nowhere"], 1, "holds no manifest.json"),
        (["show", "colours@1"], 1, "colours@1 is not in the registry; releases of 'colours' there: none"),
        (["show", "colours@0"], 2, "expected a release as NAME@RELEASE"),
        (["diff", "nowhere", "colours@1"], 1, "nowhere"),
        (["latency", "nowhere", "nothing.json"], 1, "nothing.json"),
    ],
)
def test_what_is_not_there_is_named(
    registry: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    assert tidegate.main(["models", *words]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_an_empty_registry_lists_nothing(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "models", "list") == []


def test_files_are_told_apart_by_what_is_in_them() -> None:
    def record(**parts: list[tuple[str, str, str]]) -> ModelRecord:
        files = {
            part: [{"file": name, "label": label, "sha256": digest} for name, label, digest in listed]
            for part, listed in parts.items()
        }
        return ModelRecord("m", Manifest("m", "detection", ("a",), InputSpec(8, 8)), {}, files)

    before = record(
        train=[("1.png", "a", "11"), ("2.png", "a", "22"), ("3.png", "b", "33")], val=[("4.png", "a", "44")]
    )
    after = record(train=[("one.png", "a", "11"), ("2.png", "b", "22"), ("4.png", "a", "44"), ("5.png", "a", "55")])
    files = diff_models(before, after).files
    assert files is not None
    assert (files.added, files.removed) == (("train/5.png",), ("train/3.png",))
    assert (files.relabelled, files.moved) == (("train/2.png",), ("train/4.png",))


def test_a_run_folder_without_a_list_of_files_can_be_compared(colour_run: Path, trained_run: Path) -> None:
    found = diff_models(read_record(colour_run), read_record(trained_run))
    assert found.files is None
    assert {"model", "accuracy", "variants", "lineage"} <= {change.part for change in found.changes}
