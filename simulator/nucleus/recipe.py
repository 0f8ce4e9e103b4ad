"""Reading a component's recipe as a nucleus does: its manifest for this platform, its steps, its variables.

Pure functions. Keys are case-sensitive, as on nucleus lite; the Java nucleus would be more patient.
"""

import json
import platform
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import DeployError
from simulator.nucleus.configuration import lookup, parse_pointer
from simulator.nucleus.personality import LITE, Personality

RECIPE_FORMAT = "2020-01-25"
TIMEOUTS_S: Mapping[str, float | None] = {"bootstrap": 120.0, "install": 120.0, "startup": 120.0, "run": None}
JAVA_TIMEOUTS_S: Mapping[str, float | None] = {"shutdown": 15.0, "recover": 60.0}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "aarch64", "arm64": "aarch64", "armv7l": "arm"}
_MODES = {"NONE": 0, "OWNER": 0o100, "ALL": 0o111}
_STRAY = re.compile(r"\{[^}\n]{0,40}\}?")
_VARIABLE = re.compile(r"\{([\w.-]+):([^{}\s]*)\}")


@dataclass(frozen=True, slots=True)
class Step:
    """One script of a component's life; `timeout_s` None is for ever. `skip_if`: `onpath PROGRAM`, `exists PATH` or
    nothing."""

    script: str
    environment: Mapping[str, str]
    timeout_s: float | None
    privileged: bool = False
    skip_if: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to fetch; `digest` is base64 of its SHA-256, `mode` the permission bits of what comes of it."""

    uri: str
    digest: str
    unzip: bool
    mode: int

    @property
    def file_name(self) -> str:
        return urllib.parse.urlsplit(self.uri).path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Dependency:
    """`hard`: restarted when the component it depends on is."""

    requirement: str
    hard: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """A component version on this platform."""

    name: str
    version: str
    defaults: Mapping[str, Any]
    dependencies: Mapping[str, Dependency]
    artifacts: tuple[Artifact, ...]
    steps: Mapping[str, Step]


@dataclass(frozen=True, slots=True)
class Variables:
    """What a recipe's variables stand for; `others`: those of the components that it depends on, by name, where the
    nucleus knows such variables."""

    artifacts: Path
    decompressed: Path
    work: Path
    root: Path
    thing: str
    configuration: Mapping[str, Any]
    others: Mapping[str, "Variables"] = field(default_factory=dict)


def this_platform(runtime: str) -> dict[str, str]:
    """The attributes that a manifest's Platform is compared with."""
    machine = platform.machine()
    return {"os": "linux", "architecture": _ARCHITECTURES.get(machine, machine), "runtime": runtime}


def read_recipe(document: Any, attributes: Mapping[str, str], personality: Personality = LITE) -> Recipe:
    """The recipe (a JSON document) for a platform, as this nucleus takes it; DeployError says what is wrong with it."""
    _check(isinstance(document, dict), "a recipe must be a JSON object")
    name, version = document.get("ComponentName"), document.get("ComponentVersion")
    _check(isinstance(name, str) and isinstance(version, str), "a recipe needs ComponentName and ComponentVersion")
    where = f"recipe of {name} {version}"
    format_version = document.get("RecipeFormatVersion")
    _check(
        format_version == RECIPE_FORMAT, f"{where}: RecipeFormatVersion must be {RECIPE_FORMAT}, got {format_version!r}"
    )
    defaults = _object(_object(document, "ComponentConfiguration", where), "DefaultConfiguration", where)
    manifest = _choose(document.get("Manifests", []), attributes, personality, where)
    timeouts_s = {**TIMEOUTS_S, **(JAVA_TIMEOUTS_S if personality.full_lifecycle else {})}
    return Recipe(
        name=name,
        version=version,
        defaults=defaults,
        dependencies=_dependencies(_object(document, "ComponentDependencies", where), where),
        artifacts=tuple(_artifact(item, personality.artifact_mode, where) for item in manifest.get("Artifacts", [])),
        steps=_steps(_object(manifest, "Lifecycle", where), timeouts_s, personality, where),
    )


def interpolate(text: str, variables: Variables, *, every_brace_counts: bool = False) -> str:
    """The text with its recipe variables replaced. Configuration goes in as it is, not escaped for a shell.

    DeployError for a variable that this nucleus does not know, `{DEPENDENCY:...}` among them, and where
    `every_brace_counts` for any other brace.
    """
    stray = _STRAY.search(_VARIABLE.sub("", text)) if every_brace_counts else None
    if stray is not None:
        raise DeployError(f"recipe variable {stray[0]} is not known to this nucleus, which takes every brace for one")

    def value(match: re.Match[str]) -> str:
        kind, key = match[1], match[2]
        if kind in variables.others:
            return interpolate(f"{{{key}}}", variables.others[kind])
        if kind == "configuration":
            try:
                found = lookup(variables.configuration, parse_pointer(key))
            except KeyError:
                raise DeployError(f"recipe variable {match[0]} names no value of the configuration") from None
            return found if isinstance(found, str) else json.dumps(found)
        known = {
            "artifacts:path": variables.artifacts,
            "artifacts:decompressedPath": variables.decompressed,
            "work:path": variables.work,
            "kernel:rootPath": variables.root,
            "iot:thingName": variables.thing,
        }
        plain = f"{kind}:{key}"
        if plain not in known:
            if key.partition(":")[0] not in ("artifacts", "work", "configuration") and kind not in _NAMESPACES:
                return match[0]  # braces of the shell's or of somebody's JSON
            raise DeployError(f"recipe variable {match[0]} is not known to this nucleus; known: {', '.join(known)}")
        return str(known[plain])

    return _VARIABLE.sub(value, text)


