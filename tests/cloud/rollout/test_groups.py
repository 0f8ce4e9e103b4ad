"""Thing groups are made what a plan says, and nobody is ever wanted in two releases, or in none."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.rollout.begin import survey
from cloud.rollout.fleet import GROUPS_OF_A_THING
from cloud.rollout.groups import arrange as arranging
from cloud.rollout.groups import groups_there, wave_group
from cloud.rollout.plan import Gateway, Plan, Wishes
from models.errors import DeployError, RolloutError
from simulator.rollout_fleet import Behaviour, RolloutFleet

MODEL, FLEET = "coco", "shop"
NAMES = [f"g{number:02d}" for number in range(8)]


class Watched(RolloutFleet):
    """A fleet that notices what must never be, and may die at a call."""

    dies_at = -1
    calls = 0

    def _check_up(self) -> None:
        super()._check_up()
        self.calls += 1
        if self.calls == self.dies_at:
            raise DeployError("died")
        for name, gateway in self.gateways.items():
            groups = [group for group, things in self.groups.items() if name in things]
            wanted = [self.pins[group][0] for group in groups if group in self.pins]
            assert len(set(wanted)) <= 1, f"{name} is wanted in {wanted}"
            assert wanted or gateway.running == 0 or name not in self.groups[FLEET], f"{name} runs what nobody wants"


def fleet_of(names: Iterable[str] = NAMES, *, running: int | None = 1, waves: Wishes | None = None) -> Watched:
    """A fleet whose rings run release 1; release 2 is there too."""
    fleet = Watched(list(names), group=FLEET, model=MODEL, behaviours={1: Behaviour(), 2: Behaviour()})
    fleet.sizes = {1: 10_000_000, 2: 10_000_000}
    if running is not None:
        plan = survey(fleet, model=MODEL, release=1, group=FLEET, shares="1,2,rest", first=True, wishes=waves)
        arrange(plan, fleet)
        for wave in plan.waves:
            fleet.deploy(wave.group, MODEL, 1)
        fleet.settle(1, windows=0)
        fleet.deployments.clear()
    return fleet


def arrange(plan: Plan, fleet: RolloutFleet) -> None:
    for _ in arranging(plan, fleet):
        pass


def next_plan(fleet: RolloutFleet, wishes: Wishes | None = None) -> Plan:
    return survey(fleet, model=MODEL, release=2, group=FLEET, wishes=wishes)


def members(fleet: RolloutFleet) -> dict[str, tuple[str, ...]]:
    return {name: things for ring in groups_there(fleet, FLEET, MODEL) for name, things in ring.items()}


def test_a_first_plan_makes_a_group_for_each_ring_and_its_waves() -> None:
    fleet = fleet_of(running=None)
    plan = survey(
        fleet, model=MODEL, release=1, group=FLEET, first=True, shares="1,rest", wishes=Wishes(max_in_flight=3)
    )

    arrange(plan, fleet)

    ring_1 = wave_group(FLEET, MODEL, 1)
    assert ring_1 == "shop_coco-ring-1"
    assert {group: len(things) for group, things in members(fleet).items()} == {
        "shop_coco-ring-0": 1,
        ring_1: 3,
        f"{ring_1}-wave-1": 3,
        f"{ring_1}-wave-2": 1,
    }


def test_a_ring_that_is_to_be_cut_finer_gives_its_new_groups_the_incumbent_before_anybody_moves() -> None:
    fleet = fleet_of()
    before = members(fleet)

    arrange(next_plan(fleet, Wishes(max_in_flight=2)), fleet)

    assert fleet.deployments == [("shop_coco-ring-2-wave-1", 1), ("shop_coco-ring-2-wave-2", 1)]
    after = members(fleet)
    assert after["shop_coco-ring-1"] == before["shop_coco-ring-1"]
    assert after["shop_coco-ring-2"] == before["shop_coco-ring-2"][:2]
    assert sorted(name for things in after.values() for name in things) == NAMES
    assert len(next_plan(fleet).rings[2].waves) == 3  # kept, also when nobody asks for it


def test_who_has_left_the_fleet_leaves_its_ring_and_a_newcomer_gets_the_incumbent() -> None:
    fleet = fleet_of()
    (gone,) = fleet.groups["shop_coco-ring-0"][:1] or ("",)
    newcomer = type(fleet.gateways[gone])("new")
    fleet.gateways["new"] = newcomer
    fleet.groups[FLEET] = (*(name for name in fleet.groups[FLEET] if name != gone), "new")

    arrange(next_plan(fleet), fleet)

    assert gone not in {name for things in members(fleet).values() for name in things}
    assert "new" in fleet.groups["shop_coco-ring-2"]
    assert newcomer.wanted == 1
    assert fleet.deployments == []


def test_a_gateway_in_too_many_groups_is_named_before_anything_is_changed() -> None:
    fleet = fleet_of(running=None)
    for number in range(GROUPS_OF_A_THING - 1):
        fleet.groups[f"other-{number}"] = ("g05",)

    with pytest.raises(RolloutError, match="g05 is in 10 thing groups already, and AWS IoT allows 10"):
        survey(fleet, model=MODEL, release=1, group=FLEET, first=True)
    assert members(fleet) == {}


any_wishes = st.sampled_from([None, Wishes(max_in_flight=1), Wishes(max_in_flight=3), Wishes(hours="22:00-05:00")])
fleets = st.sets(st.sampled_from([*NAMES, "n1", "n2", "n3"]), min_size=1)


@settings(max_examples=60)
@given(any_wishes, any_wishes, fleets, st.booleans(), st.data())
def test_killed_anywhere_it_comes_to_the_same(
    before: Wishes | None, after: Wishes | None, things: set[str], first: bool, data: st.DataObject
) -> None:
    fleet = fleet_of([*NAMES, "n1", "n2", "n3"], running=None if first else 1, waves=before)
    for number, name in enumerate(NAMES):
        fleet.described[name] = Gateway(name, timezone=("UTC", "Asia/Tokyo")[number % 2])
    fleet.groups[FLEET] = tuple(sorted(things))
    if not first and not {n for group, ns in fleet.groups.items() if "-ring-" in group for n in ns} & things:
        return
    plan = survey(fleet, model=MODEL, release=1 if first else 2, group=FLEET, first=first, wishes=after)
    fleet.calls, fleet.dies_at = 0, data.draw(st.integers(1, 40))

    for _ in range(2):
        try:
            arrange(plan, fleet)
        except DeployError:
            continue
    fleet.dies_at = -1
    arrange(plan, fleet)

    there = {group: things for group, things in members(fleet).items() if things}
    assert there == {wave.group: wave.names for wave in plan.waves}
    assert len(fleet.deployments) == len(set(fleet.deployments))
    made = list(fleet.deployments)
    arrange(plan, fleet)
    assert fleet.deployments == made
