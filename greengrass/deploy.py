"""Deploying registered components to thing groups, by Greengrass' API; the same against AWS and the simulator.

Every function may be called again after a crash: what is done already is found and not done twice.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, cast

from greengrass.aws import Aws, connect, spoken_of
from greengrass.groups import group_arn
from greengrass.policies import Pace, Policies
from greengrass.register import versions_of
from models.errors import DeployError

Status = Literal["ACTIVE", "COMPLETED", "CANCELED", "FAILED", "INACTIVE"]

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Pin:
    """The version that a group's devices are to run, and what to change in its configuration there.

    With `merge` None the group's current merge stays; `{}` takes it away for devices to come (on those that have
    applied it, it persists). `reset`: JSON pointers to what becomes the default again before the merge; "" is all.
    """

    version: str
    merge: Mapping[str, Any] | None = None
    reset: tuple[str, ...] = ()


class Component(TypedDict, total=False):
    """A component as the API's deployments hold it; what others have set is kept."""

    componentVersion: str
    configurationUpdate: dict[str, Any]
    runWith: dict[str, Any]


Components = dict[str, Component]


@dataclass(frozen=True, slots=True)
class Current:
    """What a target's devices are to run. `id` is None when no deployment says just that: none was made, or the
    newest was canceled, after which some devices may run this and some what was canceled. `revision` counts all
    deployments that the target ever had."""

    id: str | None
    components: Components
    policies: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0


def deploy(
    group: str,
    pins: Mapping[str, Pin],
    *,
    remove: Collection[str] = (),
    policies: Policies | None = None,
    pace: Pace | None = None,
    again: bool = False,
    aws: Aws | None = None,
) -> str:
    """Have a thing group's devices run these components beside those they run already; the deployment's id.

    What the group's current deployment holds stays, unless a pin replaces it or `remove` names it; also what somebody
    else deploys at the same moment. When that is what is deployed already, under these policies where some are given,
    no deployment is made and the current one's id is returned (`again` makes one all the same, for devices that
    failed).
    """
    aws = aws or connect()
    target = group_arn(group, aws=aws)
    for component, pin in pins.items():
        _check_registered(component, pin.version, aws)
    current = _current(target, aws)
    for _ in range(_TRIES):
        components = merge_components(current.components, pins, remove)
        same = current.components == components and (policies is None or current.policies == policies.document())
        if current.id is not None and same and not again:
            return current.id
        job = {"iotJobConfiguration": cast(Any, pace.document())} if pace is not None and pace.document() else {}
        with spoken_of(f"deployment to {group}"):
            created = aws.greengrass.create_deployment(
                targetArn=target,
                deploymentName=f"tidegate {group}",
                components=cast(Any, components),
                deploymentPolicies=cast(Any, (policies or Policies()).document()),
                **job,
            )["deploymentId"]
            revision = _number(aws.greengrass.get_deployment(deploymentId=created)["revisionId"])
        overlooked = _revision(target, revision - 1, aws) if revision > current.revision + 1 else None
        if overlooked is None:
            return created
        # somebody else's came between our reading and our writing, and ours has taken its place: merge with theirs
        current, again = overlooked, True
    raise DeployError(f"others deploy to {group} all the time; agree on who does, then call this again")


def copy_deployment(source: str, target: str, *, aws: Aws | None = None) -> str | None:
    """Have a thing group's devices run what those of another one run, all of it, under the same policies; the
    deployment's id, None where the source has none. Repeating it makes no second deployment."""
    aws = aws or connect()
    wanted, found = current(source, aws=aws), current(target, aws=aws)
    if not wanted.revision:
        return None
    if found.id is not None and (found.components, found.policies) == (wanted.components, wanted.policies):
        return found.id
    with spoken_of(f"deployment to {target}"):
        return aws.greengrass.create_deployment(
            targetArn=group_arn(target, aws=aws),
            deploymentName=f"tidegate {target}",
            components=cast(Any, wanted.components),
            deploymentPolicies=cast(Any, dict(wanted.policies)),
        )["deploymentId"]