_NAMESPACES = ("artifacts", "work", "kernel", "iot")


def _choose(manifests: Any, attributes: Mapping[str, str], personality: Personality, where: str) -> dict[str, Any]:
    _check(isinstance(manifests, list), f"{where}: Manifests must be a list")
    for manifest in manifests:
        _check(isinstance(manifest, dict), f"{where}: a manifest must be an object")
        if _fits(_object(manifest, "Platform", where), attributes, personality):
            return dict(manifest)
    here = ", ".join(f"{key} {value}" for key, value in attributes.items())
    hint = '; a Platform needs "runtime": "*" to be taken here' if personality.needs_runtime else ""
    raise DeployError(f"{where}: no manifest fits this device ({here}){hint}")


def _fits(wanted: Mapping[str, Any], attributes: Mapping[str, str], personality: Personality) -> bool:
    def matches(value: Any, here: str | None) -> bool:
        if personality.matches_patterns and isinstance(value, str) and re.fullmatch("/.*/", value) and here is not None:
            return re.fullmatch(value[1:-1], here) is not None
        return value in ("*", "all", here)

    named = "runtime" in wanted or not personality.needs_runtime
    return named and all(matches(value, attributes.get(key)) for key, value in wanted.items())


def _dependencies(items: Mapping[str, Any], where: str) -> dict[str, Dependency]:
    dependencies = {}
    for name in items:
        item = _object(items, name, where)
        dependencies[name] = Dependency(
            str(item.get("VersionRequirement", "*")), hard=item.get("DependencyType", "HARD") == "HARD"
        )
    return dependencies


def _artifact(item: Any, default_mode: int, where: str) -> Artifact:
    uri = item.get("Uri") if isinstance(item, dict) else None
    if not isinstance(uri, str):
        raise DeployError(f"{where}: an artifact needs a Uri, got {item!r}")
    digest = item.get("Digest")
    if not isinstance(digest, str) or item.get("Algorithm", "SHA-256") != "SHA-256":
        raise DeployError(
            f"{where}: artifact {uri} needs a SHA-256 Digest; the control plane adds it when a component is registered"
        )
    return Artifact(uri, digest, unzip=item.get("Unarchive", "NONE") == "ZIP", mode=_mode(item, default_mode, where))


def _mode(item: Mapping[str, Any], default: int, where: str) -> int:
    if "Permission" not in item:
        return default
    permission = _object(item, "Permission", where)
    read, execute = permission.get("Read", "OWNER"), permission.get("Execute", "NONE")
    _check(
        read in _MODES and execute in _MODES,
        f"{where}: a Permission is NONE, OWNER or ALL, got Read {read!r}, Execute {execute!r}",
    )
    return 0o400 | (_MODES[read] << 2) | _MODES[execute]


def _steps(
    lifecycle: Mapping[str, Any], timeouts_s: Mapping[str, float | None], personality: Personality, where: str
) -> dict[str, Step]:
    shared = _environment(lifecycle, where)
    steps = {}
    for name, timeout_s in timeouts_s.items():
        if name not in lifecycle:
            continue
        step = lifecycle[name]
        fixed_s = personality.install_timeout_s if name == "install" else None
        if isinstance(step, str):
            steps[name] = Step(step, shared, fixed_s or timeout_s)
            continue
        _check(
            isinstance(step, dict) and isinstance(step.get("Script"), str), f"{where}: Lifecycle.{name} needs a Script"
        )
        own_timeout = step.get("Timeout", timeout_s)
        _check(
            own_timeout is None or isinstance(own_timeout, int | float),
            f"{where}: Timeout of {name} must be seconds, got {own_timeout!r}",
        )
        steps[name] = Step(
            step["Script"],
            {**shared, **_environment(step, where)},
            fixed_s or own_timeout,
            privileged=_truth(step.get("RequiresPrivilege", False)),
            skip_if=str(step.get("Skipif", "")) if "shutdown" in timeouts_s else "",
        )
    return steps


def _truth(value: object) -> bool:
    return value is True or str(value).lower() == "true"


def _environment(item: Mapping[str, Any], where: str) -> dict[str, str]:
    return {key: str(value) for key, value in _object(item, "Setenv", where).items()}


def _object(item: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = item.get(key, {})
    _check(isinstance(value, dict), f"{where}: {key} must be an object, got {type(value).__name__}")
    return dict(value)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise DeployError(message)
