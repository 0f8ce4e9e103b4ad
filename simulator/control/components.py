"""Greengrass' operations on component versions. A version can be deployed at once, which takes AWS a moment."""

import json
import time
from collections.abc import Mapping

from simulator.component_versions import ComponentVersion
from simulator.control.account import Account
from simulator.control.answers import Clock, Operation, Params, not_simulated, page, refuse


class Components:
    """Answers by name of operation."""

    def __init__(self, account: Account, *, clock: Clock = time.time) -> None:
        self._account = account
        self._clock = clock
        self.operations: Mapping[str, Operation] = {
            "CreateComponentVersion": self._create,
            "DescribeComponent": self._describe,
            "GetComponent": self._get,
            "DeleteComponent": self._delete,
            "ListComponents": self._list,
            "ListComponentVersions": self._list_versions,
            "ResolveComponentCandidates": self._resolve_candidates,
        }

    def _create(self, params: Params) -> Params:
        refuse(params, "lambdaFunction")
        with self._account.lock:
            created = self._account.components.create(params, s3=self._account.s3, now=self._clock())
            self._account.save()
        return {
            "arn": self._account.version_arn(created),
            "componentName": created["name"],
            "componentVersion": created["version"],
            "creationTimestamp": created["created_at"],
            # what AWS says at first; DescribeComponent tells what came of it
            "status": {"componentState": "REQUESTED", "message": "NONE", "errors": {}},
        }

    def _describe(self, params: Params) -> Params:
        record = self._found(params["arn"])
        state = "FAILED" if record["errors"] else "DEPLOYABLE"
        return {
            "arn": self._account.version_arn(record),
            "componentName": record["name"],
            "componentVersion": record["version"],
            "creationTimestamp": record["created_at"],
            "publisher": record["recipe"].get("ComponentPublisher"),
            "description": record["recipe"].get("ComponentDescription"),
            "status": {"componentState": state, "message": "NONE", "errors": record["errors"]},
            "platforms": _platforms(record),
            "tags": record["tags"] or None,
        }

    def _get(self, params: Params) -> Params:
        if params.get("recipeOutputFormat", "JSON") != "JSON":
            raise not_simulated(f"recipeOutputFormat {params['recipeOutputFormat']}")
        record = self._found(params["arn"])
        recipe = json.dumps(record["recipe"]).encode()
        return {"recipeOutputFormat": "JSON", "recipe": recipe, "tags": record["tags"] or None}

    def _delete(self, params: Params) -> Params:
        with self._account.lock:
            record = self._found(params["arn"])
            self._account.components.delete(record["name"], record["version"])
            self._account.save()
        return {}

    def _list(self, params: Params) -> Params:
        names = [] if params.get("scope") == "PUBLIC" else self._account.components.names()
        found, token = page(names, params)
        return {"components": [self._summary(name) for name in found], "nextToken": token}

    def _summary(self, name: str) -> Params:
        latest = self._account.components.of(name)[0]
        return {
            "arn": self._account.component_arn(name),
            "componentName": name,
            "latestVersion": {
                "arn": self._account.version_arn(latest),
                "componentVersion": latest["version"],
                "creationTimestamp": latest["created_at"],
                "description": latest["recipe"].get("ComponentDescription"),
                "publisher": latest["recipe"].get("ComponentPublisher"),
                "platforms": _platforms(latest),
            },
        }

    def _list_versions(self, params: Params) -> Params:
        name = params["arn"].rpartition(":components:")[2]
        records, token = page(self._account.components.of(name), params)
        found = [
            {"componentName": name, "componentVersion": record["version"], "arn": self._account.version_arn(record)}
            for record in records
        ]
        return {"componentVersions": found, "nextToken": token}

    def _resolve_candidates(self, params: Params) -> Params:
        resolved = []
        for candidate in params.get("componentCandidates", []):
            requirements = candidate.get("versionRequirements", {})
            record = self._account.components.resolve(candidate["componentName"], requirements)
            resolved.append(
                {
                    "arn": self._account.version_arn(record),
                    "componentName": record["name"],
                    "componentVersion": record["version"],
                    "recipe": json.dumps(record["recipe"]).encode(),
                    "vendorGuidance": "ACTIVE",
                }
            )
        return {"resolvedComponentVersions": resolved}

    def _found(self, arn: str) -> ComponentVersion:
        name, _, version = arn.rpartition(":components:")[2].partition(":versions:")
        return self._account.components.get(name, version)


def _platforms(record: ComponentVersion) -> list[Params]:
    manifests = record["recipe"]["Manifests"]
    return [
        {"attributes": {key: str(value) for key, value in manifest.get("Platform", {}).items()}}
        for manifest in manifests
    ]
