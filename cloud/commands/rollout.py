"""tidegate rollout: a release to a fleet, ring by ring, and back again if it does not do well."""

import argparse
import dataclasses
import getpass
import json
import math
import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cloud.commands.rollout_view import show_events, show_plan, show_status
from cloud.lake.lake import Lake
from cloud.rollout.begin import ask_to_revert, begin, survey
from cloud.rollout.evidence import usual_window_s
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan
from cloud.rollout.rings import DEFAULT_RINGS
from cloud.rollout.run import HISTORY_S, run_rollout, utc_us
from cloud.rollout.state import (
    LeaseHeldError,
    Rollout,
    is_held,
    read_audit,
    read_rollout,
    request_revert,
    rollout_folder,
)
from greengrass.registry import parse_release
from models.errors import RolloutError, UsageError

POLL_S = 5.0
WINDOW_S = 60.0

EPILOG = """\
A fleet is a thing group. At its first roll-out a model gets rings in it, thing groups of their own, which are then
kept. A roll-out that was interrupted stands still; the same `start` goes on with it.
exit code: 0 the release is on all rings (revert: the release before is back), 1 it is not
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    start = verbs.add_parser("start", help="roll a release out, or go on with its unfinished roll-out")
    start.add_argument("release", metavar="NAME@RELEASE", help="registered with `tidegate deploy`")
    start.add_argument("--fleet", required=True, metavar="GROUP", help="the thing group of the gateways")
    start.add_argument(
        "--rings",
        default=DEFAULT_RINGS,
        help="sizes of the rings where the model has none yet: counts, percents, rest (default: %(default)s)",
    )
    start.add_argument("--first", action="store_true", help="no release of the model runs there yet")
    start.add_argument(
        "--window-s",
        type=float,
        help=f"how often the gateways report (default: as they do; {WINDOW_S:g} where none has yet)",
    )
    start.add_argument("--health-windows", type=int, metavar="N", help="windows with the release before a verdict")
    start.add_argument("--health-frames", type=int, metavar="N", help="frames with the release before a verdict")
    start.add_argument("--silence-windows", type=int, metavar="N", help="windows a gateway may say nothing")
    start.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    _add_lake(start)
    _add_poll(start)

    status = verbs.add_parser("status", help="where a roll-out stands and what happened")
    status.add_argument("model", nargs="?", metavar="NAME", help="needed where several have roll-outs")
    status.add_argument("--fleet", metavar="GROUP")

    revert = verbs.add_parser("revert", help="give the release before back to every ring that was touched")
    revert.add_argument("model", nargs="?", metavar="NAME", help="needed where several have roll-outs")
    revert.add_argument("--fleet", metavar="GROUP")
    _add_lake(revert)
    _add_poll(revert)

    for verb in (start, status, revert):
        verb.add_argument(
            "--state", default=os.environ.get("TIDEGATE_STATE"), help="folder of roll-outs (default: TIDEGATE_STATE)"
        )
        verb.add_argument("--json", action="store_true", help="print the roll-out as JSON, at its end")


def run(args: argparse.Namespace) -> int:
    return {"start": _start, "status": _status, "revert": _revert}[args.verb](args)


def _start(args: argparse.Namespace) -> int:
    wanted = parse_release(args.release)
    model, release = wanted.name, wanted.release
    _check_times(args)
    limits = _limits(args)
    folder = rollout_folder(_state(args), args.fleet, model)
    last = read_rollout(folder)
    console = Console(stderr=args.json)
    unfinished = last is not None and not last.ended and last.plan.release == release
    if args.dry_run:
        plan = last.plan if last is not None and unfinished else _survey(args, model, release)
        if args.json:
            print(json.dumps({"dry_run": True, "plan": dataclasses.asdict(plan)}, indent=2))
        else:
            show_plan(console, plan, limits, args.window_s or WINDOW_S)
        return 0
    lake = _lake(args)
    if not unfinished:
        plan = _survey(args, model, release)
        now_us = utc_us()
        window_s = args.window_s or usual_window_s(lake.health(now_us - int(HISTORY_S * 1e6))) or WINDOW_S
        begin(folder, plan, limits=limits, window_s=window_s, now_us=now_us)
    else:
        console.print(f"going on with the unfinished roll-out of {args.release}, as it was begun", highlight=False)
    ended = _carry_on(args, folder, lake, console)
    return 0 if ended.phase == "done" else 1


def _status(args: argparse.Namespace) -> int:
    folder = _find(args)
    rollout = _read(folder)
    if args.json:
        print(json.dumps(_document(folder, rollout), indent=2))
    else:
        show_status(Console(), rollout, read_audit(folder, rollout.id), at_work=is_held(folder))
    return 0


def _revert(args: argparse.Namespace) -> int:
    _check_times(args)
    folder = _find(args)
    lake = _lake(args)
    console = Console(stderr=args.json)
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    asked = False
    while True:
        try:
            ask_to_revert(folder, f"{who} asked for it", utc_us())
            ended = _carry_on(args, folder, lake, console)
            break
        except LeaseHeldError:
            # the process that is rolling out goes back itself; should it die, we do
            if not asked:
                request_revert(folder, who)
                console.print("a process is rolling out; it was asked to go back", highlight=False)
                asked = True
            time.sleep(args.poll_s)
            ended = _read(folder)
            if ended.ended:
                if args.json:
                    print(json.dumps(_document(folder, ended), indent=2))
                break
    return 0 if ended.phase == "reverted" else 1


def _carry_on(args: argparse.Namespace, folder: Path, lake: Lake, console: Console) -> Rollout:
    """Watch the roll-out to its end."""
    events = run_rollout(folder, GreengrassFleet(), lake.health, poll_s=args.poll_s)
    try:
        show_events(console, _read(folder), events)
    except KeyboardInterrupt:
        rollout = _read(folder)
        console.print(
            f"the roll-out of {rollout.plan.candidate} stands still, {len(rollout.touched)} of "
            f"{len(rollout.plan.waves)} waves touched: `tidegate rollout start {rollout.plan.candidate} --fleet "
            f"{rollout.plan.fleet}` goes on, `tidegate rollout revert` goes back",
            highlight=False,
        )
        raise
    ended = _read(folder)
    if args.json:
        print(json.dumps(_document(folder, ended), indent=2))
    return ended


def _survey(args: argparse.Namespace, model: str, release: int) -> Plan:
    return survey(
        GreengrassFleet(), model=model, release=release, group=args.fleet, shares=args.rings, first=args.first
    )


def _document(folder: Path, rollout: Rollout) -> dict[str, Any]:
    """What --json prints: the outcome in short, the whole state, and what happened."""
    plan = rollout.plan
    return {
        "release": plan.candidate,
        "incumbent": plan.incumbent,
        "fleet": plan.fleet,
        "phase": rollout.phase,
        "outcome": rollout.outcome,
        "at_work": is_held(folder),
        "rings": [list(ring.names) for ring in plan.rings],
        "touched": plan.ring_of(len(rollout.touched) - 1) + 1 if rollout.touched else 0,
        "state": dataclasses.asdict(rollout),
        "events": [event.as_dict() for event in read_audit(folder, rollout.id)],
    }


def _find(args: argparse.Namespace) -> Path:
    """The folder of the roll-out meant."""
    state = _state(args)
    found = sorted(
        path.parent
        for path in state.glob("*/*/state.json")
        if args.model in (None, path.parent.name) and args.fleet in (None, path.parent.parent.name)
    )
    if len(found) == 1:
        return found[0]
    if found:
        choices = ", ".join(f"{folder.name} --fleet {folder.parent.name}" for folder in found)
        raise UsageError(f"there are several roll-outs; name one: {choices}")
    meant = f" of {args.model}" if args.model else ""
    raise RolloutError(f"no roll-out{meant} in {state}; start one with `tidegate rollout start`, or check --state")


def _read(folder: Path) -> Rollout:
    rollout = read_rollout(folder)
    if rollout is None:
        raise RolloutError(f"there is no roll-out in {folder}")
    return rollout


def _limits(args: argparse.Namespace) -> Limits:
    said = {"windows": args.health_windows, "frames": args.health_frames, "silence_windows": args.silence_windows}
    given = {name: value for name, value in said.items() if value is not None}
    try:
        return replace(Limits(), **given)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc


def _check_times(args: argparse.Namespace) -> None:
    for name in ("window_s", "poll_s"):
        value = getattr(args, name, None)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UsageError(f"--{name.replace('_', '-')} must be above 0 seconds, got {value}")


def _lake(args: argparse.Namespace) -> Lake:
    return Lake(_needed(args.lake, "lake"))


def _state(args: argparse.Namespace) -> Path:
    return Path(_needed(args.state, "state"))


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise UsageError(f"no {name} folder given: use --{name} FOLDER or set TIDEGATE_{name.upper()}")
    return value


def _add_lake(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lake",
        default=os.environ.get("TIDEGATE_LAKE"),
        help="folder of the lake, or s3://BUCKET/PREFIX (default: TIDEGATE_LAKE)",
    )


def _add_poll(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--poll-s", type=float, default=POLL_S, help="seconds between looks (default: %(default)g)")
