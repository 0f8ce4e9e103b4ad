"""Each rule that a recipe must keep, the recipe that breaks it, and the one line that is said of it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from greengrass.recipe import RuntimeVersion, gateway_recipe, model_recipe
from greengrass.recipe_rules import MAX_BYTES, check_format, check_recipe
from models.errors import DeployError

Change = Callable[[dict[str, Any]], None]

RUNTIME = RuntimeVersion("1.31.100000", "venv-0123456789ab")
RECIPE = gateway_recipe("0.1.0", configuration={"model": "coco"}, python=RUNTIME, artifact_uri="s3://b/c/tidegate.zip")


def _set(path: str, value: Any) -> Change:
    """Change the recipe's first manifest at a path such as `Lifecycle/run/Timeout`; None deletes."""

    def change(recipe: dict[str, Any]) -> None:
        at: Any = recipe["Manifests"][0]
        *parents, last = path.split("/")
        for key in parents:
            at = at[int(key)] if isinstance(at, list) else at[key]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return change


def _top(key: str, value: Any) -> Change:
    return lambda recipe: recipe.update({key: value})


def _dependency(name: str, version: str | None, kind: str | None) -> Change:
    rule = {"VersionRequirement": version, "DependencyType": kind}
    given = {key: value for key, value in rule.items() if value is not None}
    return _top("ComponentDependencies", {name: given})


def _access(**rule: list[str]) -> Change:
    return _top("ComponentConfiguration", {"DefaultConfiguration": {"accessControl": {"s": {"p": rule}}}})


def _configuration(content: dict[str, Any]) -> Change:
    return _top("ComponentConfiguration", {"DefaultConfiguration": content})


def _run(script: str) -> Change:
    return _set("Lifecycle/run/Script", script)


def _two_manifests(recipe: dict[str, Any]) -> None:
    second = copy.deepcopy(recipe["Manifests"][0])
    second["Platform"]["architecture"] = "aarch64"
    recipe["Manifests"].append(second)


