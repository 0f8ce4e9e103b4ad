"""Deploying registered components to thing groups, by Greengrass' API; the same against AWS and the simulator.

Every function may be called again after a crash: what is done already is found and not done twice.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

from botocore.exceptions import ClientError

from greengrass.aws import Aws, connect, is_missing, spoken_of
from greengrass.groups import group_arn
from greengrass.register import versions_of
from models.errors import DeployError

Clock = Callable[[], float]
Sleep = Callable[[float], None]
Status = Literal["ACTIVE", "COMPLETED", "CANCELED", "FAILED", "INACTIVE"]
Progress = Literal["pending", "succeeded", "failed"]

POLL_S = 1.0
POLICIES: dict[str, Any] = {
    # honoured by the Java nucleus; lite does not roll back, which is why a roll-out does it by itself
    "failureHandlingPolicy": "ROLLBACK",
    "componentUpdatePolicy": {"action": "NOTIFY_COMPONENTS", "timeoutInSeconds": 60},
    "configurationValidationPolicy": {"timeoutInSeconds": 60},
}
# AWS has said both for the same thing
_SUCCEEDED = ("SUCCEEDED", "COMPLETED")
_FAILED = ("FAILED", "REJECTED", "TIMED_OUT", "CANCELED")


@dataclass(frozen=True, slots=True)
class Pin:
    """The version that a group's devices are to run, and what to merge into its configuration there.

    With `merge` None the group's current merge stays; `{}` takes it away for devices to come (on those that have
    applied it, it persists).
    """

    version: str
    merge: Mapping[str, Any] | None = None


class Component(TypedDict, total=False):
    """A component as the API's deployments hold it; what others have set is kept."""

    componentVersion: str
    configurationUpdate: dict[str, Any]
    runWith: dict[str, Any]


Components = dict[str, Component]


@dataclass(frozen=True, slots=True)
class Current:
    """What a target's devices are to run. `id` is None when no deployment says just that: none was made, or the
    newest was canceled, after which some devices may run this and some what was canceled."""

    id: str | None
    components: Components


def deploy(
    group: str,
    pins: Mapping[str, Pin],
    *,
    remove: Collection[str] = (),
    again: bool = False,
    aws: Aws | None = None,
) -> str:
    """Have a thing group's devices run these components beside those they run already; the deployment's id.

    What the group's current deployment holds stays, unless a pin replaces it or `remove` names it. When that is what
    is deployed already, no deployment is made and the current one's id is returned (`again` makes one all the same,
    for devices that failed).
    """
    aws = aws or connect()
    target = group_arn(group, aws=aws)
    for component, pin in pins.items():
        _check_registered(component, pin.version, aws)
    current = _current(target, aws)
    components = merge_components(current.components, pins, remove)
    if current.id is not None and current.components == components and not again:
        return current.id
    with spoken_of(f"deployment to {group}"):
        created = aws.greengrass.create_deployment(
            targetArn=target,
            deploymentName=f"tidegate {group}",
            components=cast(Any, components),
            deploymentPolicies=cast(Any, POLICIES),
        )
    return created["deploymentId"]


def merge_components(current: Components, pins: Mapping[str, Pin], remove: Collection[str] = ()) -> Components:
    """The component set that a deployment must name: what is left out of it would be uninstalled."""
    merged: Components = {name: component for name, component in current.items() if name not in remove}
    for name, pin in pins.items():
        component = cast(Component, {**merged.get(name, {}), "componentVersion": pin.version})
        if pin.merge is not None:
            component.pop("configurationUpdate", None)
            if pin.merge:
                component["configurationUpdate"] = {"merge": json.dumps(pin.merge, sort_keys=True)}
        merged[name] = component
    return merged


def current_pins(group: str, *, aws: Aws | None = None) -> dict[str, Pin]:
    """What the group's devices are to run now; empty when nothing was deployed to it."""
    aws = aws or connect()
    return {
        name: Pin(
            component["componentVersion"],
            json.loads(component.get("configurationUpdate", {}).get("merge", "null")),
        )
        for name, component in _current(group_arn(group, aws=aws), aws).components.items()
    }


