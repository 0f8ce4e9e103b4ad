"""tidegate rollout history: what was rolled out here, by whom and how it ended; and whether the audit log is whole."""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cloud.commands.rollout_options import Verbs, add_lake, add_state, add_which, lake_of, state_of, which
from cloud.commands.rollout_view import event_line
from cloud.lake.tables import GatewayHealth
from cloud.rollout.events import Event
from cloud.rollout.history import Story, stories
from cloud.rollout.report import write_report


def add_verbs(verbs: Verbs) -> None:
    verb = verbs.add_parser("history", help="every roll-out of a model, from the audit log, which is verified")
    add_which(verb)
    verb.add_argument("--rollout", metavar="ID", help="show this one's events too; NAME@RELEASE will do")
    verb.add_argument("--out", type=Path, metavar="DIR", help="write a page with a picture there, of each roll-out")
    add_lake(verb)
    add_state(verb)
    verb.set_defaults(act=_history)


def _history(args: argparse.Namespace) -> int:
    store = state_of(args)
    place, found = which(args, store)
    log = found.log(store, place)
    told = stories(log.events)
    pages: list[Path] = []
    if args.out is not None:
        rollout = found.record.rollout
        for story in told:
            if args.rollout and not story.rollout.startswith(args.rollout):
                continue
            rings = tuple(ring.names for ring in rollout.plan.rings) if story.rollout == rollout.id else story.rings
            pages.append(write_report(args.out, place, story, rings, log, _reports(args, story), zone=_zone()))
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
                    "pages": [str(page) for page in pages],
                    "events": [event.as_dict() for event in log.events],
                },
                indent=2,
            )
        )
    else:
        _show(Console(), told, log.events, args.rollout)
        for page in pages:
            Console().print(f"written: {page}", highlight=False, soft_wrap=True)
        if not log.damage:
            Console().print(f"{log.head.count} entries, whole; head {log.head.sha256[:16]}", style="dim")
    if log.damage:
        Console(stderr=True).print(Text(f"the audit log is damaged: {log.damage}", "bold red"), soft_wrap=True)
    return 1 if log.damage else 0


def _reports(args: argparse.Namespace, story: Story) -> Sequence[GatewayHealth]:
    """What gateways reported during a roll-out, and a little before; nothing where no lake is named."""
    if not args.lake:
        return []
    until_us = story.ended_us or story.events[-1].at_us
    before_us = (until_us - story.began_us) // 10
    return [row for row in lake_of(args).health(story.began_us - before_us) if row.health.at_us <= until_us + before_us]


def _zone() -> tzinfo:
    """This machine's, as its user's clock on the wall."""
    return datetime.now().astimezone().tzinfo or UTC


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
