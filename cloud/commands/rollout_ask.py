"""tidegate rollout pause, resume, approve, abort, revert: what an operator asks of a roll-out, from any terminal."""

import argparse
import json
import time
from typing import cast

from rich.console import Console

from cloud.commands.rollout_driving import answer_of, drive, read
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
from cloud.rollout.lease import LeaseHeldError, operator
from cloud.rollout.place import Place
from cloud.rollout.record import hold
from cloud.rollout.requests import Ask, Request, answer, post, posted
from cloud.rollout.run import utc_us
from cloud.rollout.steps import answer_next
from greengrass.objects import ObjectStore

_PATIENCE_S = 30.0  # for the process that acts to say that it has heard
_HELP: dict[Ask, str] = {
    "pause": "touch nothing new until `resume`; bad evidence still turns it round",
    "resume": "go on with what was paused",
    "approve": "let a ring through that waits for it",
    "abort": "end an unfinished roll-out: the release before goes back to every wave that was touched",
    "revert": "undo a roll-out, also a finished one, or try again to",
}


def add_verbs(verbs: Verbs) -> None:
    for ask, summary in _HELP.items():
        verb = verbs.add_parser(ask, help=summary, description=summary)
        add_which(verb)
        verb.add_argument("--because", default="", metavar="TEXT", help="for the audit log")
        if ask == "approve":
            verb.add_argument("--ring", type=int, default=-1, metavar="N", help="default: the next one that waits")
        goes_back = ask in ("abort", "revert")
        if goes_back:
            add_lake(verb)
            add_poll(verb)
        add_state(verb)
        verb.set_defaults(act=_go_back if goes_back else _ask)


def _ask(args: argparse.Namespace) -> int:
    store = state_of(args)
    place, key = _post(args, store)
    console = Console(stderr=args.json)
    deadline = time.monotonic() + _PATIENCE_S
    while any(waiting.key == key for waiting in posted(store, place)):
        try:
            with hold(store, place, who=operator()) as held:
                held.settle()
                while answer_next(held, store, place, utc_us()) is not None:
                    pass
        except LeaseHeldError as exc:
            if time.monotonic() > deadline:
                console.print(f"{exc}; it has not answered yet, and will as soon as it looks", highlight=False)
                return 1
            time.sleep(0.2)
    found = read(store, place)
    if args.json:
        print(json.dumps(answer_of(store, place), indent=2))
    else:
        said = [event.text for event in found.log(store, place).events if event.by == operator()]
        console.print(said[-1] if said else found.record.rollout.phase, highlight=False)
    return 0


def _go_back(args: argparse.Namespace) -> int:
    check_times(args)
    store = state_of(args)
    place, _ = which(args, store)
    world = world_of(args, store, place)
    place, _ = _post(args, store)
    ended = drive(args, world, Console(stderr=args.json), follow=True)
    if args.json:
        print(json.dumps(answer_of(store, place), indent=2))
    return 0 if ended.phase == "reverted" else 1


def _post(args: argparse.Namespace, store: ObjectStore) -> tuple[Place, str]:
    """Leave the request, if it can be granted as things stand."""
    place, found = which(args, store)
    rollout = found.record.rollout
    request = Request(
        cast(Ask, args.verb), operator(), utc_us(), rollout.id, args.because, ring=getattr(args, "ring", -1)
    )
    answer(rollout, request, request.at_us)
    return place, post(store, place, request).key
