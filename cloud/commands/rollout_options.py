"""What the verbs of `tidegate rollout` have in common: options, and which roll-out is meant."""

import argparse
import math
import os
from pathlib import Path
from typing import TypeAlias

from cloud.lake.lake import Lake
from cloud.rollout.greengrass_fleet import GreengrassFleet
from cloud.rollout.place import Place, places
from cloud.rollout.record import Found, find
from cloud.rollout.steps import World
from greengrass.objects import ObjectStore, open_store
from models.errors import RolloutError, UsageError

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

POLL_S = 5.0


def add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        default=os.environ.get("TIDEGATE_STATE"),
        metavar="URI",
        help="where roll-outs are remembered: a folder or s3://BUCKET/PREFIX (default: $TIDEGATE_STATE)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout, at the end")


def add_which(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", metavar="NAME", help="needed where several have roll-outs")
    parser.add_argument("--fleet", metavar="GROUP", help="the thing group of the gateways")


def add_lake(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lake",
        default=os.environ.get("TIDEGATE_LAKE"),
        metavar="URI",
        help="folder of the lake, or s3://BUCKET/PREFIX (default: $TIDEGATE_LAKE)",
    )


def add_poll(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--poll-s", type=float, default=POLL_S, help="seconds between looks (default: %(default)g)")


def add_registry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry",
        default=os.environ.get("TIDEGATE_REGISTRY"),
        metavar="URI",
        help="where releases are published; the release's signature is verified, and digests that are in no release "
        "are noticed (default: $TIDEGATE_REGISTRY)",
    )
    parser.add_argument(
        "--keys",
        type=Path,
        default=os.environ.get("TIDEGATE_KEYS"),
        metavar="DIR",
        help="folder whose NAME/root.json says who may sign the model; without it the release must be whole, by "
        "whomever it was signed (default: $TIDEGATE_KEYS)",
    )


def check_times(args: argparse.Namespace) -> None:
    for name in ("window_s", "poll_s"):
        value = getattr(args, name, None)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise UsageError(f"--{name.replace('_', '-')} must be above 0 seconds, got {value}")


def state_of(args: argparse.Namespace) -> ObjectStore:
    return open_store(_needed(args.state, "state"))


def lake_of(args: argparse.Namespace) -> Lake:
    return Lake(_needed(args.lake, "lake"))


def world_of(args: argparse.Namespace, store: ObjectStore, place: Place) -> World:
    return World(store, place, GreengrassFleet(), lake_of(args).health)


def root_of(args: argparse.Namespace, model: str) -> bytes | None:
    """The root of trust for a model, None where no folder of keys has it."""
    if args.keys is None:
        return None
    try:
        return (Path(args.keys) / model / "root.json").read_bytes()
    except FileNotFoundError:
        return None


def which(args: argparse.Namespace, store: ObjectStore) -> tuple[Place, Found]:
    """The roll-out meant: the only one, or the one that is named."""
    meant = [
        place
        for place in sorted(places(store))
        if args.model in (None, place.model) and args.fleet in (None, place.fleet)
    ]
    if len(meant) > 1:
        choices = ", ".join(f"{place.model} --fleet {place.fleet}" for place in meant)
        raise UsageError(f"there are several roll-outs; name one: {choices}")
    found = find(store, meant[0]) if meant else None
    if found is None:
        of = f" of {args.model}" if args.model else ""
        on = f" to {args.fleet}" if args.fleet else ""
        raise RolloutError(
            f"no roll-out{of}{on} in {args.state}; start one with `tidegate rollout start`, or check --state"
        )
    return meant[0], found


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise UsageError(f"no {name} given: use --{name} FOLDER or set TIDEGATE_{name.upper()}")
    return value