def current_deployment(group: str, *, aws: Aws | None = None) -> str | None:
    """The id of the group's newest deployment, None when there is none or it was canceled."""
    aws = aws or connect()
    return _current(group_arn(group, aws=aws), aws).id


def deployment_status(deployment: str, *, aws: Aws | None = None) -> Status:
    """How the deployment stands. AWS keeps a group's deployment ACTIVE for devices to come: for those that are there
    now, ask `progress`."""
    aws = aws or connect()
    with spoken_of(f"deployment {deployment}"):
        return aws.greengrass.get_deployment(deploymentId=deployment)["deploymentStatus"]


def cancel(deployment: str, *, aws: Aws | None = None) -> None:
    """Take a deployment back from devices that have not finished it; on those that have, it undoes nothing."""
    aws = aws or connect()
    with spoken_of(f"deployment {deployment}"):
        aws.greengrass.cancel_deployment(deploymentId=deployment)


def progress(deployment: str, things: Collection[str], *, aws: Aws | None = None) -> dict[str, Progress]:
    """How far each device is with a deployment; one that was never heard of is pending."""
    aws = aws or connect()
    return {thing: _progress(_execution(deployment, thing, aws)) for thing in things}


def wait_deployed(
    deployment: str,
    things: Collection[str],
    timeout_s: float,
    *,
    aws: Aws | None = None,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> None:
    """Return once all of `things` have the deployment. DeployError as soon as one failed, when it was superseded or
    canceled, or after `timeout_s`."""
    aws = aws or connect()
    deadline = clock() + timeout_s
    waiting = list(things)
    while True:
        executions = {thing: _execution(deployment, thing, aws) for thing in waiting}
        for thing, execution in executions.items():
            if _progress(execution) == "failed":
                why = execution.get("reason") or execution["coreDeviceExecutionStatus"]
                raise DeployError(f"deployment {deployment} failed on {thing}: {why}; see its nucleus' log")
        waiting = sorted(thing for thing, execution in executions.items() if _progress(execution) != "succeeded")
        if not waiting:
            return
        status = deployment_status(deployment, aws=aws)
        if status in ("CANCELED", "INACTIVE"):
            raise DeployError(f"deployment {deployment} is {status}: it was canceled, or a newer one took its place")
        if clock() >= deadline:
            missing = ", ".join(waiting)
            raise DeployError(f"deployment {deployment} is not on {missing} after {timeout_s:g} s; are they online?")
        sleep(POLL_S)


# -- how it is asked for


def _check_registered(component: str, version: str, aws: Aws) -> None:
    have = versions_of(component, aws=aws)
    if version not in have:
        raise DeployError(
            f"component {component} {version} is not registered (registered: {', '.join(have) or 'none'}); "
            f"build it with `tidegate component build` and register it with `tidegate deploy`"
        )


def _current(target: str, aws: Aws) -> Current:
    with spoken_of(f"deployments to {target}"):
        # the whole history only where the newest was canceled
        for history in ("LATEST_ONLY", "ALL"):
            pages = aws.greengrass.get_paginator("list_deployments").paginate(
                targetArn=target, historyFilter=cast(Any, history)
            )
            found = [item for page in pages for item in page["deployments"] if item["deploymentStatus"] != "CANCELED"]
            if found:
                newest = max(found, key=lambda item: item["creationTimestamp"])["deploymentId"]
                components = aws.greengrass.get_deployment(deploymentId=newest).get("components", {})
                return Current(newest if history == "LATEST_ONLY" else None, cast(Components, components))
    return Current(None, {})


def _execution(deployment: str, thing: str, aws: Aws) -> dict[str, Any]:
    """What the service knows of one device's part of a deployment; empty before the device was heard of."""
    with spoken_of(f"core device {thing}"):
        try:
            pages = aws.greengrass.get_paginator("list_effective_deployments").paginate(coreDeviceThingName=thing)
            for page in pages:
                for found in page["effectiveDeployments"]:
                    if found["deploymentId"] == deployment:
                        return dict(found)
        except ClientError as exc:
            if not is_missing(exc):
                raise
    return {}


def _progress(execution: Mapping[str, Any]) -> Progress:
    status = execution.get("coreDeviceExecutionStatus")
    if status in _SUCCEEDED:
        return "succeeded"
    return "failed" if status in _FAILED else "pending"
