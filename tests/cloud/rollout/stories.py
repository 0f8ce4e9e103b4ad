"""What the tests of roll-outs arrange: a light fleet that runs a release, and a roll-out of the next one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cloud.rollout import starting
from cloud.rollout.audit import Log
from cloud.rollout.begin import survey
from cloud.rollout.events import Event
from cloud.rollout.place import Place
from cloud.rollout.record import Found, find
from cloud.rollout.requests import Ask, Request, post
from cloud.rollout.run import run_rollout
from cloud.rollout.state import Order, Rollout
from cloud.rollout.steps import World
from greengrass.objects import DiskStore
from simulator.rollout_fleet import Behaviour, RolloutFleet

GOOD = Behaviour()
FLEET, MODEL = "shop", "flange"
PLACE = Place(FLEET, MODEL)
ANN = "ann@desk"


def fleet_running(
    release: int = 1,
    *,
    candidate: Behaviour = GOOD,
    gateways: int = 4,
    rings: str = "1,1,rest",
    windows: int = 10,
    seed: int = 0,
    defect_rate: float = 0.05,
) -> RolloutFleet:
    """Gateways that have run a release in their rings for some windows; the candidate is the release after it."""
    names = [f"gateway-{number}" for number in range(1, gateways + 1)]
    behaviours = {release: GOOD, release + 1: candidate}
    fleet = RolloutFleet(names, behaviours=behaviours, seed=seed, fps=8.0, defect_rate=defect_rate)
    plan = survey(fleet, model=MODEL, release=release, group=FLEET, shares=rings, first=True)
    for wave in plan.waves:
        fleet.assign(wave.group, wave.names)
    fleet.settle(release, windows)
    return fleet


def start(
    folder: Path,
    fleet: RolloutFleet,
    release: int = 2,
    *,
    first: bool = False,
    rings: str = "1,1,rest",
    order: Order | None = None,
) -> Rollout:
    """A roll-out that is written down."""
    order = order or Order(release, ANN, rings)
    plan = survey(
        fleet, model=MODEL, release=order.release, group=FLEET, shares=order.shares, first=first, wishes=order.wishes
    )
    return starting.start(DiskStore(folder), plan, order, window_s=fleet.window_s, now_us=fleet.clock())


def world(folder: Path, fleet: RolloutFleet) -> World:
    return World(DiskStore(folder), PLACE, fleet, fleet.reports)


def story(folder: Path, fleet: RolloutFleet, *, who: str = ANN) -> Iterator[Event]:
    """The roll-out as it goes on, until it has ended."""
    return run_rollout(world(folder, fleet), who=who, poll_s=1.0, clock=fleet.clock, pause=fleet.pause)


def finish(folder: Path, fleet: RolloutFleet) -> list[Event]:
    return list(story(folder, fleet))


def roll_out(folder: Path, fleet: RolloutFleet, release: int = 2) -> list[Event]:
    start(folder, fleet, release)
    return finish(folder, fleet)


def found(folder: Path) -> Found:
    there = find(DiskStore(folder), PLACE)
    assert there is not None
    return there


def state(folder: Path) -> Rollout:
    return found(folder).record.rollout


def log(folder: Path) -> Log:
    return found(folder).log(DiskStore(folder), PLACE)


def ask(folder: Path, ask: Ask, *, by: str = ANN, at_us: int = 0, **said: object) -> None:
    """An operator's request, left for whoever acts."""
    request = replace(Request(ask, by, at_us, state(folder).id), **said)  # type: ignore[arg-type]
    post(DiskStore(folder), PLACE, request)


def kinds(events: Sequence[Event], *, without: Sequence[str] = ("wait",)) -> list[str]:
    return [event.kind for event in events if event.kind not in without]


def running(fleet: RolloutFleet) -> list[int]:
    """The release on each gateway, ring by ring."""
    plan_order = sorted((group, name) for group, names in fleet.groups.items() if "-ring-" in group for name in names)
    return [fleet.gateways[name].running for _, name in plan_order]