RULES: list[tuple[str, str, Change]] = [
    # what Greengrass' service itself refuses
    ("format", r"RecipeFormatVersion must be '2020-01-25', got", _top("RecipeFormatVersion", "2021-01-01")),
    ("name", r"ComponentName must be .* got 'a b'", _top("ComponentName", "a b")),
    ("name's length", r"ComponentName must be 1\.\.128", _top("ComponentName", "x" * 129)),
    ("version", r"ComponentVersion must be like 1.2.3.* got '1.0'", _top("ComponentVersion", "1.0")),
    ("build metadata", r"ComponentVersion must be .* got '1.0.0\+build'", _top("ComponentVersion", "1.0.0+build")),
    ("a manifest", r"Manifests must be a list", _top("Manifests", [])),
    ("size", rf"at most {MAX_BYTES}", _top("ComponentPublisher", "x" * MAX_BYTES)),
    # keys are case-sensitive on lite
    ("case of a key", r"'componentDescription' was unexpected.*case-sensitive", _top("componentDescription", "x")),
    ("case of a step's key", r"Lifecycle.run: .*'script' was unexpected", _set("Lifecycle/run/script", "true")),
    ("case of an artifact's key", r"Artifacts\[0\]: .*'unarchive' was", _set("Artifacts/0/unarchive", "ZIP")),
    # platforms
    ("runtime", r'Platform: \'runtime\' is a required .*"runtime": "\*"', _set("Platform/runtime", None)),
    ("runtime of one nucleus", r"runtime: '\*' was expected", _set("Platform/runtime", "aws_nucleus_lite")),
    ("regular expression", r"architecture: .*on the Java nucleus only", _set("Platform/architecture", "/arm|aarch64/")),
    ("first match wins", r"Manifests\[1\] is never reached: .*Manifests\[0\] fits wherever", _two_manifests),
    # steps
    ("no shutdown", r"'shutdown' was unexpected.*steps that both", _set("Lifecycle/shutdown", {"Script": "true"})),
    ("no recover", r"'recover' was unexpected.*steps that both", _set("Lifecycle/recover", {"Script": "true"})),
    ("no Skipif", r"'Skipif' was unexpected", _set("Lifecycle/run/Skipif", "onpath python3")),
    ("install only", r"either a run or a startup", _set("Lifecycle", {"install": {"Script": "true"}})),
    (
        "run and startup",
        r"either a run or a startup",
        _set("Lifecycle", {"startup": {"Script": "true"}, "run": {"Script": "exec true"}}),
    ),
    ("a lifecycle", r"'Lifecycle' is a required property", _set("Lifecycle", None)),
    ("startup on systemd 252", r"systemd-notify", _set("Lifecycle", {"startup": {"Script": "daemon &"}})),
    ("exec", r"must end in `exec PROGRAM`", _run("python3 -m x")),
    ("a script", r"'Script' is a required property", _set("Lifecycle/run", {"Timeout": 3})),
    ("time-out above 0", r"Timeout: 0 is less than .*seconds above 0", _set("Lifecycle/run/Timeout", 0)),
    ("time-out as YAML has it on lite", r"Timeout: '60' is not of type", _set("Lifecycle/run/Timeout", "60")),
    ("environment", r"Setenv.*is not of type 'string'", _set("Lifecycle/run/Setenv", {"A": 1})),
    ("a blank in the environment", r"Setenv.*unquoted", _set("Lifecycle/run/Setenv", {"A": "one two"})),
    ("the shell in the environment", r"Setenv.*unquoted", _set("Lifecycle/run/Setenv", {"A": "$HOME"})),
    ("a line of a unit file", r"ComponentDescription: .*unit file", _top("ComponentDescription", "one\ntwo")),
    ("name in the environment", r"'A-B' does not match", _set("Lifecycle/run/Setenv", {"A-B": "1"})),
    ("no privileges", r"RequiresPrivilege: .*without privileges", _set("Lifecycle/run/RequiresPrivilege", True)),
    # variables: lite takes every brace for one
    ("{dep:...}", r"\{other:artifacts:path\} is no variable that both", _run("exec {other:artifacts:path}/x")),
    ("unknown variable", r"\{artifacts:where\} is no", _set("Lifecycle/run/Setenv", {"A": "{artifacts:where}"})),
    ("the shell's braces", r"\{HOME\} is no variable", _run("exec ${HOME}/x")),
    ("a lone brace", r"\{ is no variable", _run("f() { true; }\nexec f")),
    ("configuration in a script", r"not escaped for the shell", _run("exec {configuration:/program}")),
    # artifacts
    ("readable", r"Read: 'ALL' was expected.*0440", _set("Artifacts/0/Permission", {"Read": "OWNER"})),
    ("a permission", r"'Permission' is a required", _set("Artifacts/0/Permission", None)),
    ("archives", r"'TAR' is not one of", _set("Artifacts/0/Unarchive", "TAR")),
    ("where", r"Uri: .*an artifact is at s3://", _set("Artifacts/0/Uri", "https://example.org/a.zip")),
    (
        "two of a name",
        r"two artifacts are called a.zip",
        _set("Artifacts", [{"Uri": f"s3://b/{key}/a.zip", "Permission": {"Read": "ALL"}} for key in "xy"]),
    ),
    # what lite hands on at once
    ("bytes of a configuration", r"has 9\d+ bytes, nucleus lite takes 9000", _configuration({"text": "x" * 9_000})),
    ("values of a configuration", r"has 200 values .* takes 190", _configuration({f"k{n}": n for n in range(100)})),
    # dependencies
    ("models", r"must not depend on tidegate.Model.coco", _dependency("tidegate.Model.coco", "*", "SOFT")),
    ("challengers", r"must not depend on tidegate.Challenger", _dependency("tidegate.Challenger.coco", "*", "HARD")),
    ("an exact version", r"other >=1.0.0: name one version", _dependency("other", ">=1.0.0", "HARD")),
    ("a requirement", r"'VersionRequirement' is a required", _dependency("other", None, "HARD")),
    ("a type: lite has no default", r"'DependencyType' is a required", _dependency("other", "1.0.0", None)),
    # least privilege
    ("all operations", r"allows everything", _access(operations=["*"], resources=["a"])),
    ("all resources", r"allows everything", _access(operations=["aws.greengrass#PublishToIoTCore"], resources=["*"])),
    ("no resources", r"'resources' is a required property", _access(operations=["aws.greengrass#PublishToIoTCore"])),
]  # fmt: skip


@pytest.mark.parametrize(("said", "change"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
def test_a_recipe_that_breaks_a_rule_is_refused_in_one_line(said: str, change: Change) -> None:
    recipe = copy.deepcopy(RECIPE)
    change(recipe)

    with pytest.raises(DeployError, match=said) as refused:
        check_recipe(recipe)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "change",
    [
        _set("Lifecycle", {"startup": {"Script": "daemon &\nsystemd-notify --ready || true\nexit 0"}}),
        _set("Platform/architecture", "aarch64"),
        _dependency("aws.greengrass.TokenExchangeService", ">=2.0.0", "HARD"),
        _run('[ -e "{work:path}/x" ] || exit 1\nexec "{kernel:rootPath}/bin/x" "{iot:thingName}" "$HOME"'),
    ],
)
def test_what_keeps_the_rules_passes(change: Change) -> None:
    recipe = copy.deepcopy(RECIPE)
    change(recipe)

    check_recipe(recipe)


@pytest.mark.parametrize("key", ["RecipeFormatVersion", "ComponentName", "ComponentVersion", "Manifests"])
def test_a_missing_key_is_named(key: str) -> None:
    recipe = {name: value for name, value in RECIPE.items() if name != key}

    with pytest.raises(DeployError, match=f"recipe lacks {key}"):
        check_format(recipe)


@pytest.mark.parametrize("recipe", [None, [], "text", 3])
def test_what_is_no_object_is_no_recipe(recipe: object) -> None:
    with pytest.raises(DeployError, match="a recipe is a JSON object"):
        check_recipe(recipe)


def test_a_models_recipe_depends_on_nothing() -> None:
    assert "ComponentDependencies" not in model_recipe("coco", 7, artifact_uri="s3://b/package.zip")
