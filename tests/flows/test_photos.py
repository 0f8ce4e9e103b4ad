"""Real photographs: a folder of them becomes a compressed model, and goes through the whole loop."""

import json
from pathlib import Path

import pytest

import tidegate
from models.manifest import read_manifest


@pytest.mark.real
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_photographs_become_a_model_that_knows_more_than_chance(shared_data: Path, tmp_path: Path) -> None:
    photos, run = shared_data / "trashnet256", tmp_path / "trash"
    data = ["--data", str(photos / "train"), "--val", str(photos / "val")]
    # two passes of the forty that it deserves: enough to see that it learns
    assert tidegate.main(["train", *data, "--name", "trash", "--out", str(run), "--epochs", "2"]) == 0
    manifest = read_manifest(run)
    assert manifest.labels == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert manifest.variant("fp32").accuracy > 0.3  # the commonest class is a quarter of them
    assert tidegate.main(["compress", str(run), "--data", str(photos / "val"), "--calibrate-on", "64"]) == 0
    assert read_manifest(run).variant("int8").bytes < 0.32 * manifest.variant("fp32").bytes
    report = json.loads((run / "report.json").read_bytes())
    assert {row["name"] for row in report["variants"]} == {"fp32", "w8", "fp16", "int8"}


@pytest.mark.real
@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_whole_loop_turns_on_photographs(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    assert tidegate.main(["demo", "--data", str(shared_data / "trashnet256"), "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_bytes())
    assert report["holds"]
    assert [story["outcome"] for story in report["rollouts"]] == ["done", "reverted", "done"]
