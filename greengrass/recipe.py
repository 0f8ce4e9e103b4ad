"""Component recipes: what our components' say. The rules that they keep are recipe_rules.py's.

Recipes are JSON: nucleus lite's YAML reader turns every scalar into a string. A script holds no braces but those of
recipe variables: lite takes every `{` for the beginning of one.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

Recipe = dict[str, Any]

FORMAT = "2020-01-25"
GATEWAY = "tidegate.Gateway"
RUNTIME = "tidegate.Runtime"
GATEWAY_ARTIFACT = "tidegate.zip"
MODEL_ARTIFACT = "package.zip"
STAY = "exec tail -f /dev/null"
ALIVE = "alive"  # in a challenger's work folder: locked while it is deployed
PUBLISHER = "tidegate"
OF_THE_NUCLEUS = "aws.greengrass."
# nucleus lite's daemons hand a configuration to each other in messages of 10,000 bytes and 200 values at most, of which
# some are around it (its source); see `value_count`
MOST_CONFIGURATION_BYTES, MOST_CONFIGURATION_VALUES = 9_000, 190
# making the environment takes 10 s on a desk, and a minute or two on a Pi; lite waits for 300 s, whatever is said here
INSTALL_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    """A version of tidegate.Runtime, and the folder under its work folder where it makes the virtual environment."""

    version: str
    environment: str

    @property
    def python(self) -> str:
        """Its Python, as a recipe of another component names it: `{dep:...}` is not known to nucleus lite."""
        return f"{{kernel:rootPath}}/work/{RUNTIME}/{self.environment}/bin/python"


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """The wheels for one architecture, an artifact of tidegate.Runtime. `room_kb`: what installing them takes."""

    architecture: str  # as recipes say it: amd64, aarch64
    uri: str
    room_kb: int


def model_component(model: str) -> str:
    """The component that carries a model's packages."""
    return f"tidegate.Model.{model}"


def challenger_component(model: str) -> str:
    """The component that has a release of a model look on before it answers."""
    return f"tidegate.Challenger.{model}"


def model_version(release: int) -> str:
    """The component version of a release."""
    return f"{release}.0.0"


def model_recipe(model: str, release: int, *, artifact_uri: str) -> Recipe:
    """The recipe that carries a signed package to a gateway and points at it.

    Its `run` stays, since lite hangs on components that don't, and replaces the pointer in one step, so that the
    gateway never reads half a path. Verifying the package is the gateway's work.
    """
    return {
        **_head(model_component(model), model_version(release), f"Release {release} of the model {model}, signed."),
        "Manifests": [_package_manifest(release, STAY, artifact_uri)],
    }


def challenger_recipe(model: str, release: int, *, artifact_uri: str) -> Recipe:
    """The recipe that has the same package look on: with a pointer of its own, which holds while `run` lives.

    Neither nucleus deletes the work folder of a component that is taken away, and lite has no step that is run then.
    So what says that it is there is a lock: it goes with the process that holds it, however that ends.
    """
    # a descriptor that a shell opens is handed on to what it becomes
    stay = f'exec 9> "{{work:path}}/{ALIVE}" || exit 1\nflock 9 || exit 1\n{STAY}'
    description = f"Release {release} of the model {model}, signed, in shadow of the one that answers."
    return {
        **_head(challenger_component(model), model_version(release), description),
        "Manifests": [_package_manifest(release, stay, artifact_uri)],
    }


def _package_manifest(release: int, stay: str, artifact_uri: str) -> dict[str, Any]:
    # of a local deployment nucleus lite unpacks nothing
    script = (
        'package="{artifacts:decompressedPath}/package"\n'
        'if [ ! -d "$package" ]; then\n'
        f'  package="{{work:path}}/package-{model_version(release)}"\n'
        '  python3 -m zipfile -e "{artifacts:path}/package.zip" "$package" || exit 1\n'
        "fi\n"
        'printf "%s\\n" "$package" > "{work:path}/pointer.new" || exit 1\n'
        'mv -f "{work:path}/pointer.new" "{work:path}/pointer" || exit 1\n'
        'for old in "{work:path}"/package-*; do [ "$old" = "$package" ] || rm -rf "$old"; done\n'
        f"{stay}"
    )
    return _manifest({"run": {"Script": script}}, [_artifact(artifact_uri, unzip=True)])


