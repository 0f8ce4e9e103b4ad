"""Moving a roll-out on from a terminal, or looking on while another process does."""

import argparse
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from cloud.commands.rollout_view import show_events
from cloud.rollout.events import Event
from cloud.rollout.lease import LeaseHeldError, operator
from cloud.rollout.place import Place
from cloud.rollout.record import Found, find
from cloud.rollout.run import is_over, run_rollout
from cloud.rollout.state import Rollout
from cloud.rollout.steps import World
from greengrass.objects import ObjectStore
from models.errors import RolloutError


def drive(args: argparse.Namespace, world: World, console: Console, *, follow: bool) -> Rollout:
    """Move it on to its end; the roll-out then. `follow`: look on while another process does, and take over should
    that one stop; otherwise LeaseHeldError."""
    try:
        while True:
            try:
                rollout = read(world.store, world.place).record.rollout
                show_events(console, rollout, run_rollout(world, who=operator(), poll_s=args.poll_s))
                return read(world.store, world.place).record.rollout
            except LeaseHeldError as exc:
                if not follow:
                    raise
                console.print(f"{exc.holder}; it was asked, and this goes on should it stop", highlight=False)
                show_events(console, rollout, events_of(world.store, world.place, poll_s=args.poll_s, while_held=True))
    except KeyboardInterrupt:
        rollout = read(world.store, world.place).record.rollout
        if not is_over(rollout):
            console.print(_left(rollout), highlight=False)
        raise


def events_of(store: ObjectStore, place: Place, *, poll_s: float, while_held: bool = False) -> Iterator[Event]:
    """What happens to a roll-out, as its log tells it, until it has ended; or until nobody acts on it any more."""
    seen: int | None = None
    while True:
        found = read(store, place)
        record = found.record
        if seen is not None and record.head.count > seen:
            yield from found.log(store, place).events[seen - record.head.count :]
        seen = record.head.count
        if is_over(record.rollout) or (while_held and not found.held):
            return
        time.sleep(poll_s)


def read(store: ObjectStore, place: Place) -> Found:
    found = find(store, place)
    if found is None:
        raise RolloutError(f"there is no roll-out of {place.model} to {place.fleet} any more")
    return found


def answer_of(store: ObjectStore, place: Place) -> dict[str, Any]:
    """What --json prints: the outcome in short, the whole state, and what happened."""
    found = read(store, place)
    rollout = found.record.rollout
    plan = rollout.plan
    log = found.log(store, place)
    return {
        "id": rollout.id,
        "release": plan.candidate,
        "incumbent": plan.incumbent,
        "fleet": plan.fleet,
        "phase": rollout.phase,
        "outcome": rollout.outcome,
        "waits_for": "" if rollout.ended else rollout.waits_for,
        "paused": rollout.paused,
        "at_work": bool(found.held),
        "held_by": found.held,
        "rings": [list(ring.names) for ring in plan.rings],
        "touched": plan.ring_of(len(rollout.touched) - 1) + 1 if rollout.touched else 0,
        "state": dataclasses.asdict(rollout),
        "audit": {"entries": log.head.count, "head": log.head.sha256, "damage": log.damage},
        "events": [event.as_dict() for event in log.of(rollout.id)],
    }


def _left(rollout: Rollout) -> str:
    plan = rollout.plan
    return (
        f"the roll-out of {plan.candidate} goes on with the next `tidegate rollout tick`, {len(rollout.touched)} of "
        f"{len(plan.waves)} waves touched; where nothing runs that, nobody watches it until you say, in any terminal, "
        f"`tidegate rollout start {plan.candidate} --fleet {plan.fleet}` (to hold it: `pause`, to go back: `abort`)"
    )
