"""What Greengrass says of core devices: how they are, what they run, and how far their deployments are."""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from botocore.exceptions import ClientError

from greengrass.aws import Aws, connect, is_missing, spoken_of
from greengrass.groups import group_arn
from models.errors import DeployError

Clock = Callable[[], float]
Sleep = Callable[[float], None]
Progress = Literal["pending", "succeeded", "failed"]

POLL_S = 1.0
# AWS has said both for the same thing
_SUCCEEDED = ("SUCCEEDED", "COMPLETED")
_FAILED = ("FAILED", "REJECTED", "TIMED_OUT", "CANCELED")
_OVER = ("CANCELED", "INACTIVE")


@dataclass(frozen=True, slots=True)
class Effective:
    """A device's part of the latest deployment of one of its targets. `reason`: why it went as it did, if told."""

    deployment: str
    name: str
    target: str
    status: str
    reason: str
    changed_at: datetime

    @property
    def progress(self) -> Progress:
        if self.status in _SUCCEEDED:
            return "succeeded"
        return "failed" if self.status in _FAILED else "pending"


@dataclass(frozen=True, slots=True)
class CoreDevice:
    """A device as the cloud last heard of it; what its nucleus did not tell is empty."""

    thing: str
    status: Literal["HEALTHY", "UNHEALTHY"]
    nucleus: str
    platform: str
    heard_at: datetime


@dataclass(frozen=True, slots=True)
class Installed:
    """A component on a device, in the state that its nucleus last told. `root`: a deployment names it."""

    component: str
    version: str
    state: str
    details: str
    root: bool


def core_devices(group: str, *, aws: Aws | None = None) -> dict[str, CoreDevice]:
    """The group's devices whose nucleus was ever heard of; DeployError when there is no such group."""
    aws = aws or connect()
    arn = group_arn(group, aws=aws)
    with spoken_of(f"core devices of {group}"):
        pages = aws.greengrass.get_paginator("list_core_devices").paginate(thingGroupArn=arn)
        return {
            item["coreDeviceThingName"]: CoreDevice(
                item["coreDeviceThingName"],
                item["status"],
                "",
                _joined(item.get("platform"), item.get("architecture")),
                item["lastStatusUpdateTimestamp"],
            )
            for page in pages
            for item in page["coreDevices"]
        }


def core_device(thing: str, *, aws: Aws | None = None) -> CoreDevice | None:
    """One device, None where its nucleus was never heard of."""
    aws = aws or connect()
    with spoken_of(f"core device {thing}"):
        try:
            found = aws.greengrass.get_core_device(coreDeviceThingName=thing)
        except ClientError as exc:
            if is_missing(exc):
                return None
            raise
    platform = _joined(found.get("platform"), found.get("architecture"))
    return CoreDevice(
        thing, found["status"], found.get("coreVersion", ""), platform, found["lastStatusUpdateTimestamp"]
    )


def installed_components(thing: str, *, aws: Aws | None = None) -> tuple[Installed, ...]:
    """What a device runs, in order of name, as its nucleus last told; nothing where it told nothing."""
    aws = aws or connect()
    with spoken_of(f"core device {thing}"):
        try:
            pages = aws.greengrass.get_paginator("list_installed_components").paginate(
                coreDeviceThingName=thing, topologyFilter="ALL"
            )
            found = [
                Installed(
                    item["componentName"],
                    item["componentVersion"],
                    item["lifecycleState"],
                    item.get("lifecycleStateDetails", ""),
                    item.get("isRoot", False),
                )
                for page in pages
                for item in page["installedComponents"]
            ]
        except ClientError as exc:
            if is_missing(exc):
                return ()
            raise
    return tuple(sorted(found, key=lambda item: item.component))


def effective_deployments(thing: str, *, aws: Aws | None = None) -> tuple[Effective, ...]:
    """How far a device is with the latest deployment of each of its targets; none for one that was never heard of."""
    aws = aws or connect()
    with spoken_of(f"core device {thing}"):
        try:
            pages = aws.greengrass.get_paginator("list_effective_deployments").paginate(coreDeviceThingName=thing)
            return tuple(
                Effective(
                    item["deploymentId"],
                    item["deploymentName"],
                    item["targetArn"],
                    item["coreDeviceExecutionStatus"],
                    item.get("reason") or ", ".join(item.get("statusDetails", {}).get("errorStack", [])),
                    item["modifiedTimestamp"],
                )
                for page in pages
                for item in page["effectiveDeployments"]
            )
        except ClientError as exc:
            if is_missing(exc):
                return ()
            raise


