"""Greengrass' operations on core devices: what they run, how they are, and how far their deployments are."""

import json
import time
from collections.abc import Mapping
from typing import Any

from simulator.control.account import Account
from simulator.control.answers import Clock, Operation, Params, not_found, page, refuse
from simulator.deployments import FINAL, Execution
from simulator.restjson import INVALID, ApiError

_TOLD = ("ggcVersion", "platform", "architecture", "runtime")


class CoreDevices:
    """Answers by name of operation."""

    def __init__(self, account: Account, *, clock: Clock = time.time) -> None:
        self._account = account
        self._clock = clock
        self.operations: Mapping[str, Operation] = {
            "ListEffectiveDeployments": self._list_effective_deployments,
            "GetCoreDevice": self._get_core_device,
            "ListCoreDevices": self._list_core_devices,
            "ListInstalledComponents": self._list_installed_components,
            "DeleteCoreDevice": self._delete_core_device,
        }

    def _list_effective_deployments(self, params: Params) -> Params:
        thing = params["coreDeviceThingName"]
        self._known_device(thing)
        self._account.refresh(thing, now=self._clock())
        pairs, token = page(self._account.deployments.effective(thing), params)
        found = [
            {
                "deploymentId": record["id"],
                "deploymentName": record["name"],
                "iotJobId": record["job_id"],
                "iotJobArn": self._account.job_arn(record),
                "targetArn": record["target"],
                "coreDeviceExecutionStatus": execution["status"],
                "reason": _reason(execution),
                "statusDetails": _status_details(execution),
                "creationTimestamp": record["created_at"],
                "modifiedTimestamp": execution["updated_at"],
            }
            for record, execution in pairs
        ]
        return {"effectiveDeployments": found, "nextToken": token}

    def _get_core_device(self, params: Params) -> Params:
        thing = params["coreDeviceThingName"]
        self._known_device(thing)
        return self._core_device(thing)

    def _list_core_devices(self, params: Params) -> Params:
        refuse(params, "runtime")
        things = sorted(self._account.devices)
        if "thingGroupArn" in params:
            members = set(self._account.members(params["thingGroupArn"]))
            things = [thing for thing in things if thing in members]
        devices = [self._core_device(thing) for thing in things]
        for device in devices:
            device.pop("coreVersion", None)  # which GetCoreDevice alone tells
        wanted = params.get("status")
        found, token = page([device for device in devices if wanted in (None, device["status"])], params)
        return {"coreDevices": found, "nextToken": token}

    def _core_device(self, thing: str) -> Params:
        report = self._account.reports.get(thing)
        if report is not None:
            return {
                "coreDeviceThingName": thing,
                "coreVersion": report.get("ggcVersion"),
                "platform": report.get("platform"),
                "architecture": report.get("architecture"),
                "runtime": report.get("runtime"),
                "status": report["overallDeviceStatus"],
                "lastStatusUpdateTimestamp": report["received_at"],
            }
        # a device that tells nothing but how its deployments went
        finished = [execution for _, execution in self._account.deployments.of(thing) if execution["status"] in FINAL]
        failed = any(execution["status"] == "FAILED" for _, execution in self._account.deployments.effective(thing))
        return {
            "coreDeviceThingName": thing,
            "status": "UNHEALTHY" if failed else "HEALTHY",
            "lastStatusUpdateTimestamp": max(
                (execution["updated_at"] for execution in finished), default=self._account.devices[thing]
            ),
        }

    def _list_installed_components(self, params: Params) -> Params:
        thing = params["coreDeviceThingName"]
        self._known_device(thing)
        report = self._account.reports.get(thing, {"components": []})
        roots_only = params.get("topologyFilter", "ROOT") == "ROOT"
        found = [
            {
                "componentName": component["componentName"],
                "componentVersion": component["version"],
                "lifecycleState": component["status"],
                "lifecycleStateDetails": component.get("statusDetails") or None,
                "isRoot": component["isRoot"],
                "lastReportedTimestamp": report["received_at"],
                "lastStatusChangeTimestamp": component["changed_at"],
            }
            for component in report["components"]
            if component["isRoot"] or not roots_only
        ]
        items, token = page(found, params)
        return {"installedComponents": items, "nextToken": token}

    def _delete_core_device(self, params: Params) -> Params:
        """The thing stays, and its jobs; a device that calls again is a core device again."""
        thing = params["coreDeviceThingName"]
        self._known_device(thing)
        with self._account.lock:
            del self._account.devices[thing]
            self._account.reports.pop(thing, None)
            self._account.save()
        return {}

    def thing_groups(self, thing: str) -> list[dict[str, str]]:
        """The groups that a core device is in, as it asks for them itself: ListThingGroupsForCoreDevice of the data
        plane, of which botocore has no model."""
        arns = self._account.targets_of(thing)
        return [
            {"thingGroupArn": arn, "thingGroupName": arn.rpartition("/")[2]}
            for arn in sorted(arns)
            if ":thinggroup/" in arn
        ]

    def take_report(self, thing: str, report: Mapping[str, Any]) -> None:
        """What a nucleus says about itself and its components: the fleet status service's message, as real nuclei
        publish it to `$aws/things/THING/greengrassv2/health/json`. ApiError when it is none."""
        now = self._clock()
        with self._account.lock:
            before = {
                (component["componentName"], component["status"]): component["changed_at"]
                for component in self._account.reports.get(thing, {}).get("components", [])
            }
            try:
                components = [
                    {
                        "componentName": str(item["componentName"]),
                        "version": str(item["version"]),
                        "status": str(item["status"]),
                        "statusDetails": str(item.get("statusDetails", "")),
                        "isRoot": bool(item.get("isRoot", True)),
                        "changed_at": before.get((item["componentName"], item["status"]), now),
                    }
                    for item in report["components"]
                ]
                status = str(report["overallDeviceStatus"])
            except (KeyError, TypeError, AttributeError) as exc:
                raise ApiError(INVALID, f"fleet status of {thing} is none: {exc!r}") from exc
            known = {
                key: str(report[key]) for key in ("ggcVersion", "platform", "architecture", "runtime") if key in report
            }
            self._account.reports[thing] = {
                **known, "overallDeviceStatus": status, "components": components, "received_at": now,
            }  # fmt: skip
            self._account.devices.setdefault(thing, now)
            self._account.save()

    def _known_device(self, thing: str) -> None:
        if thing not in self._account.devices:
            raise not_found("core device", thing)


def _reason(execution: Execution) -> str | None:
    """Why it went as it did, in the device's words."""
    details = execution["details"]
    return details.get("deployment-failure-cause") or details.get("detailed-deployment-status")


def _status_details(execution: Execution) -> Params | None:
    details = execution["details"]
    if "deployment-error-stack" not in details:
        return None
    return {
        "errorStack": _strings(details["deployment-error-stack"]),
        "errorTypes": _strings(details.get("deployment-error-types", "[]")),
    }


def _strings(text: str) -> list[str]:
    """A list as the Java nucleus writes it into a status detail: JSON, or else whatever it says, alone."""
    try:
        found = json.loads(text)
    except ValueError:
        return [text]
    return [str(item) for item in found] if isinstance(found, list) else [text]
