"""`tidegate deploy cancel`: take a group's newest deployment back from devices that have not finished it."""

import argparse
import json

from rich.console import Console

from greengrass.deploy import cancel, current
from greengrass.devices import progress
from greengrass.groups import members


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cancel_group", metavar="GROUP", help="the thing group whose newest deployment is canceled")
    parser.add_argument("--dry-run", action="store_true", help="say whom it would be taken back from, and do nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(args: argparse.Namespace) -> int:
    group = args.cancel_group
    deployment = current(group).id
    pending: list[str] = []
    if deployment is not None:
        found = progress(deployment, members(group))
        pending = [thing for thing, how in found.items() if how == "pending"]
        if not args.dry_run:
            cancel(deployment)
    outcome = {"dry_run": args.dry_run, "group": group, "deployment": deployment, "pending": pending}
    if args.json:
        print(json.dumps(outcome, indent=2))
        return 0
    console = Console()
    if deployment is None:
        console.print(f"{group} has no deployment that could be canceled")
        return 0
    console.print(f"deployment {deployment} {'would be' if args.dry_run else 'is'} canceled")
    if pending:
        console.print(f"not finished yet on {', '.join(pending)}")
    console.print("what devices have finished stays on them; deploy what ran before to bring it back")
    return 0
