"""What the tests of roll-outs arrange: a light fleet that runs a release, and a roll-out of the next one."""

from collections.abc import Sequence
from pathlib import Path

from cloud.rollout.begin import begin, survey
from cloud.rollout.events import Event
from cloud.rollout.limits import Limits
from cloud.rollout.run import run_rollout
from cloud.rollout.state import Rollout, read_rollout
from simulator.rollout_fleet import Behaviour, RolloutFleet

GOOD = Behaviour()
FLEET, MODEL = "shop", "flange"


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
    folder: Path, fleet: RolloutFleet, release: int = 2, *, first: bool = False, rings: str = "1,1,rest"
) -> Rollout:
    plan = survey(fleet, model=MODEL, release=release, group=FLEET, shares=rings, first=first)
    return begin(folder, plan, limits=Limits(), window_s=fleet.window_s, now_us=fleet.clock())


def finish(folder: Path, fleet: RolloutFleet) -> list[Event]:
    """The events until the roll-out has ended."""
    return list(run_rollout(folder, fleet, fleet.reports, poll_s=1.0, clock=fleet.clock, pause=fleet.pause))


def roll_out(folder: Path, fleet: RolloutFleet, release: int = 2) -> list[Event]:
    start(folder, fleet, release)
    return finish(folder, fleet)


def state(folder: Path) -> Rollout:
    rollout = read_rollout(folder)
    assert rollout is not None
    return rollout


def kinds(events: Sequence[Event], *, without: Sequence[str] = ("wait",)) -> list[str]:
    return [event.kind for event in events if event.kind not in without]


def running(fleet: RolloutFleet) -> list[int]:
    """The release on each gateway, ring by ring."""
    plan_order = sorted((group, name) for group, names in fleet.groups.items() if "-ring-" in group for name in names)
    return [fleet.gateways[name].running for _, name in plan_order]
