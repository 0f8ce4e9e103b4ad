"""tidegate rollout: a release to a fleet, ring by ring, and back again if it does not do well."""

import argparse

from cloud.commands import (
    rollout_ask,
    rollout_history,
    rollout_look,
    rollout_plan,
    rollout_start,
    rollout_tick,
)

EPILOG = """\
A fleet is a thing group. At its first roll-out a model gets rings in it, thing groups of their own, which are then
kept. Where a roll-out stands is in the state (--state), and whoever runs `start` or `tick` moves it on: one process at
a time. Ctrl-C leaves it rolling: the next `tick` goes on with it, or `start` in any terminal.
exit code: 0 the release is on all rings (revert, abort: the release before is back), 1 it is not
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in (rollout_plan, rollout_start, rollout_look, rollout_ask, rollout_history, rollout_tick):
        module.add_verbs(verbs)


def run(args: argparse.Namespace) -> int:
    return int(args.act(args))
