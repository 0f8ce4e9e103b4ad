"""The gateways' videos, keys and releases (tests/edge/conftest.py), for stories too; and an arm64 machine, where
`make arm64` has made one."""

import os
from pathlib import Path

import pytest

import tidegate
from simulator.arm64_root import PYTHON
from tests.edge.conftest import eventually, keys, make_release, make_video, trust

__all__ = ["eventually", "keys", "make_release", "make_video", "trust"]

ROOT = Path(os.environ.get("TIDEGATE_ARM64", Path(tidegate.__file__).resolve().parent / ".arm64"))


@pytest.fixture
def arm64_python() -> Path:
    """A command that takes what Python takes and is an arm64 Python."""
    python = ROOT / PYTHON
    if not (ROOT / "built").is_file():
        pytest.skip(f"no qemu-aarch64 and arm64 root in {ROOT}: `make arm64` makes both")
    return python
