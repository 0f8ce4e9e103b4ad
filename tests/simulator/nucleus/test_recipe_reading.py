"""How a nucleus lite reads recipes."""

from pathlib import Path
from typing import Any

import pytest

from models.errors import DeployError
from simulator.nucleus.personality import JAVA
from simulator.nucleus.recipe import Variables, interpolate, read_recipe

LITE = {"os": "linux", "architecture": "amd64", "runtime": "aws_nucleus_lite"}
VARIABLES = Variables(
    artifacts=Path("/r/a"),
    decompressed=Path("/r/d"),
    work=Path("/r/w"),
    root=Path("/r"),
    thing="line-1",
    configuration={"python": "/usr/bin/python3", "n": 60, "deep": {"x": True}},
)


def recipe(*manifests: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "a.b",
        "ComponentVersion": "1.0.0",
        "Manifests": list(manifests),
        **more,
    }


def manifest(script: str = "exec true", **platform: str) -> dict[str, Any]:
    return {"Platform": {"runtime": "*", **platform}, "Lifecycle": {"run": {"Script": script}}}


@pytest.mark.parametrize(
    ("platform", "fits"),
    [
        ({"os": "linux", "runtime": "*"}, True),
        ({"os": "linux", "runtime": "aws_nucleus_lite"}, True),
        ({"os": "linux", "runtime": "*", "architecture": "amd64"}, True),
        ({"os": "all", "runtime": "*"}, True),
        ({"os": "linux"}, False),  # lite takes no manifest without a runtime
        ({}, False),
        ({"os": "windows", "runtime": "*"}, False),
        ({"os": "linux", "runtime": "*", "architecture": "/amd64|x86/"}, False),  # expressions are Java's
    ],
)
def test_a_manifest_is_chosen_by_platform(platform: dict[str, str], fits: bool) -> None:
    document = recipe({"Platform": platform, "Lifecycle": {"run": "exec true"}})
    if fits:
        assert read_recipe(document, LITE).steps["run"].script == "exec true"
    else:
        with pytest.raises(DeployError, match=r"recipe of a\.b 1\.0\.0: no manifest fits this device"):
            read_recipe(document, LITE)


def test_the_first_manifest_that_fits_wins() -> None:
    document = recipe(manifest("wrong", os="darwin"), manifest("right"), manifest("late"))
    assert read_recipe(document, LITE).steps["run"].script == "right"


def test_steps_have_their_timeouts_and_the_environment_of_all() -> None:
    lifecycle = {
        "Setenv": {"A": "1", "B": "1"},
        "install": {"Script": "pip", "Timeout": 900},
        "startup": {"Script": "up", "Timeout": 60},
        "run": {"Script": "go", "Setenv": {"B": "2"}},
        "shutdown": "lite knows no shutdown",
    }
    read = read_recipe(recipe({"Platform": {"runtime": "*"}, "Lifecycle": lifecycle}), LITE)
    assert {name: step.timeout_s for name, step in read.steps.items()} == {"install": 300, "startup": 60, "run": None}
    assert read.steps["run"].environment == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("permission", "mode"),
    [
        (None, 0o755),
        ({"Read": "ALL"}, 0o444),
        ({"Read": "OWNER", "Execute": "OWNER"}, 0o500),
        ({"Read": "ALL", "Execute": "ALL"}, 0o555),
    ],
)
def test_permissions_become_mode_bits(permission: dict[str, str] | None, mode: int) -> None:
    item: dict[str, Any] = {"Uri": "s3://b/k/package.zip", "Digest": "x", "Algorithm": "SHA-256", "Unarchive": "ZIP"}
    if permission is not None:
        item["Permission"] = permission
    (artifact,) = read_recipe(recipe({**manifest(), "Artifacts": [item]}), LITE).artifacts
    assert (artifact.mode, artifact.file_name, artifact.unzip) == (mode, "package.zip", True)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "must be a JSON object"),
        ({"ComponentName": "a"}, "needs ComponentName and ComponentVersion"),
        (recipe(manifest(), RecipeFormatVersion="2021"), "RecipeFormatVersion must be 2020-01-25, got '2021'"),
        (recipe(manifest(), ComponentConfiguration=[]), "ComponentConfiguration must be an object, got list"),
        (recipe({**manifest(), "Artifacts": [{"Uri": "s3://b/k"}]}), "artifact s3://b/k needs a SHA-256 Digest"),
        (recipe({**manifest(), "Artifacts": ["s3://b/k"]}), "an artifact needs a Uri"),
        (recipe({"Platform": {"runtime": "*"}, "Lifecycle": {"run": {}}}), "Lifecycle.run needs a Script"),
        (recipe(), "no manifest fits"),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line(document: object, message: str) -> None:
    with pytest.raises(DeployError, match=message) as refusal:
        read_recipe(document, LITE)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{artifacts:path} {artifacts:decompressedPath} {work:path}", "/r/a /r/d /r/w"),
        ("{kernel:rootPath} {iot:thingName}", "/r line-1"),
        ("{configuration:/python} {configuration:/n} {configuration:/deep}", '/usr/bin/python3 60 {"x": true}'),
        ("{configuration:/deep/x}", "true"),
        ('${HOME} ${A:-b} {} {a} {"a": 1} { x:y }', '${HOME} ${A:-b} {} {a} {"a": 1} { x:y }'),  # the shell's own
    ],
)
def test_variables_are_replaced(text: str, expected: str) -> None:
    assert interpolate(text, VARIABLES) == expected


@pytest.mark.parametrize("text", ["echo ${HOME}", "case {} in", '{"a": 1}', "{work:path} {"])
def test_every_brace_is_a_variable_to_lite(text: str) -> None:
    with pytest.raises(DeployError, match="takes every brace for one"):
        interpolate(text, VARIABLES, every_brace_counts=True)


def test_lite_gives_an_install_the_same_time_whatever_the_recipe_says() -> None:
    lifecycle = {"run": {"Script": "exec true"}, "install": {"Script": "x", "Timeout": 1800}}
    document = recipe({"Platform": {"runtime": "*"}, "Lifecycle": lifecycle})
    assert read_recipe(document, LITE).steps["install"].timeout_s == 300
    assert read_recipe(document, LITE, JAVA).steps["install"].timeout_s == 1800


@pytest.mark.parametrize(
    "text", ["{other.Component:artifacts:path}", "{artifacts:other}", "{configuration:/none}", "{iot:name}"]
)
def test_a_variable_that_lite_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(DeployError, match="recipe variable"):
        interpolate(text, VARIABLES)
