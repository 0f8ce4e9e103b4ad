"""tidegate rollout start: begin a roll-out, or go on with it, and look on until it has ended."""

import argparse
import dataclasses
import json

from rich.console import Console

from cloud.commands.rollout_driving import answer_of, drive
from cloud.commands.rollout_options import (
    Verbs,
    add_lake,
    add_poll,
    add_registry,
    add_state,
    check_times,
    lake_of,
    root_of,
    state_of,
    world_of,
)
from cloud.commands.rollout_view import show_plan
from cloud.commands.rollout_wishes import add_wishes, preferences_of, wishes_of
from cloud.rollout.begin import survey
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.lease import operator
from cloud.rollout.limits import Limits
from cloud.rollout.looking import HISTORY_S, usual_window_s
from cloud.rollout.place import Place
from cloud.rollout.plan import Plan
from cloud.rollout.record import find, unfinished
from cloud.rollout.requests import Request, answer, post
from cloud.rollout.run import is_over, utc_us
from cloud.rollout.starting import read_said, start
from cloud.rollout.state import Order, Rollout
from greengrass.objects import open_store
from greengrass.registry import parse_release
from models.errors import RolloutError, UsageError

WINDOW_S = 60.0


def add_verbs(verbs: Verbs) -> None:
    verb = verbs.add_parser("start", help="roll a release out, or go on with its unfinished roll-out")
    verb.set_defaults(act=_start)
    verb.add_argument("release", metavar="NAME@RELEASE", help="registered with `tidegate deploy`")
    verb.add_argument("--fleet", required=True, metavar="GROUP", help="the thing group of the gateways")
    add_wishes(verb)
    verb.add_argument(
        "--supersede",
        choices=("revert", "complete"),
        help="where another release's roll-out is unfinished: undo it first, or let it go to its end first",
    )
    verb.add_argument(
        "--window-s",
        type=float,
        help=f"how often the gateways report (default: as they do; {WINDOW_S:g} where none has yet)",
    )
    verb.add_argument("--health-windows", type=int, metavar="N", help="windows with the release before a verdict")
    verb.add_argument("--health-frames", type=int, metavar="N", help="frames with the release before a verdict")
    verb.add_argument("--silence-windows", type=int, metavar="N", help="windows a gateway may say nothing")
    verb.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    add_registry(verb)
    add_lake(verb)
    add_poll(verb)
    add_state(verb)


def _start(args: argparse.Namespace) -> int:
    wanted = parse_release(args.release)
    check_times(args)
    order = Order(wanted.release, operator(), args.rings, wishes_of(args), _limits(args))
    store, place = state_of(args), Place(args.fleet, wanted.name)
    found = find(store, place)
    before = found.record.rollout if found is not None and not is_over(found.record.rollout) else None
    console = Console(stderr=args.json)
    fleet = GreengrassFleet()
    goes_on = before is not None and before.plan.release == wanted.release
    if args.dry_run:
        plan = before.plan if before is not None and goes_on else _survey(args, fleet, place.model, order)
        if args.json:
            print(json.dumps({"dry_run": True, "plan": dataclasses.asdict(plan)}, indent=2))
        else:
            show_plan(console, plan, order.limits, args.window_s or WINDOW_S)
        return 0
    world = world_of(args, store, place)
    if before is not None and goes_on:
        console.print(f"going on with the unfinished roll-out of {args.release}, as it was begun", highlight=False)
    elif before is not None:
        _check(args, fleet, place, order)
        request = _supersede(args, before, _with_released(args, place.model, order, before.plan.release))
        post(store, place, request)
    else:
        plan = _survey(args, fleet, place.model, order)
        order = _with_released(args, place.model, order, plan.incumbent)
        if order.said.misgivings:
            console.print(f"ring 0 will wait for an approval: {order.said.misgivings}", highlight=False)
        now_us = utc_us()
        window_s = args.window_s or usual_window_s(lake_of(args).health(now_us - int(HISTORY_S * 1e6))) or WINDOW_S
        start(store, plan, order, window_s=window_s, now_us=now_us)
    ended = drive(args, world, console, follow=before is not None and not goes_on)
    if args.json:
        print(json.dumps(answer_of(store, place), indent=2))
    return 0 if ended.phase == "done" and ended.plan.release == wanted.release else 1


def _supersede(args: argparse.Namespace, before: Rollout, order: Order) -> Request:
    if args.supersede is None:
        raise unfinished(before)
    request = Request("supersede", order.by, utc_us(), before.id, then=order, at_once=args.supersede == "revert")
    answer(before, request, request.at_us)  # what cannot be granted is refused here, and changes nothing
    return request


def _survey(args: argparse.Namespace, fleet: GreengrassFleet, model: str, order: Order) -> Plan:
    return survey(
        fleet,
        model=model,
        release=order.release,
        group=args.fleet,
        shares=order.shares,
        first=args.first,
        wishes=order.wishes,
        prefer=preferences_of(args),
    )


def _check(args: argparse.Namespace, fleet: GreengrassFleet, place: Place, order: Order) -> None:
    """What can be told of a release before it is its turn."""
    if not fleet.registered(place.model, order.release):
        raise RolloutError(f"{args.release} is not registered as a component; register it with `tidegate deploy` first")


def _with_released(args: argparse.Namespace, model: str, order: Order, incumbent: int | None) -> Order:
    if not args.registry:
        return order
    said = read_said(open_store(args.registry), model, order.release, incumbent, root=root_of(args, model))
    return dataclasses.replace(order, said=said)


def _limits(args: argparse.Namespace) -> Limits:
    said = {"windows": args.health_windows, "frames": args.health_frames, "silence_windows": args.silence_windows}
    given = {name: value for name, value in said.items() if value is not None}
    try:
        return dataclasses.replace(Limits(), **given)
    except ValueError as exc:
        raise UsageError(str(exc)) from exc
