"""What a deployment asks of a device, and what the device has to change for it. Pure functions."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.errors import DeployError
from simulator import versions
from simulator.nucleus.recipe import Recipe

_NOTICE_S, _VALIDATION_S = 60, 30  # AWS' defaults
_BUILT_IN = "aws.greengrass."  # the nucleus itself and its services: there already
_TARGET = re.compile(r":(thinggroup|thing)/([^/:]+)(?::\d+)?$")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A component as a deployment names it."""

    version: str
    merge: Mapping[str, Any]
    reset: tuple[str, ...]
    run_as: str | None = None  # posixUser; None leaves it as it was


@dataclass(frozen=True, slots=True)
class Deployment:
    """All components of one target, a thing group or the thing itself. `notice_s`: how long a component may take to
    answer that the update has to wait; None where components are not asked. `validation_s`: how long a component may
    look at the configuration that it would get."""

    id: str
    target: str
    components: Mapping[str, Wanted]
    rollback: bool = True
    notice_s: float | None = None
    validation_s: float = 30.0


def parse_deployment(document: str) -> Deployment:
    """The deployment in a job's document; DeployError when it is none."""
    try:
        content = json.loads(document)
        target = _TARGET.search(content.get("targetArn") or content["configurationArn"])
        if target is None:
            raise ValueError("it names no thing group or thing")
        components = {name: _wanted(item) for name, item in content["components"].items()}
        policy = content.get("componentUpdatePolicy") or {}
        asked = policy.get("action", "NOTIFY_COMPONENTS") == "NOTIFY_COMPONENTS"
        return Deployment(
            str(content["deploymentId"]),
            f"{target[1]}/{target[2]}",
            components,
            rollback=content.get("failureHandlingPolicy", "ROLLBACK") == "ROLLBACK",
            validation_s=float((content.get("configurationValidationPolicy") or {}).get("timeout", _VALIDATION_S)),
            notice_s=float(policy.get("timeout", _NOTICE_S)) if asked else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DeployError(f"a job's document is no deployment: {exc!r}") from exc


def roots(groups: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Name -> version of all that the device's groups ask for; DeployError when two disagree."""
    versions: dict[str, str] = {}
    for components in groups.values():
        for name, version in components.items():
            if versions.setdefault(name, version) != version:
                raise DeployError(
                    f"component {name} is wanted as {versions[name]} by one group of this device and as {version} by "
                    "another; deploy a component through disjoint groups only"
                )
    return versions


def resolve(wanted: Mapping[str, str], find: Callable[[str, Mapping[str, str]], Recipe]) -> dict[str, Recipe]:
    """The components that a device needs for these roots: themselves and all they depend on, directly or not.

    `find(name, requirements by who has them)` gives a version that meets all; DeployError when none does.
    """
    found: dict[str, Recipe] = {}
    requirements = {name: {"deployment": f"={version}"} for name, version in wanted.items()}
    unresolved = list(wanted)
    while unresolved:
        name = unresolved.pop()
        recipe = found[name] = find(name, requirements[name])
        for needed, dependency in recipe.dependencies.items():
            if needed.startswith(_BUILT_IN):
                continue
            requirements.setdefault(needed, {})[name] = dependency.requirement
            if needed not in found or not versions.satisfies(found[needed].version, dependency.requirement):
                unresolved.append(needed)
    return found


def start_order(recipes: Iterable[Recipe]) -> list[str]:
    """Names of the components, each after those it depends on; DeployError when they depend in a circle."""
    by_name = {recipe.name: recipe for recipe in recipes}
    order: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in order or name not in by_name:
            return
        if name in path:
            raise DeployError(f"components depend on each other in a circle: {' -> '.join([*path, name])}")
        path.append(name)
        for dependency in by_name[name].dependencies:
            visit(dependency)
        path.pop()
        order.append(name)

    for name in sorted(by_name):
        visit(name)
    return order


def with_dependents(changed: Iterable[str], recipes: Iterable[Recipe]) -> set[str]:
    """The changed components and all that must restart with them: whoever depends HARD on one, and so on."""
    affected = set(changed)
    listed = list(recipes)
    while True:
        more = {
            recipe.name
            for recipe in listed
            if any(dependency.hard and name in affected for name, dependency in recipe.dependencies.items())
        }
        if more <= affected:
            return affected
        affected |= more


def _wanted(item: Mapping[str, Any]) -> Wanted:
    update = item.get("configurationUpdate") or {}
    merge = update.get("merge") or {}
    if isinstance(merge, str):
        merge = json.loads(merge)
    if not isinstance(merge, dict):
        raise ValueError(f"merge must be an object, got {merge!r}")
    run_as = (item.get("runWith") or {}).get("posixUser")
    return Wanted(str(item["version"]), merge, tuple(update.get("reset") or ()), run_as)
