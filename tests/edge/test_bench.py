"""What a device says of a model's variants."""

import json
import shutil
from pathlib import Path

import pytest

import tidegate
from cloud.run_folder import add_variant
from edge.bench import bench
from models.errors import PackageError
from models.golden import read_golden, record_golden, write_golden
from models.hardware import hardware_class
from models.manifest import read_manifest
from models.runner import open_runner


@pytest.fixture
def two_variants(colour_run: Path) -> Path:
    shutil.copy(colour_run / "model.onnx", colour_run / "model.w8.onnx")
    manifest = add_variant(colour_run, "w8", "model.w8.onnx")
    runners = {variant.name: open_runner(colour_run, manifest, variant.name) for variant in manifest.variants}
    write_golden(colour_run, record_golden(list(read_golden(colour_run).frames.values()), runners))
    return colour_run


def test_every_variant_is_measured_for_this_class_of_hardware(
    two_variants: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tidegate.main(["gateway", "bench", str(two_variants), "--seconds", "0.1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["name"], document["hardware"], document["runs"]) == ("colour", hardware_class(), "fp32")
    by_name = {variant["name"]: variant for variant in document["variants"]}
    assert set(by_name) == {"fp32", "w8"}
    for variant in read_manifest(two_variants).variants:
        row = by_name[variant.name]
        assert row["sha256"] == variant.sha256
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["differences"] == []
        assert row["error"] == ""


def test_a_variant_that_is_wrong_or_does_not_run_here_is_told_apart(two_variants: Path) -> None:
    answers = two_variants / "golden" / "golden.json"
    document = json.loads(answers.read_bytes())
    document["fp32"]["000.png"]["classes"] = [1]
    answers.write_text(json.dumps(document))
    (two_variants / "model.w8.onnx").write_bytes(b"no model")
    add_variant(two_variants, "w8", "model.w8.onnx")
    measured = bench(two_variants, budget_s=0.1)
    fp32, w8 = measured.variants
    assert (len(fp32.differences), fp32.error) == (2, "")
    assert "is not an ONNX model" in w8.error
    assert measured.runs == ""


def test_a_file_that_is_not_the_manifests_is_not_run(two_variants: Path) -> None:
    (two_variants / "model.w8.onnx").write_bytes(b"no model")
    with pytest.raises(PackageError, match="is not the file that the manifest describes"):
        bench(two_variants, budget_s=0.1)
