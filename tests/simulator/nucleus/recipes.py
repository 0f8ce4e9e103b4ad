"""Small recipes to deploy."""

from collections.abc import Mapping
from typing import Any


def recipe(
    name: str, script: str, *, version: str = "1.0.0", configuration: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A recipe whose `run` is this script; `more` are other steps of its lifecycle, or Artifacts."""
    artifacts = more.pop("Artifacts", [])
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "ComponentConfiguration": {"DefaultConfiguration": dict(configuration or {})},
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Lifecycle": {**({"run": {"Script": script}} if script else {}), **more},
                "Artifacts": artifacts,
            }
        ],
    }
