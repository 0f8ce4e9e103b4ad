"""Gateways that come while a roll-out is under way run what ran before it, until it is confirmed."""

from pathlib import Path

from cloud.rollout.begin import survey
from cloud.rollout.newcomers import LOOK_EVERY_US
from simulator.rollout_fleet import Behaviour, RolloutFleet, RolloutGateway, worse
from tests.cloud.rollout.stories import FLEET, GOOD, MODEL, fleet_running, kinds, start, state, story

WAITING = "shop_flange-ring-2-wave-1"


def join(fleet: RolloutFleet, name: str) -> RolloutGateway:
    """A gateway that somebody puts into the fleet's thing group."""
    fleet.gateways[name] = gateway = RolloutGateway(name, fps=8.0)
    fleet.groups[FLEET] = (*fleet.groups[FLEET], name)
    return gateway


def rolled_out(folder: Path, candidate: Behaviour) -> tuple[RolloutFleet, RolloutGateway, list[str]]:
    """One joins after ring 0 was touched, and time enough passes for it to be noticed."""
    fleet = fleet_running(candidate=candidate)
    start(folder, fleet)
    newcomer = None
    said = []
    for event in story(folder, fleet):
        said.append(event)
        if event.kind == "deployed" and newcomer is None:
            newcomer = join(fleet, "a-newcomer")
            fleet.pause(LOOK_EVERY_US / 1e6)
    assert newcomer is not None
    return fleet, newcomer, kinds(said)


def test_a_newcomer_gets_the_incumbent_and_the_release_once_it_is_confirmed(tmp_path: Path) -> None:
    fleet, newcomer, said = rolled_out(tmp_path, GOOD)
    assert state(tmp_path).phase == "done"
    assert said.count("joined") == 1
    assert [made for made in fleet.deployments if made[0] == WAITING] == [(WAITING, 1)]

    assert fleet.groups[WAITING] == ()
    assert "a-newcomer" in fleet.groups["shop_flange-ring-2"]
    assert newcomer.wanted == 2
    fleet.behaviours[3] = GOOD
    plan = survey(fleet, model=MODEL, release=3, group=FLEET)
    assert (plan.incumbent, "a-newcomer" in plan.rings[2].names) == (2, True)


def test_a_newcomer_keeps_the_incumbent_where_the_roll_out_is_undone(tmp_path: Path) -> None:
    fleet, newcomer, _ = rolled_out(tmp_path, worse(GOOD, refused="broken"))

    assert state(tmp_path).phase == "reverted"
    fleet.pause(60)
    newcomers = join(fleet, "another"), newcomer
    assert newcomer.wanted in (0, 1)
    plan = survey(fleet, model=MODEL, release=2, group=FLEET)
    assert {gateway.name for gateway in newcomers} <= set(plan.rings[2].names)
