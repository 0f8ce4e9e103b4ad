"""tidegate rollout status, watch: where a roll-out stands. Neither changes anything, nor needs to be let do so."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console

from cloud.commands.rollout_driving import answer_of, events_of, read
from cloud.commands.rollout_options import (
    Verbs,
    add_lake,
    add_poll,
    add_state,
    add_which,
    check_times,
    state_of,
    which,
    world_of,
)
from cloud.commands.rollout_view import show_events, show_status
from cloud.rollout.events import Event
from cloud.rollout.looking import look
from cloud.rollout.run import AWAY, is_over, utc_us
from cloud.rollout.steps import World


def add_verbs(verbs: Verbs) -> None:
    status = verbs.add_parser("status", help="where a roll-out stands, what it waits for and what happened")
    add_which(status)
    add_state(status)
    status.set_defaults(act=_status)

    watch = verbs.add_parser("watch", help="look on, from any terminal; changes nothing")
    add_which(watch)
    add_lake(watch)
    add_poll(watch)
    add_state(watch)
    watch.set_defaults(act=_watch)


def _status(args: argparse.Namespace) -> int:
    store = state_of(args)
    place, found = which(args, store)
    record = found.record
    log = found.log(store, place)
    if args.json:
        print(json.dumps(answer_of(store, place), indent=2))
    else:
        show_status(Console(), record.rollout, log.of(record.rollout.id), held=found.held, damage=log.damage)
    return 1 if log.damage or record.rollout.phase == "revert-failed" else 0


def _watch(args: argparse.Namespace) -> int:
    check_times(args)
    store = state_of(args)
    place, found = which(args, store)
    world = world_of(args, store, place) if args.lake else None
    console = Console(stderr=args.json)
    events = events_of(store, place, poll_s=args.poll_s)
    show_events(console, found.record.rollout, events if world is None else _with_figures(world, events))
    ended = read(store, place).record.rollout
    if args.json:
        print(json.dumps(answer_of(store, place), indent=2))
    return 0 if ended.phase in ("done", "reverted") else 1


def _with_figures(world: World, events: Iterator[Event]) -> Iterator[Event]:
    """The events, each with the gateways' figures as they are now, seen with our own eyes."""
    for event in events:
        found = read(world.store, world.place)
        rollout = found.record.rollout
        if is_over(rollout) or rollout.undo is not None:
            yield event
            continue
        try:
            yield replace(event, rows=look(rollout, world.fleet, world.reports, utc_us()).rows())
        except AWAY:
            yield event
