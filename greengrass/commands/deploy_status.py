"""`tidegate deploy status`: what a group or a device is to run, how far each device is, and why it is not further."""

import argparse
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from greengrass.deploy import current, deployment_status
from greengrass.devices import (
    core_device,
    core_devices,
    effective_deployments,
    executions,
    installed_components,
)
from greengrass.groups import members
from models.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("status_group", metavar="GROUP", nargs="?", help="a thing group: a fleet or a ring")
    parser.add_argument("--device", metavar="THING", help="one device: all its deployments and components")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    if (args.status_group is None) == (args.device is None):
        raise UsageError("deploy status needs a GROUP or --device THING, and not both")
    found = _group(args.status_group) if args.device is None else _device(args.device)
    if args.json:
        print(json.dumps(found, indent=2, default=_text))
    elif args.device is None:
        _show_group(found)
    else:
        _show_device(found)
    return 0


def _group(group: str) -> dict[str, Any]:
    things = members(group)
    wanted = current(group)
    how_far = executions(wanted.id, things) if wanted.id is not None else dict.fromkeys(things)
    known = core_devices(group)
    devices = []
    for thing in things:
        execution, device = how_far[thing], known.get(thing)
        devices.append(
            {
                "thing": thing,
                "deployment": None if execution is None else execution.status,
                "reason": "" if execution is None else execution.reason,
                "health": None if device is None else device.status,
                "heard_at": None if device is None else device.heard_at,
            }
        )
    return {
        "group": group,
        "deployment": wanted.id,
        "status": None if wanted.id is None else deployment_status(wanted.id),
        "components": {name: component["componentVersion"] for name, component in wanted.components.items()},
        "policies": dict(wanted.policies),
        "devices": devices,
    }


def _device(thing: str) -> dict[str, Any]:
    device = core_device(thing)
    return {
        "thing": thing,
        "device": None if device is None else asdict(device),
        "deployments": [asdict(found) for found in effective_deployments(thing)],
        "components": [asdict(found) for found in installed_components(thing)],
    }


def _show_group(found: dict[str, Any]) -> None:
    console = Console()
    if found["deployment"] is None:
        console.print(f"{found['group']}: nothing is deployed, or what was has been canceled")
    else:
        console.print(f"{found['group']}: deployment {found['deployment']}, {found['status']}")
    for name, version in found["components"].items():
        console.print(f"  {name} {version}")
    table = Table("device", "deployment", "health", "heard of", "reason")
    for device in found["devices"]:
        table.add_row(
            device["thing"],
            device["deployment"] or ("-" if found["deployment"] is None else "not told yet"),
            device["health"] or "never heard of",
            _text(device["heard_at"]),
            device["reason"],
        )
    console.print(table)


def _show_device(found: dict[str, Any]) -> None:
    console = Console()
    device = found["device"]
    if device is None:
        console.print(f"{found['thing']}: no nucleus by this name was ever heard of")
        return
    nucleus = " ".join(part for part in (device["nucleus"], device["platform"]) if part) or "a nucleus"
    console.print(f"{found['thing']}: {device['status']}, {nucleus}, heard of {_text(device['heard_at'])}")
    deployments = Table("deployment", "target", "status", "reason")
    for item in found["deployments"]:
        deployments.add_row(item["name"], item["target"].rpartition(":")[2], item["status"], item["reason"])
    components = Table("component", "version", "state", "details")
    for item in found["components"]:
        components.add_row(item["component"], item["version"], item["state"], item["details"])
    console.print(deployments)
    if found["components"]:
        console.print(components)


def _text(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="seconds")
