"""Component recipes: what our components' say, and the rules that a recipe must keep to run on both nuclei.

Recipes are JSON: nucleus lite's YAML reader turns every scalar into a string.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from models.errors import DeployError

Recipe = dict[str, Any]

FORMAT = "2020-01-25"
MAX_BYTES = 16_000
GATEWAY = "tidegate.Gateway"
GATEWAY_ARTIFACT = "tidegate.zip"
MODEL_ARTIFACT = "package.zip"
PUBLISHER = "tidegate"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_VERSION = re.compile(r"\d{1,6}\.\d{1,6}\.\d{1,6}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
_VARIABLE = re.compile(r"\{([A-Za-z0-9_.-]+(?::[^{}\s:]+)+)\}")
_KNOWN_VARIABLE = re.compile(
    r"artifacts:path|artifacts:decompressedPath|work:path|kernel:rootPath|iot:thingName|configuration:/.*"
)
_TOP_KEYS = {
    "RecipeFormatVersion",
    "ComponentName",
    "ComponentVersion",
    "ComponentDescription",
    "ComponentPublisher",
    "ComponentConfiguration",
    "ComponentDependencies",
    "Manifests",
}
# what nucleus lite knows, and Java too
_STEPS = ("bootstrap", "install", "startup", "run")
_STEP_KEYS = {"Script", "RequiresPrivilege", "Setenv", "Timeout"}


def model_component(model: str) -> str:
    """The component that carries a model's packages."""
    return f"tidegate.Model.{model}"


def model_version(release: int) -> str:
    """The component version of a release."""
    return f"{release}.0.0"


def model_recipe(model: str, release: int, *, artifact_uri: str) -> Recipe:
    """The recipe that carries a signed package to a gateway and points at it.

    Its `run` stays, since lite hangs on components that don't, and replaces the pointer in one step, so that the
    gateway never reads half a path. Verifying the package is the gateway's work.
    """
    script = (
        'printf "%s\\n" "{artifacts:decompressedPath}/package" > "{work:path}/pointer.new" || exit 1\n'
        'mv -f "{work:path}/pointer.new" "{work:path}/pointer" || exit 1\n'
        "exec tail -f /dev/null"
    )
    return {
        "RecipeFormatVersion": FORMAT,
        "ComponentName": model_component(model),
        "ComponentVersion": model_version(release),
        "ComponentDescription": f"Release {release} of the model {model}, signed.",
        "ComponentPublisher": PUBLISHER,
        "Manifests": [_manifest({"run": {"Script": script}}, artifact_uri)],
    }


