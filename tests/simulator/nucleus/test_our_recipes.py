"""Our recipes, as they were released, are taken unchanged by both nuclei on every platform."""

import json
from pathlib import Path

import pytest

from simulator.nucleus.personality import JAVA, LITE, Personality
from simulator.nucleus.recipe import Variables, interpolate, read_recipe

RECIPES = sorted((Path(__file__).parents[2] / "golden" / "recipes").glob("*.json"))
VARIABLES = Variables(
    artifacts=Path("/root/artifacts"),
    decompressed=Path("/root/unpacked"),
    work=Path("/root/work"),
    root=Path("/root"),
    thing="line-1",
    configuration={},
)


@pytest.mark.parametrize("personality", [LITE, JAVA], ids=lambda personality: personality.name)
@pytest.mark.parametrize("architecture", ["amd64", "aarch64"])
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_taken_and_every_script_can_be_run(path: Path, architecture: str, personality: Personality) -> None:
    document = json.loads(path.read_bytes())
    for artifact in (artifact for manifest in document["Manifests"] for artifact in manifest["Artifacts"]):
        artifact["Digest"] = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # which the control plane adds
    attributes = {"os": "linux", "architecture": architecture, "runtime": personality.runtime}

    recipe = read_recipe(document, attributes, personality)

    assert "run" in recipe.steps
    assert {artifact.mode for artifact in recipe.artifacts} == {0o444}
    for step in recipe.steps.values():
        for text in (step.script, *step.environment.values()):
            done = interpolate(text, VARIABLES, every_brace_counts=personality.every_brace_counts)
            assert "{" not in done
            assert "/root/" in done or text == done