def executions(deployment: str, things: Collection[str], *, aws: Aws | None = None) -> dict[str, Effective | None]:
    """How far each device is with one deployment to a group; None for one that has not been told of it, or that a newer
    one was told of in its place."""
    aws = aws or connect()
    if not things:
        return {}
    with spoken_of(f"deployment {deployment}"):
        # by the job, many devices a question; asked one by one, a large fleet would be throttled
        found = aws.greengrass.get_deployment(deploymentId=deployment)
        pages = aws.iot.get_paginator("list_job_executions_for_job").paginate(jobId=found["iotJobId"])
        summaries = {
            item["thingArn"].rpartition("/")[2]: item["jobExecutionSummary"]
            for page in pages
            for item in page["executionSummaries"]
        }
    left_out = ("REMOVED",) if found["isLatestForTarget"] else ("REMOVED", "CANCELED")
    known: dict[str, Effective | None] = dict.fromkeys(things)
    for thing in known:
        summary = summaries.get(thing)
        if summary is None or summary["status"] in left_out:
            continue
        name, target = found.get("deploymentName", ""), found["targetArn"]
        execution = Effective(deployment, name, target, summary["status"], "", summary["lastUpdatedAt"])
        if execution.progress == "failed":
            # the job does not say why; the device's own record does
            execution = replace(execution, reason=_reason(deployment, thing, aws))
        known[thing] = execution
    return known


def _reason(deployment: str, thing: str, aws: Aws) -> str:
    found = effective_deployments(thing, aws=aws)
    return next((item.reason for item in found if item.deployment == deployment), "")


def progress(deployment: str, things: Collection[str], *, aws: Aws | None = None) -> dict[str, Progress]:
    """How far each device is with a deployment; one that was never heard of is pending."""
    return {
        thing: "pending" if execution is None else execution.progress
        for thing, execution in executions(deployment, things, aws=aws).items()
    }


def watch_deployment(
    deployment: str,
    things: Collection[str],
    timeout_s: float,
    *,
    aws: Aws | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> Iterator[int]:
    """How many of `things` have the deployment, each time that somebody looks, until all have. DeployError as soon as
    one failed, when it was superseded or canceled, or after `timeout_s`."""
    aws = aws or connect()
    deadline = clock() + timeout_s
    waiting = sorted(things)
    while True:
        for thing, execution in executions(deployment, waiting, aws=aws).items():
            if execution is None:
                continue
            if execution.progress == "failed":
                why = execution.reason or execution.status
                raise DeployError(f"deployment {deployment} failed on {thing}: {why}; see its nucleus' log")
            if execution.progress == "succeeded":
                waiting.remove(thing)
        yield len(things) - len(waiting)
        if not waiting:
            return
        with spoken_of(f"deployment {deployment}"):
            status = aws.greengrass.get_deployment(deploymentId=deployment)["deploymentStatus"]
        if status in _OVER:
            raise DeployError(f"deployment {deployment} is {status}: it was canceled, or a newer one took its place")
        if clock() >= deadline:
            raise DeployError(
                f"deployment {deployment} is not on {_few(waiting)} after {timeout_s:g} s; are they online?"
            )
        sleep(POLL_S)


def wait_deployed(
    deployment: str,
    things: Collection[str],
    timeout_s: float,
    *,
    aws: Aws | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> None:
    """Return once all of `things` have the deployment; what `watch_deployment` raises."""
    for _ in watch_deployment(deployment, things, timeout_s, aws=aws, clock=clock, sleep=sleep):
        pass


def _few(things: list[str], at_most: int = 10) -> str:
    more = f" and {len(things) - at_most} more" if len(things) > at_most else ""
    return ", ".join(things[:at_most]) + more


def _joined(*parts: str | None) -> str:
    return "/".join(part for part in parts if part)
