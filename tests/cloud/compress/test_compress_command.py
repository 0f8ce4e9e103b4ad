"""`tidegate compress` measures, judges, and leaves the run as the gate decided."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import tidegate
from cloud.run_folder import read_report
from models.golden import read_golden, replay
from models.latency import compare_latency
from models.manifest import read_manifest, sha256_file, write_manifest
from models.runner import open_runner


def compress(run: Path, data: Path, *more: str) -> int:
    # networks as small as these take a tenth of a millisecond, and a busy machine's clock is no witness to that
    words = ["--calibrate-on", "40", "--min-pictures", "20", "--max-slowdown", "50", *more]
    return tidegate.main(["compress", str(run), "--data", str(data), *words])


def test_the_manifest_the_report_and_the_table_agree(
    trained_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compress(trained_run, pictures, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    manifest, report = read_manifest(trained_run), read_report(trained_run)
    assert manifest.chosen == printed["chosen"] == report["gate"]["chosen"]
    assert [row["name"] for row in report["variants"]] == ["fp32", "w8", "fp16", "int8"]
    for row, shown in zip(report["variants"], printed["variants"], strict=True):
        variant = manifest.variant(row["name"])
        assert row["bytes"] == shown["bytes"] == variant.bytes == (trained_run / variant.file).stat().st_size
        assert row["accuracy"] == shown["accuracy"] == variant.accuracy
        assert row["p50_ms"] == next(iter(variant.latency_ms.values()))
        assert variant.sha256 == sha256_file(trained_run / variant.file)
        assert row["reasons"]
    assert [row["name"] for row in report["variants"] if row["chosen"]] == [manifest.chosen]
    assert "training" in report
    assert (trained_run / "variants.png").stat().st_size > 10_000


def test_golden_frames_hold_the_answers_of_every_variant(trained_run: Path, pictures: Path) -> None:
    assert compress(trained_run, pictures) == 0
    golden, manifest = read_golden(trained_run), read_manifest(trained_run)
    assert set(golden.answers) == {"fp32", "w8", "fp16", "int8"}
    for variant in golden.answers:
        assert replay(golden, variant, open_runner(trained_run, manifest, variant)) == []


def test_compressing_again_changes_nothing_but_the_figures(trained_run: Path, pictures: Path) -> None:
    assert compress(trained_run, pictures) == 0
    before = sha256_file(trained_run / "model.int8.onnx")
    assert compress(trained_run, pictures) == 0
    assert sha256_file(trained_run / "model.int8.onnx") == before
    assert len(read_manifest(trained_run).variants) == 4


@pytest.mark.parametrize("command", ["compress", "evaluate"])
def test_a_model_that_was_touched_is_neither_measured_nor_entered_as_it_is(
    trained_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with (trained_run / "model.onnx").open("ab") as file:
        file.write(b"x\n")  # an unknown field to protobuf: onnxruntime loads it all the same
    before = read_manifest(trained_run)
    assert tidegate.main([command, str(trained_run), "--data", str(pictures)]) == 1
    error = capsys.readouterr().err
    assert "model.onnx is not the file that the manifest describes" in error
    assert error.count("\n") == 1
    assert read_manifest(trained_run) == before


def test_a_run_without_golden_frames_is_refused_by_its_own_name(
    trained_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(trained_run / "golden")
    assert compress(trained_run, pictures) == 1
    assert str(trained_run / "golden" / "golden.json") in capsys.readouterr().err


def test_a_seed_that_is_none_is_named(trained_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(trained_run, replace(read_manifest(trained_run), lineage={"seed": "three"}))
    assert compress(trained_run, pictures) == 1
    assert "lineage's seed must be a whole number from 0 on, got 'three'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["{run}", "--data", "absent"], 1, "absent is not a folder"),
        (["absent", "--data", "{pictures}"], 1, "absent holds no manifest.json"),
        (["{run}", "--data", "{pictures}", "--margin", "-1"], 2, "need 0 <= accuracy margin"),
        (["{run}", "--data", "{pictures}", "--calibrate-on", "0"], 2, "--calibrate-on must be at least 1"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    trained_run: Path,
    pictures: Path,
    words: list[str],
    code: int,
    complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(trained_run.iterdir()), read_manifest(trained_run)
    assert tidegate.main(["compress", *(word.format(run=trained_run, pictures=pictures) for word in words)]) == code
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert (sorted(trained_run.iterdir()), read_manifest(trained_run)) == before


def test_latencies_are_measured_in_turns() -> None:
    order: list[str] = []
    figures = compare_latency({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=3, warm_up=0)
    assert order == ["b", "a", "a", "b", "b", "a"]
    assert all(0 <= latency.p50_ms <= latency.p95_ms for latency in figures.values())


def test_a_few_pictures_prove_nothing(trained_run: Path, pictures: Path) -> None:
    assert compress(trained_run, pictures, "--min-pictures", "25") == 0
    manifest, report = read_manifest(trained_run), read_report(trained_run)
    assert (manifest.chosen, manifest.fallback) == ("fp32", None)
    for row in report["variants"][1:]:
        assert any("24 pictures show nothing" in reason for reason in row["reasons"])


def test_weights_alone_are_the_fallback_and_the_gates_word_is_in_the_manifest(
    trained_run: Path, pictures: Path
) -> None:
    assert compress(trained_run, pictures) == 0
    manifest = read_manifest(trained_run)
    assert manifest.fallback == "w8"
    assert manifest.variant("w8").weights_only
    assert manifest.gate["variants"]["w8"]["accepted"]
    assert manifest.gate["pictures"] == 24


def test_pictures_without_labels_are_judged_by_agreement(trained_run: Path, pictures: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for index, path in enumerate(sorted(pictures.rglob("*.png"))):
        shutil.copy(path, flat / f"{index:03d}.png")
    assert compress(trained_run, flat) == 0
    report = read_report(trained_run)
    assert report["gate"]["metric"] == "agreement with fp32"
    assert report["variants"][0]["accuracy"] == 1.0


@pytest.mark.real
@pytest.mark.soak
def test_a_real_detector_goes_through_the_gate(shared_data: Path, tmp_path: Path) -> None:
    models, run = shared_data / "models", tmp_path / "coco"
    words = ["import", str(models / "yolox_nano.onnx"), "--adapter", "yolox", "--name", "coco", "--out", str(run)]
    assert tidegate.main([*words, "--labels", str(models / "coco.names")]) == 0
    few = ["--calibrate-on", "12", "--minutes", "0", "--min-pictures", "30"]
    assert tidegate.main(["compress", str(run), "--data", str(shared_data / "coco128"), *few]) == 0
    full, w8, _, small = read_report(run)["variants"]
    # what plain int8 costs this detector is known (shared data's README): the gate must not let it through
    assert small["accuracy"] < full["accuracy"] - 0.01
    assert not small["accepted"]
    assert w8["bytes"] < 0.3 * full["bytes"]
    assert read_manifest(run).chosen != "int8"
