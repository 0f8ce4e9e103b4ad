"""Registering component versions with Greengrass, their artifacts in S3; the same against AWS and the simulator."""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from greengrass.aws import Aws, connect, is_missing, spoken_of
from greengrass.component import BuiltComponent, content_digest
from greengrass.objects import ObjectStore
from greengrass.recipe import recipe_bytes, with_artifact_uris
from greengrass.recipe_rules import check_recipe
from models.errors import DeployError

if TYPE_CHECKING:
    from mypy_boto3_greengrassv2.type_defs import DescribeComponentResponseTypeDef

CONTENT_TAG = "tidegate-content"  # the digest of what a component version holds
TIMEOUT_S = 120.0
POLL_S = 1.0


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
    aws = aws or connect()
    check_recipe(built.recipe)
    found = _describe(built, aws)
    if found is not None and _state(found) == "FAILED":
        # an attempt that was refused; nothing ever ran it, so its version may be had again
        with spoken_of(f"component {built.name} {built.version}"):
            aws.greengrass.delete_component(arn=found["arn"])
        found = None
    if found is None:
        uris = _put_artifacts(built, store)
        recipe = recipe_bytes(with_artifact_uris(built.recipe, uris))
        # a conflict: somebody was faster by a moment. Whether with the same content shows below.
        with (
            spoken_of(f"component {built.name} {built.version}"),
            suppress(aws.greengrass.exceptions.ConflictException),
        ):
            aws.greengrass.create_component_version(inlineRecipe=recipe, tags={CONTENT_TAG: content_digest(built)})
    return _wait_deployable(built, aws, clock, sleep)


def is_registered(built: BuiltComponent, *, aws: Aws | None = None) -> bool:
    """Whether this very version can be deployed; DeployError when the version is registered with other content."""
    found = _describe(built, aws or connect())
    if found is None or _state(found) != "DEPLOYABLE":
        return False
    _check_content(built, found)
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


def _describe(built: BuiltComponent, aws: Aws) -> "DescribeComponentResponseTypeDef | None":
    component = _component_arn(built.name, aws)
    if component is None:
        return None
    with spoken_of(f"component {built.name} {built.version}"):
        try:
            return aws.greengrass.describe_component(arn=f"{component}:versions:{built.version}")
        except ClientError as exc:
            if is_missing(exc):
                return None
            raise


def _state(found: "DescribeComponentResponseTypeDef") -> str:
    return found.get("status", {}).get("componentState", "unknown")


def _check_content(built: BuiltComponent, found: "DescribeComponentResponseTypeDef") -> None:
    if found.get("tags", {}).get(CONTENT_TAG) != content_digest(built):
        raise DeployError(
            f"component {built.name} {built.version} is registered with other content, and a version is never reused: "
            f"build it under another one"
        )


def _wait_deployable(
    built: BuiltComponent, aws: Aws, clock: Callable[[], float], sleep: Callable[[float], None]
) -> str:
    deadline = clock() + TIMEOUT_S
    while True:
        found = _describe(built, aws)
        if found is not None:
            _check_content(built, found)
            status = found.get("status", {})
            if _state(found) == "DEPLOYABLE":
                return found["arn"]
            if _state(found) == "FAILED":
                why = "; ".join(f"{uri}: {error}" for uri, error in status.get("errors", {}).items())
                raise DeployError(f"component {built.name} {built.version} was refused: {why or status.get('message')}")
        if clock() >= deadline:
            raise DeployError(f"component {built.name} {built.version} is not deployable after {TIMEOUT_S:g} s")
        sleep(POLL_S)


def _component_arn(component: str, aws: Aws) -> str | None:
    with spoken_of(f"component {component}"):
        for page in aws.greengrass.get_paginator("list_components").paginate(scope="PRIVATE"):
            for found in page["components"]:
                if found["componentName"] == component:
                    return found["arn"]
    return None
