"""tidegate rollout history: what was rolled out here, by whom and how it ended; and whether the audit log is whole."""

import argparse
import json
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cloud.commands.rollout_options import Verbs, add_state, add_which, state_of, which
from cloud.commands.rollout_view import event_line
from cloud.rollout.events import Event
from cloud.rollout.history import Story, stories


def add_verbs(verbs: Verbs) -> None:
    verb = verbs.add_parser("history", help="every roll-out of a model, from the audit log, which is verified")
    add_which(verb)
    verb.add_argument("--rollout", metavar="ID", help="show this one's events too; NAME@RELEASE will do")
    add_state(verb)
    verb.set_defaults(act=_history)


def _history(args: argparse.Namespace) -> int:
    store = state_of(args)
    place, found = which(args, store)
    log = found.log(store, place)
    told = stories(log.events)
    if args.json:
        print(
            json.dumps(
                {
                    "model": place.model,
                    "fleet": place.fleet,
                    "entries": log.head.count,
                    "head": log.head.sha256,
                    "damage": log.damage,
                    "rollouts": [story.as_dict() for story in told],
                    "events": [event.as_dict() for event in log.events],
                },
                indent=2,
            )
        )
    else:
        _show(Console(), told, log.events, args.rollout)
        if not log.damage:
            Console().print(f"{log.head.count} entries, whole; head {log.head.sha256[:16]}", style="dim")
    if log.damage:
        Console(stderr=True).print(Text(f"the audit log is damaged: {log.damage}", "bold red"), soft_wrap=True)
    return 1 if log.damage else 0


def _show(console: Console, told: Sequence[Story], events: Sequence[Event], wanted: str | None) -> None:
    table = Table("began", "release", "by", "ended", "how", box=None, header_style="dim")
    for story in told:
        table.add_row(_at(story.began_us), story.release, story.by, _at(story.ended_us), story.how)
    console.print(table)
    for event in events:
        if wanted and event.rollout.startswith(wanted):
            console.print(event_line(event), soft_wrap=True)


def _at(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6).astimezone():%Y-%m-%d %H:%M}" if at_us else "-"
