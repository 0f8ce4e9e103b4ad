"""Recipes say what both nuclei understand, and say it the same way in every release."""

import copy
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greengrass.recipe import (
    MAX_BYTES,
    artifact_uris,
    check_format,
    check_recipe,
    gateway_recipe,
    model_recipe,
    recipe_bytes,
    with_artifact_uris,
)
from models.errors import DeployError

GOLDEN = Path(__file__).parent.parent / "golden" / "recipes"
CONFIGURATION = {
    "model": "coco",
    "window_s": 60.0,
    "cameras": [{"name": "belt", "uri": "http://127.0.0.1:8000/{gateway}", "numbered": True}],
}
RECIPES = {
    "model": model_recipe("coco", 7, artifact_uri="s3://bucket/tidegate.Model.coco/7.0.0/package.zip"),
    "gateway": gateway_recipe(
        "0.1.0",
        configuration=CONFIGURATION,
        python="/usr/bin/python3",
        artifact_uri="s3://bucket/tidegate.Gateway/0.1.0/tidegate.zip",
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_what_it_was_when_it_was_released(name: str) -> None:
    """Set TIDEGATE_REWRITE_GOLDEN=1 to take the present recipes as right."""
    path = GOLDEN / f"{name}.json"
    if os.environ.get("TIDEGATE_REWRITE_GOLDEN"):
        path.write_bytes(recipe_bytes(RECIPES[name]))

    assert recipe_bytes(RECIPES[name]) == path.read_bytes()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_recipe_released_keeps_the_rules(path: Path) -> None:
    check_recipe(json.loads(path.read_bytes()))


def test_artifacts_can_be_put_elsewhere_without_touching_the_recipe() -> None:
    original = copy.deepcopy(RECIPES["model"])

    moved = with_artifact_uris(RECIPES["model"], {"package.zip": "s3://other/p.zip"})

    assert artifact_uris(moved) == ["s3://other/p.zip"]
    assert RECIPES["model"] == original
    check_recipe(moved)


def _manifest(recipe: dict[str, Any]) -> dict[str, Any]:
    manifest: dict[str, Any] = recipe["Manifests"][0]
    return manifest


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Change the recipe's first manifest at a path such as `Lifecycle/run/Timeout`; None deletes."""

    def change(recipe: dict[str, Any]) -> None:
        at: Any = _manifest(recipe)
        *parents, last = path.split("/")
        for key in parents:
            at = at[int(key)] if isinstance(at, list) else at[key]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return change


def _top(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda recipe: recipe.update({key: value})


BROKEN: list[tuple[str, Callable[[dict[str, Any]], None]]] = [
    # what Greengrass' service itself refuses
    (r"RecipeFormatVersion must be '2020-01-25', got '2021-01-01'", _top("RecipeFormatVersion", "2021-01-01")),
    (r"ComponentName must be .* got 'a b'", _top("ComponentName", "a b")),
    (r"ComponentVersion must be like 1.2.3.* got '1.0'", _top("ComponentVersion", "1.0")),
    (r"ComponentVersion must be .* got '1.0.0\+build'", _top("ComponentVersion", "1.0.0+build")),
    (r"Manifests must be a list", _top("Manifests", [])),
    (rf"at most {MAX_BYTES}", _top("ComponentDescription", "x" * MAX_BYTES)),
    # what nucleus lite does not know, or reads otherwise
    (r"unknown key 'componentDescription'", _top("componentDescription", "x")),
    (r'needs "runtime": "\*"', _set("Platform/runtime", None)),
    (r"regular expressions work on the Java nucleus only", _set("Platform/architecture", "/arm|aarch64/")),
    (r"Lifecycle.shutdown is not known to both", _set("Lifecycle/shutdown", "true")),
    (r"Lifecycle.recover is not known to both", _set("Lifecycle/recover", "true")),
    (r"Skipif is not known to both", _set("Lifecycle/run/Skipif", "onpath python3")),
    (r"either a run or a startup", _set("Lifecycle", {"install": "true"})),
    (r"either a run or a startup", _set("Lifecycle", {"startup": "true", "run": "exec true"})),
    (r"needs a Lifecycle", _set("Lifecycle", None)),
    (r"variable \{other:artifacts:path\}", _set("Lifecycle/run/Script", "exec {other:artifacts:path}/x")),
    (r"variable \{artifacts:where\}", _set("Lifecycle/run/Setenv", {"A": "{artifacts:where}"})),
    # what would run, but not as meant
    (r"must end in `exec PROGRAM`", _set("Lifecycle/run/Script", "python3 -m x")),
    (r"needs a Script", _set("Lifecycle/run", {"Timeout": 3})),
    (r"Timeout must be .* got 0", _set("Lifecycle/run/Timeout", 0)),
    (r"Timeout must be .* got '60'", _set("Lifecycle/run/Timeout", "60")),
    (r"Setenv must hold strings", _set("Lifecycle/run/Setenv", {"A": 1})),
    (r'needs Permission "Read": "ALL"', _set("Artifacts/0/Permission", {"Read": "OWNER"})),
    (r"Unarchive must be NONE or ZIP", _set("Artifacts/0/Unarchive", "TAR")),
    (r"needs a Uri like s3://", _set("Artifacts/0/Uri", "https://example.org/a.zip")),
    # what breaks a roll-out in rings
    (
        r"must not depend on tidegate.Model.coco",
        _top("ComponentDependencies", {"tidegate.Model.coco": {"VersionRequirement": "*", "DependencyType": "SOFT"}}),
    ),
    (r"needs a VersionRequirement", _top("ComponentDependencies", {"other": {"DependencyType": "HARD"}})),
    (
        r"allows everything",
        _top(
            "ComponentConfiguration",
            {"DefaultConfiguration": {"accessControl": {"s": {"p": {"operations": ["*"], "resources": ["a"]}}}}},
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("said", "change"), BROKEN, ids=[said for said, _ in BROKEN])
def test_a_recipe_that_breaks_a_rule_is_refused_by_name(said: str, change: Callable[[dict[str, Any]], None]) -> None:
    recipe = copy.deepcopy(RECIPES["gateway"])
    change(recipe)

    with pytest.raises(DeployError, match=said):
        check_recipe(recipe)


@pytest.mark.parametrize("key", ["RecipeFormatVersion", "ComponentName", "ComponentVersion", "Manifests"])
def test_a_missing_key_is_named(key: str) -> None:
    recipe = {name: value for name, value in RECIPES["model"].items() if name != key}

    with pytest.raises(DeployError, match=f"recipe lacks {key}"):
        check_format(recipe)


@pytest.mark.parametrize("recipe", [None, [], "text", 3])
def test_what_is_no_object_is_no_recipe(recipe: object) -> None:
    with pytest.raises(DeployError, match="a recipe is a JSON object"):
        check_recipe(recipe)


def test_the_models_script_points_at_the_package_and_stays_until_it_is_told_to_go(tmp_path: Path) -> None:
    script = RECIPES["model"]["Manifests"][0]["Lifecycle"]["run"]["Script"]
    for variable, folder in (("artifacts:decompressedPath", "new version"), ("work:path", "work")):
        (tmp_path / folder).mkdir()
        script = script.replace(f"{{{variable}}}", str(tmp_path / folder))
    pointer = tmp_path / "work" / "pointer"
    pointer.write_text("/old/package\n")

    process = subprocess.Popen(["sh", "-c", script])
    try:
        deadline = time.monotonic() + 20
        while pointer.read_text() == "/old/package\n" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert pointer.read_text() == f"{tmp_path}/new version/package\n"
        assert [path.name for path in pointer.parent.iterdir()] == ["pointer"]
        assert process.poll() is None
    finally:
        process.terminate()
    assert process.wait(5) == -signal.SIGTERM


def test_the_models_script_fails_where_it_cannot_write(tmp_path: Path) -> None:
    script = RECIPES["model"]["Manifests"][0]["Lifecycle"]["run"]["Script"]

    ended = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, timeout=10)

    assert ended.returncode == 1
