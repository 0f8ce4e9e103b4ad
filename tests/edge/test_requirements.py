"""What `pip install "tidegate[edge]"` brings to a gateway, and no more."""

import tomllib
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tidegate

GATEWAYS = {
    "awsiotsdk",
    "lap",
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "paho-mqtt",
    "prometheus-client",
    "protobuf",
    "tuf",
    "zstandard",
}
WHAT_THEY_NEED = {"awscrt", "flatbuffers", "packaging", "securesystemslib", "urllib3"}


def test_a_gateway_installs_what_it_uses_and_nothing_else() -> None:
    project = tomllib.loads((Path(tidegate.__file__).parent / "pyproject.toml").read_text())["project"]
    named = {_name(text) for text in [*project["dependencies"], *project["optional-dependencies"]["edge"]]}
    assert named <= GATEWAYS
    assert _closure(named) <= GATEWAYS | WHAT_THEY_NEED


def _closure(names: set[str]) -> set[str]:
    """These and all that they depend on, by what is installed here."""
    reached: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        needed = [Requirement(text) for text in requires(name) or []]
        now = {canonicalize_name(r.name) for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})}
        waiting |= now - reached
    return reached


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)
