"""`tidegate deploy`: register built components and deploy them to a thing group; see how it went; take it back."""

import argparse
import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from greengrass.commands import deploy_cancel, deploy_status
from greengrass.component import BuiltComponent, artifact_bytes, read_built
from greengrass.deploy import Pin, current_pins, deploy
from greengrass.devices import watch_deployment
from greengrass.groups import members
from greengrass.objects import open_store
from greengrass.policies import Pace, Policies
from greengrass.recipe import exact_dependencies
from greengrass.register import is_registered, register, versions_of
from models.errors import DeployError, UsageError

_ABORT_AFTER = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--components", type=Path, metavar="FOLDER", help="made by `tidegate component build`")
    parser.add_argument("--group", help="the thing group to deploy to; without it, components are registered only")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME[@VERSION]", help="this component only (may be repeated)"
    )
    parser.add_argument(
        "--merge", action="append", default=[], metavar="NAME=FILE",
        help="what to change in a component's configuration for this group, JSON; {} takes an earlier change back",
    )  # fmt: skip
    parser.add_argument(
        "--reset", action="append", default=[], metavar="NAME[=/POINTER]",
        help="what of a component's configuration becomes its default again, before a merge (default: all of it)",
    )  # fmt: skip
    parser.add_argument(
        "--remove", action="append", default=[], metavar="NAME", help="uninstall this component (may be repeated)"
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
    _policy_arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="[status | cancel]")
    deploy_status.arguments(actions.add_parser("status", help="what a group or a device is to run, and how far it is"))
    deploy_cancel.arguments(actions.add_parser("cancel", help="take a deployment back where it has not arrived yet"))


def _policy_arguments(parser: argparse.ArgumentParser) -> None:
    policies = parser.add_argument_group("what each device does (honoured by the Java nucleus)")
    policies.add_argument(
        "--on-failure", choices=("rollback", "keep"), help="go back to what ran before, or not (default: rollback)"
    )
    policies.add_argument("--no-notice", action="store_true", help="update without asking the components first")
    policies.add_argument(
        "--update-timeout", type=int, metavar="S", help="how long components may put it off (default: 60)"
    )
    pace = parser.add_argument_group("how it reaches the group")
    pace.add_argument("--per-minute", type=int, metavar="N", help="tell N devices a minute (default: all at once)")
    pace.add_argument("--abort-at", type=float, metavar="PERCENT", help="cancel it once so many have failed ...")
    pace.add_argument(
        "--abort-after", type=int, metavar="N", help=f"... of N or more that are done (default: {_ABORT_AFTER})"
    )
    pace.add_argument("--timeout-minutes", type=int, metavar="N", help="a device that takes longer has failed")


def run(args: argparse.Namespace) -> int:
    if args.action is not None:
        return {"status": deploy_status.run, "cancel": deploy_cancel.run}[args.action](args)
    policies, pace = _policies(args), _pace(args)
    changes = args.remove or args.merge or args.reset
    if args.components is None and not changes:
        raise UsageError("deploy needs something to do: --components FOLDER, --remove NAME or --merge NAME=FILE")
    if args.components is not None and not args.artifacts:
        raise UsageError("deploy needs a place for artifacts: --artifacts s3://BUCKET/PREFIX, or TIDEGATE_ARTIFACTS")
    if args.group is None and (
        args.wait is not None or args.again or changes or policies is not None or pace is not None
    ):
        raise UsageError("all but --components, --only and --artifacts need a --group to deploy to")
    chosen = [] if args.components is None else choose(read_built(args.components), args.only)
    if args.group is not None:
        _check_one_version_each(chosen)
    merges = {name: _read_merge(name, file) for name, file in map(_split_merge, args.merge)}
    resets: dict[str, tuple[str, ...]] = {}
    for name, _, pointer in (text.partition("=") for text in args.reset):
        resets[name] = (*resets.get(name, ()), pointer)
    # before anything is registered: a group that is not there is the likeliest mistake
    outcome: dict[str, Any] = {"dry_run": args.dry_run, "register": []}
    pins: dict[str, Pin] = {}
    if args.group is not None:
        running = current_pins(args.group)
        pins = _pins(chosen, merges, resets, running, args.group)
        outcome |= {"group": args.group, "devices": list(members(args.group))}
        outcome["changes"] = _changes(pins, args.remove, running)
        after = {
            name: pin.version for name, pin in {**running, **pins}.items() if name in pins or name not in args.remove
        }
        _check_needs(chosen, after, args.group)
    if args.dry_run:
        outcome["register"] = [
            {"name": component.name, "version": component.version, "bytes": artifact_bytes(component)}
            for component in chosen
            if not is_registered(component)
        ]
    else:
        _act(args, chosen, pins, policies, pace, outcome)
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


def _policies(args: argparse.Namespace) -> Policies | None:
    if args.on_failure is None and args.update_timeout is None and not args.no_notice:
        return None
    return Policies(
        on_failure="DO_NOTHING" if args.on_failure == "keep" else "ROLLBACK",
        update="SKIP_NOTIFY_COMPONENTS" if args.no_notice else "NOTIFY_COMPONENTS",
        update_timeout_s=60 if args.update_timeout is None else args.update_timeout,
    )


