"""Where a model comes from."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from cloud import lineage


def test_code_installed_inside_another_checkout_names_its_own_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setattr(lineage, "__file__", str(tmp_path / "venv" / "cloud" / "lineage.py"))

    assert lineage.code_revision() == version("tidegate")


def test_the_libraries_that_made_a_model_are_named() -> None:
    assert {"numpy", "onnx", "onnxruntime"} <= set(lineage.lineage_of_tools()["libraries"])
