"""Where a model comes from, for its manifest: what is needed to make it again, or to know why it can't be."""

import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = ("numpy", "onnx", "onnxruntime", "opencv-python-headless", "torch")


def lineage_of_tools() -> dict[str, Any]:
    """The revision of this code, the versions of the libraries that matter, and the time."""
    return {
        "code": code_revision(),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def code_revision() -> str:
    """`git describe` of the checkout this runs from ("-dirty" when it was edited), else the installed version."""
    checkout = Path(__file__).parents[1]
    if not (checkout / ".git").exists():
        # installed into an environment, which may well lie in a checkout of something else
        return _version("tidegate") or "unknown"
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return _version("tidegate") or "unknown"
    return described.stdout.strip()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
