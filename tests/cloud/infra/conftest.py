"""The stack's template, made once."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tidegate import main


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("aws_cdk") is None:  # to import it would start whichever Node is on PATH
        pytest.skip("needs the extra `infra` (make infra)")
    out = tmp_path_factory.mktemp("infra")
    assert main(["infra", "synth", "--out", str(out), "--email", "ops@example.com", "--shards", "2"]) == 0
    return out / "tidegate.template.json"


@pytest.fixture(scope="session")
def template(template_file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(template_file.read_text())
    return document
