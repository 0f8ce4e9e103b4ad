"""Registering component versions with Greengrass, their artifacts in S3; the same against AWS and the simulator."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from greengrass.aws import Aws, connect, is_missing, spoken_of
from greengrass.component import BuiltComponent, content_digest
from greengrass.objects import ObjectStore, size_of
from greengrass.recipe import (
    Recipe,
    artifact_uris,
    challenger_component,
    challenger_recipe,
    model_component,
    model_version,
    recipe_bytes,
    with_artifact_uris,
)
from greengrass.recipe_rules import check_recipe
from models.errors import DeployError

if TYPE_CHECKING:
    from mypy_boto3_greengrassv2.type_defs import DescribeComponentResponseTypeDef

CONTENT_TAG = "tidegate-content"  # the digest of what a component version holds
TIMEOUT_S = 120.0
POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class _Version:
    """A component version, and the digest of what it holds."""

    name: str
    version: str
    content: str


def register(
    built: BuiltComponent,
    store: ObjectStore,
    *,
    aws: Aws | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Put a component's artifacts into `store` and register its version; the version's ARN, once it is deployable.

    Registering the same again changes nothing; the same version with other content is a DeployError.
    """
    check_recipe(built.recipe)
    wanted = _Version(built.name, built.version, content_digest(built))
    return _register(
        wanted,
        lambda: with_artifact_uris(built.recipe, _put_artifacts(built, store)),
        aws=aws or connect(),
        clock=clock,
        sleep=sleep,
    )


def register_challenger(
    model: str,
    release: int,
    *,
    aws: Aws | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Register the component that has a registered release look on, with the very artifact that the release has; its
    version's ARN, once it is deployable. DeployError where the release is not registered."""
    aws = aws or connect()
    component, version = model_component(model), model_version(release)
    found = _describe(_Version(component, version, ""), aws)
    if found is None:
        raise DeployError(
            f"component {component} {version} is not registered, so that it cannot look on either; register it with "
            f"`tidegate deploy`"
        )

    def recipe() -> Recipe:
        with spoken_of(f"component {component} {version}"):
            read = aws.greengrass.get_component(arn=found["arn"], recipeOutputFormat="JSON")["recipe"]
        (uri,) = artifact_uris(json.loads(read))
        made = challenger_recipe(model, release, artifact_uri=uri)
        check_recipe(made)
        return made

    content = found.get("tags", {}).get(CONTENT_TAG, "")
    wanted = _Version(challenger_component(model), version, f"shadow-{content}")
    return _register(wanted, recipe, aws=aws, clock=clock, sleep=sleep)


def is_registered(built: BuiltComponent, *, aws: Aws | None = None) -> bool:
    """Whether this very version can be deployed; DeployError when the version is registered with other content."""
    found = _describe(_Version(built.name, built.version, ""), aws or connect())
    if found is None or _state(found) != "DEPLOYABLE":
        return False
    _check_content(_Version(built.name, built.version, content_digest(built)), found)
    return True


def versions_of(component: str, *, aws: Aws | None = None) -> tuple[str, ...]:
    """The registered versions of a component; none for one that nobody registered."""
    aws = aws or connect()
    arn = _component_arn(component, aws)
    if arn is None:
        return ()
    with spoken_of(f"component {component}"):
        pages = aws.greengrass.get_paginator("list_component_versions").paginate(arn=arn)
        return tuple(item["componentVersion"] for page in pages for item in page["componentVersions"])


def download_bytes(component: str, version: str, *, aws: Aws | None = None) -> int:
    """What a device downloads for a registered component version: its artifacts. DeployError where it is not
    registered, StoreError where an artifact cannot be asked about."""
    aws = aws or connect()
    found = _describe(_Version(component, version, ""), aws)
    if found is None:
        raise DeployError(f"component {component} {version} is not registered; register it with `tidegate deploy`")
    with spoken_of(f"component {component} {version}"):
        read = aws.greengrass.get_component(arn=found["arn"], recipeOutputFormat="JSON")["recipe"]
    return sum(size_of(uri) for uri in set(artifact_uris(json.loads(read))))


def _register(
    wanted: _Version,
    recipe: Callable[[], Recipe],
    *,
    aws: Aws,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> str:
    found = _describe(wanted, aws)
    if found is not None and _state(found) == "FAILED":
        # an attempt that was refused; nothing ever ran it, so its version may be had again
        with spoken_of(f"component {wanted.name} {wanted.version}"):
            aws.greengrass.delete_component(arn=found["arn"])
        found = None
    if found is None:
        inline = recipe_bytes(recipe())
        # a conflict: somebody was faster by a moment. Whether with the same content shows below.
        with (
            spoken_of(f"component {wanted.name} {wanted.version}"),
            suppress(aws.greengrass.exceptions.ConflictException),
        ):
            aws.greengrass.create_component_version(inlineRecipe=inline, tags={CONTENT_TAG: wanted.content})
    return _wait_deployable(wanted, aws, clock, sleep)


def _put_artifacts(built: BuiltComponent, store: ObjectStore) -> dict[str, str]:
    uris: dict[str, str] = {}
    for artifact in built.artifacts:
        content = artifact.read_bytes()
        # by digest: what is there is right, and versions that share an artifact share its bytes
        key = f"{built.name}/sha256-{hashlib.sha256(content).hexdigest()}/{artifact.name}"
        uris[artifact.name] = store.uri(key)
        if not uris[artifact.name].startswith("s3://"):
            raise DeployError(
                f"artifacts must be where devices can fetch them, s3://BUCKET/PREFIX, got {store.uri(key)}"
            )
        if key not in store.list(key):
            store.put(key, content)
    return uris


def _describe(wanted: _Version, aws: Aws) -> "DescribeComponentResponseTypeDef | None":
    component = _component_arn(wanted.name, aws)
    if component is None:
        return None
    with spoken_of(f"component {wanted.name} {wanted.version}"):
        try:
            return aws.greengrass.describe_component(arn=f"{component}:versions:{wanted.version}")
        except ClientError as exc:
            if is_missing(exc):
                return None
            raise


def _state(found: "DescribeComponentResponseTypeDef") -> str:
    return found.get("status", {}).get("componentState", "unknown")


def _check_content(wanted: _Version, found: "DescribeComponentResponseTypeDef") -> None:
    if found.get("tags", {}).get(CONTENT_TAG) != wanted.content:
        raise DeployError(
            f"component {wanted.name} {wanted.version} is registered with other content, and a version is never "
            f"reused: build it under another one"
        )


def _wait_deployable(wanted: _Version, aws: Aws, clock: Callable[[], float], sleep: Callable[[float], None]) -> str:
    deadline = clock() + TIMEOUT_S
    while True:
        found = _describe(wanted, aws)
        if found is not None:
            _check_content(wanted, found)
            status = found.get("status", {})
            if _state(found) == "DEPLOYABLE":
                return found["arn"]
            if _state(found) == "FAILED":
                why = "; ".join(f"{uri}: {error}" for uri, error in status.get("errors", {}).items())
                raise DeployError(
                    f"component {wanted.name} {wanted.version} was refused: {why or status.get('message')}"
                )
        if clock() >= deadline:
            raise DeployError(f"component {wanted.name} {wanted.version} is not deployable after {TIMEOUT_S:g} s")
        sleep(POLL_S)


def _component_arn(component: str, aws: Aws) -> str | None:
    with spoken_of(f"component {component}"):
        for page in aws.greengrass.get_paginator("list_components").paginate(scope="PRIVATE"):
            for found in page["components"]:
                if found["componentName"] == component:
                    return found["arn"]
    return None