def merge_components(current: Components, pins: Mapping[str, Pin], remove: Collection[str] = ()) -> Components:
    """The component set that a deployment must name: what is left out of it would be uninstalled."""
    merged: Components = {name: component for name, component in current.items() if name not in remove}
    for name, pin in pins.items():
        component = cast(Component, {**merged.get(name, {}), "componentVersion": pin.version})
        if pin.merge is not None or pin.reset:
            before = component.pop("configurationUpdate", {})
            update = dict(before) if pin.merge is None else {}
            if pin.merge:
                update["merge"] = json.dumps(pin.merge, sort_keys=True)
            if pin.reset:
                update["reset"] = list(pin.reset)
            if update:
                component["configurationUpdate"] = update
        merged[name] = component
    return merged


def current_pins(group: str, *, aws: Aws | None = None) -> dict[str, Pin]:
    """What the group's devices are to run now; empty when nothing was deployed to it."""
    return {
        name: Pin(
            component["componentVersion"],
            json.loads(component.get("configurationUpdate", {}).get("merge", "null")),
        )
        for name, component in current(group, aws=aws).components.items()
    }


def current(group: str, *, aws: Aws | None = None) -> Current:
    """What the group's devices are to run, and by which deployment; DeployError when there is no such group."""
    aws = aws or connect()
    return _current(group_arn(group, aws=aws), aws)


def current_deployment(group: str, *, aws: Aws | None = None) -> str | None:
    """The id of the group's newest deployment, None when there is none or it was canceled."""
    return current(group, aws=aws).id


def deployment_status(deployment: str, *, aws: Aws | None = None) -> Status:
    """How the deployment stands. AWS keeps a group's deployment ACTIVE for devices to come: for those that are there
    now, ask `devices.progress`."""
    aws = aws or connect()
    with spoken_of(f"deployment {deployment}"):
        return aws.greengrass.get_deployment(deploymentId=deployment)["deploymentStatus"]


def cancel(deployment: str, *, aws: Aws | None = None) -> None:
    """Take a deployment back from devices that have not finished it; on those that have, it undoes nothing."""
    aws = aws or connect()
    with spoken_of(f"deployment {deployment}"):
        aws.greengrass.cancel_deployment(deploymentId=deployment)


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
        revision = 0
        # the whole history only where the newest was canceled
        for history in ("LATEST_ONLY", "ALL"):
            pages = aws.greengrass.get_paginator("list_deployments").paginate(
                targetArn=target, historyFilter=cast(Any, history)
            )
            deployments = [item for page in pages for item in page["deployments"]]
            revision = max([revision, *(_number(item["revisionId"]) for item in deployments)])
            found = [item for item in deployments if item["deploymentStatus"] != "CANCELED"]
            if found:
                newest = max(found, key=lambda item: item["creationTimestamp"])["deploymentId"]
                read = _read(newest, aws)
                return Current(newest if history == "LATEST_ONLY" else None, read.components, read.policies, revision)
    return Current(None, {}, revision=revision)


def _revision(target: str, revision: int, aws: Aws) -> Current | None:
    """What the target was to run by the deployment before its newest, to be merged with; None when there is none."""
    with spoken_of(f"deployments to {target}"):
        pages = aws.greengrass.get_paginator("list_deployments").paginate(targetArn=target, historyFilter="ALL")
        for page in pages:
            for item in page["deployments"]:
                if _number(item["revisionId"]) == revision:
                    read = _read(item["deploymentId"], aws)
                    return Current(None, read.components, read.policies, revision + 1)
    return None


def _read(deployment: str, aws: Aws) -> Current:
    found = aws.greengrass.get_deployment(deploymentId=deployment)
    components = cast(Components, found.get("components", {}))
    return Current(deployment, components, dict(found.get("deploymentPolicies", {})), _number(found["revisionId"]))


def _number(revision: str) -> int:
    # AWS counts from 1, but promises a string only
    return int(revision) if revision.isdigit() else 0
