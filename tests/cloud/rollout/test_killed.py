"""Killed at every step, a roll-out goes on to the same end."""

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulator.killed_rollout import live
from simulator.rollout_fleet import Behaviour, RolloutFleet, worse
from tests.cloud.rollout.stories import GOOD, PLACE, fleet_running, kinds, log, running, start, state, world

STEP = 11  # every so many moments here; benchmarks/rollout_kills.py goes through all of them
RINGS = "1,rest"
BROKEN = worse(GOOD, refused="golden frames disagree")


@pytest.mark.parametrize("by_ticks", [True, False], ids=["tick", "start"])
@pytest.mark.parametrize("candidate", [GOOD, BROKEN], ids=["good", "bad"])
def test_killed_at_any_moment_it_ends_the_same_and_deploys_nothing_twice(
    tmp_path: Path, candidate: Behaviour, by_ticks: bool
) -> None:
    before = fleet_running(candidate=candidate, gateways=6, rings=RINGS, windows=12)
    undisturbed, moments, _ = _roll_out(tmp_path / "undisturbed", before, by_ticks=by_ticks)
    assert moments > 20

    for moment in range(1, moments + 1, STEP):
        told, _, deaths = _roll_out(tmp_path / str(moment), before, kill_at=[moment], by_ticks=by_ticks)

        assert deaths == 1
        assert told == undisturbed, f"killed at moment {moment}"


def test_killed_again_and_again_it_still_arrives(tmp_path: Path) -> None:
    before = fleet_running(gateways=6, rings=RINGS, windows=12)
    undisturbed, _, _ = _roll_out(tmp_path / "undisturbed", before, by_ticks=False)

    # each time a little later than the time before
    told, _, deaths = _roll_out(tmp_path / "again", before, kill_at=range(3, 100, 2), by_ticks=False)

    assert deaths > 5
    assert told == undisturbed


def _roll_out(
    folder: Path, before: RolloutFleet, *, kill_at: Sequence[int] = (), by_ticks: bool
) -> tuple[object, int, int]:
    """What a roll-out came to, how many moments the last process had, and how many were killed before."""
    fleet = copy.deepcopy(before)
    start(folder, fleet, rings=RINGS)
    store = world(folder, fleet).store
    deaths = 0
    for moment in (*kill_at, 0):
        life = live(lambda: store, PLACE, fleet, until=moment, by_ticks=by_ticks)
        deaths += life.killed
        if not life.killed:
            break
    said = log(folder)
    assert not said.damage
    told = kinds(said.events, without=("wait", "trouble"))
    return (state(folder).phase, running(fleet), fleet.deployments, told), life.moments, deaths
