"""The component versions that an account has registered: checked as Greengrass does, artifacts digested from S3."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urlparse

from greengrass.objects import S3Store
from greengrass.recipe_rules import check_format
from models.errors import DeployError, StoreError
from simulator import versions
from simulator.restjson import INVALID, ApiError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class ComponentVersion(TypedDict):
    """A registered version. `errors` by artifact; a version with errors is FAILED and cannot be deployed."""

    name: str
    version: str
    recipe: dict[str, Any]
    created_at: float
    tags: dict[str, str]
    token: str
    errors: dict[str, str]


class ComponentVersions:
    """All component versions of an account, oldest first, in `records`."""

    def __init__(self, records: list[ComponentVersion]) -> None:
        self.records = records

    def create(self, request: dict[str, Any], *, s3: "S3Client", now: float) -> ComponentVersion:
        """Register a recipe; its artifacts must be in S3 by now, or the version is FAILED, as on AWS."""
        recipe = _read_recipe(request.get("inlineRecipe", b""))
        name, version = recipe["ComponentName"], recipe["ComponentVersion"]
        token = request.get("clientToken", "")
        for record in self.records:
            if (record["name"], record["version"]) == (name, version):
                if token and record["token"] == token:
                    return record
                raise ApiError(
                    "ConflictException",
                    f"component {name} has a version {version} already",
                    status=409,
                    resourceId=f"{name}:{version}",
                    resourceType="component",
                )
        created = ComponentVersion(
            name=name,
            version=version,
            recipe=recipe,
            created_at=now,
            tags=request.get("tags", {}),
            token=token,
            errors=_digest_artifacts(recipe, s3),
        )
        self.records.append(created)
        return created

    def get(self, name: str, version: str) -> ComponentVersion:
        for record in self.records:
            if (record["name"], record["version"]) == (name, version):
                return record
        raise ApiError(
            "ResourceNotFoundException",
            f"component {name} has no version {version}",
            status=404,
            resourceId=f"{name}:{version}",
            resourceType="component",
        )

    def delete(self, name: str, version: str) -> None:
        self.records.remove(self.get(name, version))

    def names(self) -> list[str]:
        return sorted({record["name"] for record in self.records})

    def of(self, name: str) -> list[ComponentVersion]:
        """A component's versions, newest number first."""
        found = [record for record in self.records if record["name"] == name]
        return sorted(found, key=lambda record: versions.order(record["version"]), reverse=True)

    def resolve(self, name: str, requirements: dict[str, str]) -> ComponentVersion:
        """The newest deployable version in all the ranges; ApiError where there is none."""
        for record in self.of(name):
            if not record["errors"] and all(_satisfies(record["version"], rule) for rule in requirements.values()):
                return record
        raise ApiError(
            "ResourceNotFoundException",
            f"component {name} has no version that satisfies {requirements}",
            status=404,
            resourceId=name,
            resourceType="component",
        )


def _read_recipe(blob: bytes) -> dict[str, Any]:
    try:
        return check_format(json.loads(blob))
    except ValueError as exc:
        raise ApiError(INVALID, f"inlineRecipe is not JSON, which is all that is taken here: {exc}") from exc
    except DeployError as exc:
        raise ApiError(INVALID, str(exc)) from exc


def _digest_artifacts(recipe: dict[str, Any], s3: "S3Client") -> dict[str, str]:
    """Put each artifact's digest into the recipe, which on AWS is the service's work too; what failed, by URI."""
    errors: dict[str, str] = {}
    for artifact in _artifacts(recipe):
        uri = str(artifact.get("Uri", ""))
        place = urlparse(uri)
        try:
            if place.scheme != "s3":
                raise StoreError(f"{uri!r} is not in S3")
            content = S3Store(place.netloc, client=s3).get(place.path.lstrip("/"))
        except StoreError as exc:
            errors[uri] = f"Specified artifact resource cannot be accessed: {exc}"
            continue
        artifact["Digest"] = base64.b64encode(hashlib.sha256(content).digest()).decode()
        artifact["Algorithm"] = "SHA-256"
    return errors


def _artifacts(recipe: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for manifest in recipe["Manifests"]:
        yield from manifest.get("Artifacts", [])


def _satisfies(version: str, requirement: str) -> bool:
    try:
        return versions.satisfies(version, requirement)
    except ValueError as exc:
        raise ApiError(INVALID, str(exc)) from exc