def _pace(args: argparse.Namespace) -> Pace | None:
    if args.abort_after is not None and args.abort_at is None:
        raise UsageError("--abort-after needs --abort-at PERCENT")
    if args.per_minute is None and args.abort_at is None and args.timeout_minutes is None:
        return None
    return Pace(
        per_minute=args.per_minute,
        abort_percent=args.abort_at,
        abort_after=_ABORT_AFTER if args.abort_after is None else args.abort_after,
        timeout_minutes=args.timeout_minutes,
    )


def _check_one_version_each(chosen: Sequence[BuiltComponent]) -> None:
    by_name: dict[str, list[str]] = {}
    for component in chosen:
        by_name.setdefault(component.name, []).append(component.version)
    for name, versions in by_name.items():
        if len(versions) > 1:
            raise UsageError(f"{name} was built in versions {', '.join(versions)}: pick one with --only {name}@VERSION")


def _check_needs(chosen: Sequence[BuiltComponent], versions: Mapping[str, str], group: str) -> None:
    """Refuse what every device would refuse: a component without the version of another that it depends on."""
    for component in chosen:
        for name, version in exact_dependencies(component.recipe).items():
            if name not in versions and version in versions_of(name):
                continue  # a device finds it, though this group does not name it
            if versions.get(name) != version:
                instead = f"would run {versions[name]}" if name in versions else "does not run it"
                raise DeployError(
                    f"{component.name} {component.version} needs {name} {version}, but {group} {instead}, and it is "
                    "not among what is deployed now: build it too, and deploy both together"
                )


def _split_merge(text: str) -> tuple[str, Path]:
    name, equals, file = text.partition("=")
    if not name or not equals or not file:
        raise UsageError(f"--merge {text}: expected NAME=FILE")
    return name, Path(file)


def _read_merge(name: str, file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except OSError as exc:
        raise UsageError(f"--merge {name}: {file} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise UsageError(f"--merge {name}: {file} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise UsageError(f"--merge {name}: {file} must hold a JSON object, got {type(found).__name__}")
    return found


def _pins(
    chosen: Sequence[BuiltComponent],
    merges: Mapping[str, Mapping[str, Any]],
    resets: Mapping[str, tuple[str, ...]],
    running: Mapping[str, Pin],
    group: str,
) -> dict[str, Pin]:
    configured = [*merges, *(name for name in resets if name not in merges)]
    versions = {name: pin.version for name, pin in running.items() if name in configured}
    versions |= {component.name: component.version for component in chosen}
    for name in configured:
        if name not in versions:
            raise UsageError(
                f"{name} is not run by {group}, and not among what is deployed now: it has nothing to change"
            )
    return {name: Pin(version, merges.get(name), resets.get(name, ())) for name, version in versions.items()}


def _changes(
    pins: Mapping[str, Pin], remove: Collection[str], running: Mapping[str, Pin]
) -> list[dict[str, str | None]]:
    before = {name: pin.version for name, pin in running.items()}
    changes: list[dict[str, str | None]] = [
        {"name": name, "from": before.get(name), "to": pin.version} for name, pin in pins.items()
    ]
    gone = [name for name in remove if name in before and name not in pins]
    return changes + [{"name": name, "from": before[name], "to": None} for name in gone]


def _act(
    args: argparse.Namespace,
    chosen: Sequence[BuiltComponent],
    pins: Mapping[str, Pin],
    policies: Policies | None,
    pace: Pace | None,
    outcome: dict[str, Any],
) -> None:
    console = Console(stderr=True)
    for component in chosen:
        with console.status(f"registering {component.name} {component.version} ({artifact_bytes(component):,} bytes)"):
            arn = register(component, open_store(args.artifacts))
        outcome["register"].append({"name": component.name, "version": component.version, "arn": arn})
    if args.group is None:
        return
    outcome["deployment"] = deploy(args.group, pins, remove=args.remove, policies=policies, pace=pace, again=args.again)
    if args.wait is not None:
        _wait(outcome["deployment"], outcome["devices"], args.wait, console)
        outcome["deployed"] = True


def _wait(deployment: str, devices: Collection[str], timeout_s: float, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("devices that have it", total=len(devices))
        for done in watch_deployment(deployment, devices, timeout_s):
            bar.update(task, completed=done)


def _show(outcome: Mapping[str, Any]) -> None:
    console = Console()
    would = "would be registered" if outcome["dry_run"] else "registered"
    for component in outcome["register"]:
        console.print(f"{would}: {component['name']} {component['version']}")
    if "group" not in outcome:
        return
    table = Table("component", "from", "to", title=f"{outcome['group']}, devices: {len(outcome['devices'])}")
    for change in outcome["changes"]:
        table.add_row(change["name"], change["from"] or "-", change["to"] or "-")
    console.print(table)
    if "deployment" in outcome:
        console.print(f"deployment {outcome['deployment']}{' is on every device' if 'deployed' in outcome else ''}")