def gateway_recipe(
    version: str, *, configuration: Mapping[str, Any], python: str | RuntimeVersion, artifact_uri: str
) -> Recipe:
    """The recipe that runs the gateway. `configuration` is the gateway's whole configuration, which it reads over IPC
    (never through the script: lite does not escape what it puts there); more cameras than lite takes as values are one
    string of JSON. `python` is a Runtime, on which the gateway
    then depends, or the path of a Python on the gateway that has what it needs installed."""
    environment = {
        # of a local deployment nucleus lite unpacks nothing, and Python reads the archive as well
        "PYTHONPATH": "{artifacts:decompressedPath}/tidegate:{artifacts:path}/tidegate.zip",
        "PYTHONUNBUFFERED": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    recipe = _head(GATEWAY, version, "Runs models on cameras and sends what they see.")
    defaults = {"gateway": dict(configuration), "accessControl": _GATEWAY_ACCESS}
    if value_count(defaults) > MOST_CONFIGURATION_VALUES and "cameras" in configuration:
        # the list is replaced as a whole anyhow
        cameras = json.dumps(configuration["cameras"], separators=(",", ":"))
        defaults["gateway"] = {**configuration, "cameras": cameras}
    recipe["ComponentConfiguration"] = {"DefaultConfiguration": defaults}
    if isinstance(python, RuntimeVersion):
        # exact: the resolver takes the newest that fits, also of what nobody deployed
        recipe["ComponentDependencies"] = {
            RUNTIME: {"VersionRequirement": f"={python.version}", "DependencyType": "HARD"}
        }
        # it is not there while the Runtime makes it anew for another Python, after an upgrade of the system. -e and not
        # -x, which asks by a system call that older containers refuse
        script = (
            f'python="{python.python}"\n'
            f'[ -e "$python" ] || echo "{GATEWAY}: waiting for {RUNTIME} to make $python, or it cannot be read" >&2\n'
            'until [ -e "$python" ]; do sleep 2; done\n'
            'exec "$python" -m edge.component'
        )
    else:
        script = f"exec {shlex.quote(python)} -m edge.component"
    run = {"Script": script, "Setenv": environment}
    recipe["Manifests"] = [_manifest({"run": run}, [_artifact(artifact_uri, unzip=True)])]
    return recipe


def runtime_recipe(
    runtime: RuntimeVersion,
    *,
    pythons: Sequence[str],
    wheelhouses: Sequence[Wheelhouse],
    setup_uri: str,
    keep_uri: str,
) -> Recipe:
    """The recipe that brings what the gateway needs installed, and makes a virtual environment of it.

    Wheels and scripts are taken as they are: unpacking is the scripts' work, of one Python's wheels only, since these
    are most of what a gateway downloads. `run` makes the environment too if it is not there any more or its Python has
    gone, then stays, since lite hangs on components that don't.
    """
    return {
        **_head(RUNTIME, runtime.version, "What the gateway needs installed, in a virtual environment of its own."),
        "Manifests": [
            _manifest(
                _runtime_lifecycle(runtime, pythons, wheelhouse),
                [_artifact(wheelhouse.uri), _artifact(setup_uri), _artifact(keep_uri)],
                architecture=wheelhouse.architecture,
            )
            for wheelhouse in wheelhouses
        ],
    }


def recipe_bytes(recipe: Recipe) -> bytes:
    """The recipe as it is written and registered: the same recipe gives the same bytes."""
    return (json.dumps(recipe, indent=2, ensure_ascii=False) + "\n").encode()


def value_count(value: object) -> int:
    """As nucleus lite counts what is in a configuration: two for each key, one for each item of a list."""
    if isinstance(value, dict):
        return 2 * len(value) + sum(map(value_count, value.values()))
    return len(value) + sum(map(value_count, value)) if isinstance(value, list | tuple) else 0


def artifact_uris(recipe: Recipe) -> list[str]:
    """Where the recipe's artifacts are, each once, in order."""
    uris = (artifact["Uri"] for manifest in recipe["Manifests"] for artifact in manifest.get("Artifacts", []))
    return list(dict.fromkeys(uris))


def exact_dependencies(recipe: Recipe) -> dict[str, str]:
    """Version by name of the components that the recipe needs, but for the nucleus' own, which may be of any."""
    needed = recipe.get("ComponentDependencies", {}).items()
    return {
        name: rule["VersionRequirement"].removeprefix("=")
        for name, rule in needed
        if not name.startswith(OF_THE_NUCLEUS)
    }


def with_artifact_uris(recipe: Recipe, uris: Mapping[str, str]) -> Recipe:
    """The same recipe with its artifacts elsewhere; `uris` by file name."""
    moved = cast(Recipe, json.loads(json.dumps(recipe)))
    for manifest in moved["Manifests"]:
        for artifact in manifest.get("Artifacts", []):
            artifact["Uri"] = uris[artifact["Uri"].rpartition("/")[2]]
    return moved


_GATEWAY_ACCESS = {
    # `*` and not {iot:thingName}: lite does not know variables here. The broker's policy narrows it.
    "aws.greengrass.ipc.mqttproxy": {
        "tidegate:results": {
            "policyDescription": "Send results.",
            "operations": ["aws.greengrass#PublishToIoTCore"],
            "resources": ["tidegate/v1/results/*"],
        },
        "tidegate:acks": {
            "policyDescription": "Hear what the lake holds.",
            "operations": ["aws.greengrass#SubscribeToIoTCore"],
            "resources": ["tidegate/v1/acks/*"],
        },
    }
}


def _head(name: str, version: str, description: str) -> Recipe:
    return {
        "RecipeFormatVersion": FORMAT,
        "ComponentName": name,
        "ComponentVersion": version,
        "ComponentDescription": description,
        "ComponentPublisher": PUBLISHER,
    }


def _manifest(
    lifecycle: Mapping[str, Any], artifacts: Sequence[Mapping[str, Any]], *, architecture: str | None = None
) -> dict[str, Any]:
    platform = {"os": "linux", **({"architecture": architecture} if architecture else {}), "runtime": "*"}
    return {"Platform": platform, "Lifecycle": dict(lifecycle), "Artifacts": list(artifacts)}


def _artifact(uri: str, *, unzip: bool = False) -> dict[str, Any]:
    return {
        "Uri": uri,
        "Unarchive": "ZIP" if unzip else "NONE",
        "Permission": {"Read": "ALL", "Execute": "NONE"},
    }


def _runtime_lifecycle(runtime: RuntimeVersion, pythons: Sequence[str], wheelhouse: Wheelhouse) -> dict[str, Any]:
    wheels = wheelhouse.uri.rpartition("/")[2]
    place = f'"{{work:path}}" "{runtime.environment}"'
    setup = f'sh "{{artifacts:path}}/setup.sh" "{{artifacts:path}}/{wheels}" {place}'
    return {
        "Setenv": {"TIDEGATE_PYTHONS": ",".join(pythons), "TIDEGATE_ROOM_KB": str(wheelhouse.room_kb)},
        "install": {"Script": f"exec {setup}", "Timeout": INSTALL_TIMEOUT_S},
        "run": {"Script": f'{setup} || exit 1\nexec sh "{{artifacts:path}}/keep.sh" {place}'},
    }
