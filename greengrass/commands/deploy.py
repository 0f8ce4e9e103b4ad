"""`tidegate deploy`: register built components and deploy them to a thing group."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from greengrass.component import BuiltComponent, artifact_bytes, read_built
from greengrass.deploy import Pin, current_pins, deploy, wait_deployed
from greengrass.groups import things_in
from greengrass.objects import open_store
from greengrass.register import is_registered, register
from models.errors import DeployError, UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--components", type=Path, required=True, help="folder made by `tidegate component build`")
    parser.add_argument("--group", help="the thing group to deploy to; without it, components are registered only")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME[@VERSION]", help="this component only (may be repeated)"
    )
    parser.add_argument(
        "--artifacts",
        default=os.environ.get("TIDEGATE_ARTIFACTS"),
        help="where artifacts go, s3://BUCKET/PREFIX (default: TIDEGATE_ARTIFACTS)",
    )
    parser.add_argument("--again", action="store_true", help="deploy even what is deployed, for devices that failed")
    parser.add_argument("--wait", type=float, metavar="S", help="wait until every device has it, at most S seconds")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(args: argparse.Namespace) -> int:
    if not args.artifacts:
        raise UsageError("deploy needs a place for artifacts: --artifacts s3://BUCKET/PREFIX, or TIDEGATE_ARTIFACTS")
    if args.group is None and (args.wait is not None or args.again):
        raise UsageError("--wait and --again need a --group to deploy to")
    chosen = choose(read_built(args.components), args.only)
    if args.group is not None:
        _check_one_version_each(chosen)
    outcome = _foresee(args, chosen) if args.dry_run else _act(args, chosen)
    if args.json:
        print(json.dumps(outcome, indent=2))
    else:
        _show(outcome)
    return 0


def choose(built: Sequence[BuiltComponent], only: Sequence[str]) -> list[BuiltComponent]:
    """The components that `NAME` or `NAME@VERSION` pick, all of them without; UsageError for one that picks none."""
    if not only:
        return list(built)
    chosen = []
    for choice in only:
        name, _, version = choice.partition("@")
        found = [component for component in built if component.name == name and version in ("", component.version)]
        if not found:
            have = ", ".join(f"{component.name}@{component.version}" for component in built)
            raise UsageError(f"--only {choice}: not among the built components, which are {have}")
        chosen += [component for component in found if component not in chosen]
    return chosen


def _check_one_version_each(chosen: Sequence[BuiltComponent]) -> None:
    by_name: dict[str, list[str]] = {}
    for component in chosen:
        by_name.setdefault(component.name, []).append(component.version)
    for name, versions in by_name.items():
        if len(versions) > 1:
            raise UsageError(f"{name} was built in versions {', '.join(versions)}: pick one with --only {name}@VERSION")


def _foresee(args: argparse.Namespace, chosen: Sequence[BuiltComponent]) -> dict[str, Any]:
    outcome: dict[str, Any] = {
        "dry_run": True,
        "register": [
            {"name": component.name, "version": component.version, "bytes": artifact_bytes(component)}
            for component in chosen
            if not is_registered(component)
        ],
    }
    if args.group is not None:
        outcome |= {"group": args.group, "devices": _devices(args.group), "changes": _changes(args.group, chosen)}
    return outcome


def _act(args: argparse.Namespace, chosen: Sequence[BuiltComponent]) -> dict[str, Any]:
    console = Console(stderr=True)
    store = open_store(args.artifacts)
    outcome: dict[str, Any] = {"dry_run": False, "register": []}
    # before anything is registered: a group that is not there is the likeliest mistake
    if args.group is not None:
        outcome |= {"group": args.group, "devices": _devices(args.group), "changes": _changes(args.group, chosen)}
    for component in chosen:
        with console.status(f"registering {component.name} {component.version} ({artifact_bytes(component):,} bytes)"):
            arn = register(component, store)
        outcome["register"].append({"name": component.name, "version": component.version, "arn": arn})
    if args.group is not None:
        pins = {component.name: Pin(component.version) for component in chosen}
        outcome["deployment"] = deploy(args.group, pins, again=args.again)
        if args.wait is not None:
            devices = outcome["devices"]
            with console.status(f"deploying to {args.group} ({len(devices)})"):
                wait_deployed(outcome["deployment"], devices, args.wait)
            outcome["deployed"] = True
    return outcome


def _devices(group: str) -> list[str]:
    things = things_in(group)
    if things is None:
        raise DeployError(f"there is no thing group {group!r}; make it, or name another with --group")
    return list(things)


def _changes(group: str, chosen: Sequence[BuiltComponent]) -> list[dict[str, str | None]]:
    pins = current_pins(group)
    return [
        {
            "name": component.name,
            "from": pins[component.name].version if component.name in pins else None,
            "to": component.version,
        }
        for component in chosen
    ]


def _show(outcome: dict[str, Any]) -> None:
    console = Console()
    would = "would be registered" if outcome["dry_run"] else "registered"
    for component in outcome["register"]:
        console.print(f"{would}: {component['name']} {component['version']}")
    if "group" not in outcome:
        return
    table = Table("component", "from", "to", title=f"{outcome['group']}, devices: {len(outcome['devices'])}")
    for change in outcome["changes"]:
        table.add_row(change["name"], change["from"] or "-", change["to"])
    console.print(table)
    if "deployment" in outcome:
        console.print(f"deployment {outcome['deployment']}{' is on every device' if 'deployed' in outcome else ''}")