def gateway_recipe(version: str, *, configuration: Mapping[str, Any], python: str, artifact_uri: str) -> Recipe:
    """The recipe that runs the gateway. `configuration` is the gateway's whole configuration, which it reads over IPC
    (never through the script: lite does not escape what it puts there); `python` has what the gateway needs
    installed."""
    environment = {
        "PYTHONPATH": "{artifacts:decompressedPath}/tidegate",
        "PYTHONUNBUFFERED": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    run = {"Script": 'exec "{configuration:/python}" -m edge.component', "Setenv": environment}
    return {
        "RecipeFormatVersion": FORMAT,
        "ComponentName": GATEWAY,
        "ComponentVersion": version,
        "ComponentDescription": "Runs models on cameras and sends what they see.",
        "ComponentPublisher": PUBLISHER,
        "ComponentConfiguration": {
            "DefaultConfiguration": {
                "python": python,
                "gateway": dict(configuration),
                "accessControl": {
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
                },
            }
        },
        "Manifests": [_manifest({"run": run}, artifact_uri)],
    }


def recipe_bytes(recipe: Recipe) -> bytes:
    """The recipe as it is written and registered: the same recipe gives the same bytes."""
    return (json.dumps(recipe, indent=2, ensure_ascii=False) + "\n").encode()


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
    unknown = sorted(checked.keys() - _TOP_KEYS)
    if unknown:
        raise DeployError(f"{name}: unknown key {unknown[0]!r}; keys are case-sensitive on nucleus lite")
    for index, manifest in enumerate(checked["Manifests"]):
        where = f"{name}: Manifests[{index}]"
        _check_platform(manifest.get("Platform"), where)
        _check_lifecycle(manifest.get("Lifecycle"), where)
        for artifact in manifest.get("Artifacts", []):
            _check_artifact(artifact, where)
    _check_dependencies(checked.get("ComponentDependencies", {}), name)
    _check_access(checked, name)
    for text in _strings(checked["Manifests"]):
        for variable in _VARIABLE.findall(text):
            if not _KNOWN_VARIABLE.fullmatch(variable):
                raise DeployError(f"{name}: variable {{{variable}}} is not known to both nuclei")


def artifact_uris(recipe: Recipe) -> list[str]:
    """Where the recipe's artifacts are, in order."""
    return [artifact["Uri"] for manifest in recipe["Manifests"] for artifact in manifest.get("Artifacts", [])]


def with_artifact_uris(recipe: Recipe, uris: Mapping[str, str]) -> Recipe:
    """The same recipe with its artifacts elsewhere; `uris` by file name."""
    moved = cast(Recipe, json.loads(json.dumps(recipe)))
    for manifest in moved["Manifests"]:
        for artifact in manifest.get("Artifacts", []):
            artifact["Uri"] = uris[artifact["Uri"].rpartition("/")[2]]
    return moved


def _manifest(lifecycle: Mapping[str, Any], artifact_uri: str) -> dict[str, Any]:
    return {
        "Platform": {"os": "linux", "runtime": "*"},
        "Lifecycle": dict(lifecycle),
        "Artifacts": [{"Uri": artifact_uri, "Unarchive": "ZIP", "Permission": {"Read": "ALL", "Execute": "NONE"}}],
    }


def _check_platform(platform: object, where: str) -> None:
    if not isinstance(platform, dict) or platform.get("runtime") != "*":
        raise DeployError(f'{where}: Platform needs "runtime": "*" (nucleus lite matches no other), got {platform!r}')
    for key, value in platform.items():
        if isinstance(value, str) and value.startswith("/"):
            raise DeployError(f"{where}: Platform.{key} {value!r}: regular expressions work on the Java nucleus only")


def _check_lifecycle(lifecycle: object, where: str) -> None:
    if not isinstance(lifecycle, dict):
        raise DeployError(f"{where}: needs a Lifecycle with a run or a startup")
    for step, content in lifecycle.items():
        if step == "Setenv":
            _check_setenv(content, f"{where}.Lifecycle")
        elif step not in _STEPS:
            raise DeployError(f"{where}: Lifecycle.{step} is not known to both nuclei; they know {', '.join(_STEPS)}")
        else:
            _check_step(content, f"{where}.Lifecycle.{step}")
    if ("run" in lifecycle) == ("startup" in lifecycle):
        raise DeployError(f"{where}: needs either a run or a startup: nucleus lite hangs on a component without")
    if "run" in lifecycle:
        run = lifecycle["run"]
        last = (run if isinstance(run, str) else run["Script"]).strip().splitlines()[-1]
        if not last.lstrip().startswith("exec "):
            raise DeployError(f"{where}: a run must end in `exec PROGRAM`, so that SIGTERM reaches it; got {last!r}")


def _check_step(step: object, where: str) -> None:
    content = {"Script": step} if isinstance(step, str) else step
    if not isinstance(content, dict) or not isinstance(content.get("Script"), str) or not content["Script"].strip():
        raise DeployError(f"{where}: needs a Script")
    unknown = sorted(content.keys() - _STEP_KEYS)
    if unknown:
        raise DeployError(f"{where}: {unknown[0]} is not known to both nuclei; they know {', '.join(_STEP_KEYS)}")
    timeout = content.get("Timeout", 1)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout <= 0:
        raise DeployError(f"{where}: Timeout must be a whole number of seconds above 0, got {timeout!r}")
    _check_setenv(content.get("Setenv", {}), where)


def _check_setenv(setenv: object, where: str) -> None:
    if not isinstance(setenv, dict) or not all(isinstance(value, str) for value in setenv.values()):
        raise DeployError(f"{where}: Setenv must hold strings, got {setenv!r}")


def _check_artifact(artifact: object, where: str) -> None:
    if not isinstance(artifact, dict) or not re.fullmatch(r"s3://[^/]+/.+[^/]", str(artifact.get("Uri"))):
        raise DeployError(f"{where}: an artifact needs a Uri like s3://BUCKET/KEY, got {artifact!r}")
    if artifact.get("Unarchive", "NONE") not in ("NONE", "ZIP"):
        raise DeployError(f"{where}: Unarchive must be NONE or ZIP, got {artifact['Unarchive']!r}")
    permission = artifact.get("Permission", {})
    # Java's default is 0440, and ours are read by another component's user
    if permission.get("Read") != "ALL" or permission.get("Execute", "NONE") not in ("NONE", "OWNER", "ALL"):
        raise DeployError(f'{where}: {artifact["Uri"]} needs Permission "Read": "ALL", got {permission!r}')


def _check_dependencies(dependencies: object, name: str) -> None:
    if not isinstance(dependencies, dict):
        raise DeployError(f"{name}: ComponentDependencies must be an object, got {dependencies!r}")
    for other, rule in dependencies.items():
        kind = rule.get("DependencyType", "HARD") if isinstance(rule, dict) else None
        if kind not in ("HARD", "SOFT") or not isinstance(rule.get("VersionRequirement"), str):
            raise DeployError(f"{name}: dependency {other} needs a VersionRequirement and HARD or SOFT, got {rule!r}")
        if other.startswith(model_component("")):
            # the resolver would install the newest registered version wherever no ring pins one
            raise DeployError(f"{name}: must not depend on {other}: models are rolled out in rings")


def _check_access(recipe: Recipe, name: str) -> None:
    configuration = recipe.get("ComponentConfiguration", {}).get("DefaultConfiguration", {})
    for service, policies in configuration.get("accessControl", {}).items():
        for policy, rule in policies.items():
            if "*" in rule.get("operations", ["*"]) or "*" in rule.get("resources", ["*"]):
                raise DeployError(f"{name}: accessControl {service} {policy} allows everything; name what is needed")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
