"""A roll-out of 20 gateways, driven by processes that are killed: once for every moment just before or just after
something is written to the state or asked of the control plane, on disk and on S3, by ticks and by a terminal that
stays. Each must come to the same end as one that nobody disturbs, with the same deployments, none of them twice, and
a whole audit log. `--every N` takes every N-th moment only."""

import argparse
import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

from benchmarks.bar import Bar, report
from cloud.rollout.begin import survey
from cloud.rollout.place import Place
from cloud.rollout.plan import Wishes
from cloud.rollout.record import find
from cloud.rollout.starting import start
from cloud.rollout.state import Order
from greengrass.objects import DiskStore, ObjectStore, S3Store
from simulator.killed_rollout import live
from simulator.ports import LOOPBACK, free_port, wait_until_listening
from simulator.rollout_fleet import Behaviour, RolloutFleet, worse

GATEWAYS = 20
RINGS = "1,10%,30%,rest"
FLEET, MODEL = "shop", "flange"
PLACE = Place(FLEET, MODEL)
BUCKET = "rollouts"
GOOD = Behaviour()
STORIES: dict[str, tuple[Behaviour, Wishes]] = {
    "advancing": (GOOD, Wishes()),
    "reverting": (worse(GOOD, refused="golden frames disagree"), Wishes()),
    "from shadow": (GOOD, Wishes(shadow_s=20.0)),
    "back from shadow": (worse(GOOD, answers={"good": "defect", "defect": "empty"}), Wishes(shadow_s=20.0)),
}


@dataclass(frozen=True, slots=True)
class Came:
    """What a roll-out came to."""

    phase: str
    running: tuple[int, ...]
    looks_on: tuple[int | None, ...]
    deployments: tuple[tuple[str, int | None], ...]
    told: tuple[str, ...]
    damage: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take every N-th moment (default: %(default)s)")
    every = parser.parse_known_args()[0].every
    began = time.monotonic()
    wrong: list[str] = []
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder, _s3():
        places: dict[str, Callable[[str], ObjectStore]] = {
            "disk": lambda name: DiskStore(Path(folder) / name),
            "S3": lambda name: S3Store(BUCKET, name),
        }
        for story, (candidate, wishes) in STORIES.items():
            before = _fleet(candidate)
            for where, open_store in places.items():
                for by_ticks in (True, False):
                    what = f"{story}, {where}, {'tick' if by_ticks else 'start'}"
                    kills, failed = _kill_everywhere(what, before, wishes, open_store, by_ticks=by_ticks, every=every)
                    wrong += failed
                    lines.append(f"{what}: {kills}")
                    print(f"{what}: {kills} kills, {len(failed)} wrong", file=sys.stderr, flush=True)
    for line in wrong[:10]:
        print(line, file=sys.stderr)
    kills = sum(int(line.rpartition(" ")[2]) for line in lines)
    return report(
        Bar(
            bar=f"killed at every step: {GATEWAYS} gateways",
            value=len(wrong),
            required=0,
            better="lower",
            unit="kills that changed the end",
            measured=f"{kills} kills ({'; '.join(lines)}) in {time.monotonic() - began:.0f} s",
        )
    )


@contextmanager
def _s3() -> Iterator[None]:
    """moto's S3 in a process of its own: one that forks must have no threads."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", f"from moto.server import main; main(['-H', '{LOOPBACK}', '-p', '{port}'])"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_listening(port, timeout_s=60)
        os.environ |= {
            "AWS_ENDPOINT_URL_S3": f"http://{LOOPBACK}:{port}",
            "AWS_DEFAULT_REGION": "us-east-1",  # in which a bucket needs no location
            "AWS_ACCESS_KEY_ID": "simulator",
            "AWS_SECRET_ACCESS_KEY": "simulator",
        }
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield
    finally:
        server.terminate()
        server.wait()


def _kill_everywhere(
    what: str,
    before: RolloutFleet,
    wishes: Wishes,
    open_store: Callable[[str], ObjectStore],
    *,
    by_ticks: bool,
    every: int,
) -> tuple[int, list[str]]:
    """How many kills there were, and which came to another end."""
    name = what.replace(", ", "-").replace(" ", "-")
    wanted, moments, _ = _roll_out(before, wishes, open_store, f"{name}/whole", by_ticks=by_ticks)
    wrong = []
    kills = 0
    for moment in range(1, moments + 1, every):
        came, _, deaths = _roll_out(
            before, wishes, open_store, f"{name}/{moment}", kill_at=(moment,), by_ticks=by_ticks
        )
        kills += deaths
        if came != wanted:
            wrong.append(f"{what}, killed at moment {moment}: {came}, undisturbed {wanted}")
    # and once more, by processes that die one after the other, each a little later than the one before
    came, _, deaths = _roll_out(
        before, wishes, open_store, f"{name}/again", kill_at=range(3, moments), by_ticks=by_ticks
    )
    if came != wanted:
        wrong.append(f"{what}, killed {deaths} times: {came}, undisturbed {wanted}")
    return kills + deaths, wrong


def _roll_out(
    before: RolloutFleet,
    wishes: Wishes,
    open_store: Callable[[str], ObjectStore],
    name: str,
    *,
    kill_at: Sequence[int] = (),
    by_ticks: bool,
) -> tuple[Came, int, int]:
    """What it came to, how many moments the last process had, and how many were killed before it."""
    fleet = copy.deepcopy(before)
    store = open_store(name)
    plan = survey(fleet, model=MODEL, release=2, group=FLEET, shares=RINGS, wishes=wishes)
    start(store, plan, Order(2, "ann@desk", RINGS, wishes), window_s=fleet.window_s, now_us=fleet.clock())
    deaths, moments = 0, 0
    for moment in (*kill_at, 0):
        fresh = open_store(name)  # without a connection, which a fork must not share
        life = live(lambda fresh=fresh: fresh, PLACE, fleet, until=moment, by_ticks=by_ticks)  # type: ignore[misc]
        if not life.killed:
            moments = life.moments
            break
        deaths += 1
    found = find(store, PLACE)
    assert found is not None
    log = found.log(store, PLACE)
    order = sorted((group, gateway) for group, names in fleet.groups.items() if "-ring-" in group for gateway in names)
    came = Came(
        found.record.rollout.phase,
        tuple(fleet.gateways[gateway].running for _, gateway in order),
        tuple(fleet.gateways[gateway].shadow for _, gateway in order),
        tuple(fleet.deployments),
        tuple(event.kind for event in log.events if event.kind not in ("wait", "trouble")),
        log.damage,
    )
    return came, moments, deaths


def _fleet(candidate: Behaviour) -> RolloutFleet:
    """Twenty gateways that have run release 1 in their rings for a while."""
    names = [f"gateway-{number:02d}" for number in range(GATEWAYS)]
    fleet = RolloutFleet(names, behaviours={1: GOOD, 2: candidate}, fps=8.0, defect_rate=0.05)
    for wave in survey(fleet, model=MODEL, release=1, group=FLEET, shares=RINGS, first=True).waves:
        fleet.assign(wave.group, wave.names)
    fleet.settle(1, 12)
    return fleet


if __name__ == "__main__":
    sys.exit(main())
