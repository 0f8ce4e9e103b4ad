"""A run folder is whole or not there."""

import json
from pathlib import Path

import pytest

from cloud.run_folder import add_variant, edit_run, new_run, read_report, variant_file, write_report
from models.errors import PackageError, UsageError
from models.manifest import InputSpec, Manifest, read_manifest, write_manifest


def a_manifest(name: str = "parts") -> Manifest:
    return Manifest(name=name, task="classification", labels=("good", "defect"), input=InputSpec(8, 8))


def make_run(out: Path, name: str = "parts") -> None:
    with new_run(out, name=name) as draft:
        write_manifest(draft, a_manifest(name))


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PackageError), new_run(tmp_path / "out", name="parts") as draft:
        add_variant(draft, "fp32", "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_run_appears_whole(tmp_path: Path) -> None:
    make_run(tmp_path / "deep" / "out")
    assert read_manifest(tmp_path / "deep" / "out") == a_manifest()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_a_later_run_of_the_same_model_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    make_run(tmp_path / "out")
    (tmp_path / "out" / "old.png").touch()
    make_run(tmp_path / "out")
    assert not (tmp_path / "out" / "old.png").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UsageError, match="in use and is no run folder"):
        make_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_models_run_is_replaced_only_by_force(tmp_path: Path) -> None:
    make_run(tmp_path / "out", "parts")
    with pytest.raises(UsageError, match="'parts', not 'trash'"):
        make_run(tmp_path / "out", "trash")
    with new_run(tmp_path / "out", name="trash", force=True) as draft:
        write_manifest(draft, a_manifest("trash"))
    assert read_manifest(tmp_path / "out").name == "trash"


def test_an_edit_that_fails_changes_nothing(tmp_path: Path) -> None:
    make_run(tmp_path / "out")
    with pytest.raises(PackageError), edit_run(tmp_path / "out") as draft:
        add_variant(draft, "int8", "model.int8.onnx")
    assert read_report(tmp_path / "out") == {}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_variant_is_entered_with_its_digest_and_size(tmp_path: Path) -> None:
    make_run(tmp_path / "out")
    with edit_run(tmp_path / "out") as draft:
        (draft / "model.onnx").write_bytes(b"abc")
        add_variant(draft, "fp32", "model.onnx", accuracy=0.5, latency_ms={"x86_64": 1.0})
    variant = read_manifest(tmp_path / "out").variant("fp32")
    assert (variant.bytes, variant.sha256[:8], variant.accuracy) == (3, "ba7816bf", 0.5)


def test_a_variant_without_its_file_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "out")
    with pytest.raises(PackageError, match="is missing"):
        add_variant(tmp_path / "out", "int8", variant_file("int8"))


def test_a_report_keeps_what_it_is_not_told_about(tmp_path: Path) -> None:
    write_report(tmp_path, {"training": {"seed": 1}, "gate": 1})
    write_report(tmp_path, {"gate": {"accuracy": float("nan")}})
    assert json.loads((tmp_path / "report.json").read_text()) == {"training": {"seed": 1}, "gate": {"accuracy": None}}
