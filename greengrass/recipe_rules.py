"""The rules that a recipe must keep to be taken, and run as meant, by both nuclei.

What can be said of a recipe's form is in recipe.schema.json; the rest is here. Sources: measurements on nucleus lite
2.6, and the public source of both nuclei.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema

from greengrass.recipe import (
    FORMAT,
    MOST_CONFIGURATION_BYTES,
    MOST_CONFIGURATION_VALUES,
    OF_THE_NUCLEUS,
    Recipe,
    challenger_component,
    model_component,
    recipe_bytes,
    value_count,
)
from models.errors import DeployError

MAX_BYTES = 16_000
SCHEMA = Path(__file__).parent / "recipe.schema.json"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
_BRACE = re.compile(r"\{([^}\s]*)\}?")
_VARIABLES = (
    "artifacts:path",
    "artifacts:decompressedPath",
    "work:path",
    "kernel:rootPath",
    "iot:thingName",
)
_STARTUP_END = re.compile(r"systemd-notify --ready \|\| true\s*[;\n]\s*exit 0\s*$")


def check_format(recipe: object) -> Recipe:
    """The recipe, if it has what Greengrass' service demands of any; DeployError if not."""
    if not isinstance(recipe, dict):
        raise DeployError(f"a recipe is a JSON object, got {type(recipe).__name__}")
    for key in ("RecipeFormatVersion", "ComponentName", "ComponentVersion", "Manifests"):
        if key not in recipe:
            raise DeployError(f"recipe lacks {key}")
    if recipe["RecipeFormatVersion"] != FORMAT:
        raise DeployError(f"RecipeFormatVersion must be {FORMAT!r}, got {recipe['RecipeFormatVersion']!r}")
    name, version = recipe["ComponentName"], recipe["ComponentVersion"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DeployError(f"ComponentName must be 1..128 of A-Z a-z 0-9 - _ ., got {name!r}")
    if not isinstance(version, str) or len(version) > 64 or not _VERSION.fullmatch(version):
        raise DeployError(f"{name}: ComponentVersion must be like 1.2.3 or 1.2.3-rc1, got {version!r}")
    manifests = recipe["Manifests"]
    if not isinstance(manifests, list) or not manifests or not all(isinstance(item, dict) for item in manifests):
        raise DeployError(f"{name}: Manifests must be a list of at least one manifest")
    size = len(recipe_bytes(recipe))
    if size > MAX_BYTES:
        raise DeployError(f"{name}: the recipe has {size} bytes, at most {MAX_BYTES} are allowed")
    return recipe


def check_recipe(recipe: object) -> None:
    """Refuse, by DeployError, a recipe that one of the two nuclei would not take or not run as meant."""
    checked = check_format(recipe)
    name = checked["ComponentName"]
    _check_schema(checked, name)
    manifests = checked["Manifests"]
    for index, manifest in enumerate(manifests):
        where = f"{name}: Manifests[{index}]"
        _check_reached(manifest["Platform"], [earlier["Platform"] for earlier in manifests[:index]], where)
        _check_steps(manifest["Lifecycle"], f"{where}.Lifecycle")
        for text in _strings(manifest["Lifecycle"]):
            _check_braces(text, f"{where}.Lifecycle")
        _check_file_names(manifest.get("Artifacts", []), where)
    for other, rule in checked.get("ComponentDependencies", {}).items():
        _check_dependency(other, rule["VersionRequirement"], name)
    configuration = checked.get("ComponentConfiguration", {}).get("DefaultConfiguration", {})
    _check_configuration(configuration, name)
    for service, policies in configuration.get("accessControl", {}).items():
        for policy, rule in policies.items():
            if "*" in rule["operations"] or "*" in rule["resources"]:
                raise DeployError(f"{name}: accessControl {service} {policy} allows everything; name what is needed")


def _check_schema(recipe: Recipe, name: str) -> None:
    error = jsonschema.exceptions.best_match(_validator().iter_errors(recipe))
    if error is not None:
        path = error.json_path.removeprefix("$").removeprefix(".")
        said = error.message if len(error.message) < 200 else f"{error.message[:200]}..."
        hint = error.schema.get("description") if isinstance(error.schema, Mapping) else None
        where = f"{name}: {path}" if path else name
        raise DeployError(f"{where}: {said}{f'; {hint}' if hint else ''}")


@functools.cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))


def _check_reached(platform: Mapping[str, str], earlier: list[Mapping[str, str]], where: str) -> None:
    for index, other in enumerate(earlier):
        if all(value in ("*", platform.get(key)) for key, value in other.items()):
            raise DeployError(
                f"{where} is never reached: the first that fits is taken, and Manifests[{index}] fits wherever it does"
            )


def _check_steps(lifecycle: Mapping[str, Any], where: str) -> None:
    if ("run" in lifecycle) == ("startup" in lifecycle):
        raise DeployError(f"{where} needs either a run or a startup: nucleus lite hangs on a component without")
    if "run" in lifecycle:
        last = lifecycle["run"]["Script"].strip().splitlines()[-1].lstrip()
        if not last.startswith("exec "):
            raise DeployError(f"{where}.run must end in `exec PROGRAM`, so that SIGTERM reaches it; got {last!r}")
    elif not _STARTUP_END.search(lifecycle["startup"]["Script"]):
        raise DeployError(
            f"{where}.startup must end in `systemd-notify --ready || true; exit 0`: nucleus lite on systemd 252 takes "
            "it for failed otherwise; or use run"
        )


def _check_braces(text: str, where: str) -> None:
    for found in _BRACE.finditer(text):
        variable = found[1]
        if variable.startswith("configuration:"):
            raise DeployError(
                f"{where}: {found[0]} is not escaped for the shell on nucleus lite; read configuration over IPC"
            )
        if variable not in _VARIABLES or not found[0].endswith("}"):
            raise DeployError(
                f"{where}: {found[0]} is no variable that both nuclei know, and lite takes every brace for one; they "
                f"know {', '.join(_VARIABLES)}"
            )


def _check_file_names(artifacts: list[Mapping[str, Any]], where: str) -> None:
    # both nuclei put a component's artifacts into one folder
    names = [artifact["Uri"].rpartition("/")[2] for artifact in artifacts]
    for name in names:
        if names.count(name) > 1:
            raise DeployError(f"{where}: two artifacts are called {name}; the one would replace the other on a device")


def _check_dependency(other: str, requirement: str, name: str) -> None:
    if other.startswith((model_component(""), challenger_component(""))):
        raise DeployError(f"{name}: must not depend on {other}: models are rolled out in rings")
    if not other.startswith(OF_THE_NUCLEUS) and not _VERSION.fullmatch(requirement.removeprefix("=")):
        # the resolver would install the newest registered version wherever no deployment pins one
        raise DeployError(f"{name}: depends on {other} {requirement}: name one version, such as =1.2.3")


def _check_configuration(configuration: Mapping[str, Any], name: str) -> None:
    size, values = len(json.dumps(configuration, separators=(",", ":"))), value_count(configuration)
    if size > MOST_CONFIGURATION_BYTES:
        raise DeployError(
            f"{name}: DefaultConfiguration has {size} bytes, nucleus lite takes {MOST_CONFIGURATION_BYTES}; say less, "
            "or let another gateway have some of the cameras"
        )
    if values > MOST_CONFIGURATION_VALUES:
        raise DeployError(
            f"{name}: DefaultConfiguration has {values} values (two for a key, one for an item), nucleus lite takes "
            f"{MOST_CONFIGURATION_VALUES}; put what is large into one string"
        )


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
