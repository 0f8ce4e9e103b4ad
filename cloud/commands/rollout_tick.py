"""tidegate rollout tick: what is to be done now, for every roll-out there is; for a scheduler, each minute."""

import argparse
import json

from rich.console import Console

from cloud.commands.rollout_options import Verbs, add_lake, add_state, lake_of, state_of
from cloud.commands.rollout_view import event_line
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.lease import operator
from cloud.rollout.ticking import tick_all

EPILOG = """\
exit code: 0 all is well or under way, 1 something is not: a revert failed or a gateway came back with the wrong
release, or the lake, the control plane or the state did not answer
"""


def add_verbs(verbs: Verbs) -> None:
    verb = verbs.add_parser(
        "tick",
        help="do what is to be done now, for all roll-outs: for cron, a scheduler or Lambda, each minute",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument("model", nargs="?", metavar="NAME", help="of this model alone")
    verb.add_argument("--fleet", metavar="GROUP", help="of this fleet alone")
    add_lake(verb)
    add_state(verb)
    verb.set_defaults(act=_tick)


def _tick(args: argparse.Namespace) -> int:
    lake = lake_of(args)
    ticked = tick_all(
        state_of(args), GreengrassFleet(), lake.health, who=operator(), model=args.model, fleet_group=args.fleet
    )
    if args.json:
        print(json.dumps([one.as_dict() for one in ticked], indent=2))
    else:
        console = Console()
        for one in ticked:
            for event in one.events:
                console.print(event_line(event), soft_wrap=True)
            if one.note:
                console.print(f"{one.place.model} in {one.place.fleet}: {one.note}", highlight=False, soft_wrap=True)
    return 0 if all(one.well for one in ticked) else 1
