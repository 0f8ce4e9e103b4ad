"""What operators and schedulers do to a roll-out, as stories."""

from dataclasses import replace
from pathlib import Path

import pytest

from cloud.rollout.events import Event
from cloud.rollout.lease import LeaseLostError
from cloud.rollout.place import Place
from cloud.rollout.plan import Wishes
from cloud.rollout.record import Held, hold
from cloud.rollout.run import tick
from cloud.rollout.state import Order, Said
from cloud.rollout.steps import step
from cloud.rollout.ticking import tick_all
from greengrass.objects import DiskStore
from models.errors import StoreError
from simulator.rollout_fleet import RolloutFleet, worse
from tests.cloud.rollout.stories import (
    ANN,
    GOOD,
    PLACE,
    ask,
    finish,
    fleet_running,
    found,
    kinds,
    log,
    running,
    start,
    state,
    story,
    world,
)

SLOW = worse(GOOD, p95_ms=26.0)
BROKEN = worse(GOOD, refused="golden frames disagree")


def ticks(folder: Path, fleet: RolloutFleet, count: int, *, every_s: float = 10.0) -> list[Event]:
    """So many minutes of a scheduler, in a hurry."""
    told: list[Event] = []
    for _ in range(count):
        told += tick(world(folder, fleet), who="robot@cloud", clock=fleet.clock)
        fleet.pause(every_s)
    return told


def test_paused_it_touches_nothing_more_until_it_is_resumed(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)
    ticks(tmp_path, fleet, 1)

    ask(tmp_path, "pause", by="bob@desk")
    ticks(tmp_path, fleet, 12)

    assert state(tmp_path).paused == "bob@desk"
    assert state(tmp_path).waits_for.startswith("paused by bob@desk")
    assert fleet.deployments == [("shop_flange-ring-0", 2)]
    ask(tmp_path, "resume", at_us=1)
    finish(tmp_path, fleet)
    assert running(fleet) == [2, 2, 2, 2]
    said = [(event.kind, event.by) for event in log(tmp_path).events if event.kind in ("paused", "resumed")]
    assert said == [("paused", "bob@desk"), ("resumed", ANN)]


def test_paused_it_still_goes_back_on_bad_evidence(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=SLOW)
    start(tmp_path, fleet)
    ticks(tmp_path, fleet, 1)
    ask(tmp_path, "pause")

    finish(tmp_path, fleet)

    assert state(tmp_path).phase == "reverted"
    assert running(fleet) == [1, 1, 1, 1]


def test_a_ring_that_waits_for_an_approval_is_touched_after_it(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet, order=Order(2, ANN, "1,1,rest", Wishes(approve=(1,))))

    told = ticks(tmp_path, fleet, 12)

    assert kinds(told)[-1] == "hold"
    assert fleet.deployments == [("shop_flange-ring-0", 2)]
    assert [event.kind for event in log(tmp_path).events].count("hold") == 1  # asked often, said once
    ask(tmp_path, "approve", by="bob@desk")
    finish(tmp_path, fleet)
    assert running(fleet) == [2, 2, 2, 2]
    assert ("approved", "bob@desk") in [(event.kind, event.by) for event in log(tmp_path).events]


def test_aborted_it_takes_back_what_it_touched(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)
    ticks(tmp_path, fleet, 1)

    ask(tmp_path, "abort", by="bob@desk", because="the shop opens early")
    finish(tmp_path, fleet)

    assert state(tmp_path).phase == "reverted"
    assert state(tmp_path).outcome.endswith("because bob@desk aborted it")
    assert "the shop opens early" in next(event.text for event in log(tmp_path).events if event.kind == "revert")
    assert running(fleet) == [1, 1, 1, 1]
    assert fleet.deployments == [("shop_flange-ring-0", 2), ("shop_flange-ring-0", 1)]


def test_in_shadow_an_abort_ends_the_shadow_and_touches_nothing_else(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet, order=Order(2, ANN, "1,1,rest", Wishes(shadow_s=3600.0)))
    told = ticks(tmp_path, fleet, 3)
    (canary,) = fleet.groups["shop_flange-ring-0"]
    assert kinds(told) == ["planned", "shadow", "shadowed"]
    assert fleet.gateways[canary].shadow == 2

    ask(tmp_path, "abort")
    finish(tmp_path, fleet)

    assert state(tmp_path).phase == "reverted"
    assert fleet.gateways[canary].shadow is None
    assert running(fleet) == [1, 1, 1, 1]
    assert fleet.shadows == {}


@pytest.mark.parametrize("at_once", [True, False], ids=["revert", "complete"])
def test_a_newer_release_takes_the_place_of_an_unfinished_one(tmp_path: Path, at_once: bool) -> None:
    fleet = fleet_running()
    fleet.behaviours[3] = GOOD
    start(tmp_path, fleet)
    ticks(tmp_path, fleet, 1)

    ask(tmp_path, "supersede", then=Order(3, "bob@desk", "1,1,rest"), at_once=at_once)
    finish(tmp_path, fleet)

    after = kinds(log(tmp_path).events)
    assert after[after.index("superseded") + 1] == ("undeployed" if at_once else "advance")
    assert after[after.index("begun", 1) - 1] == ("reverted" if at_once else "done")
    assert state(tmp_path).plan.release == 3
    assert state(tmp_path).plan.incumbent == (1 if at_once else 2)
    assert running(fleet) == [3, 3, 3, 3]
    assert state(tmp_path).by == "bob@desk"


def test_one_that_cannot_follow_is_said_and_dropped(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)

    ask(tmp_path, "supersede", then=Order(9, "bob@desk", "1,1,rest"), at_once=True)
    finish(tmp_path, fleet)

    (refused,) = [event.text for event in log(tmp_path).events if event.kind == "refused"]
    assert refused.startswith("flange@9 cannot follow: flange@9 is not registered")
    assert (state(tmp_path).phase, state(tmp_path).successor) == ("reverted", None)


def test_a_request_that_makes_no_sense_any_more_is_refused_in_the_log(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)
    ask(tmp_path, "resume", by="bob@desk")

    finish(tmp_path, fleet)

    (refused,) = [event for event in log(tmp_path).events if event.kind == "refused"]
    assert (refused.text, refused.by) == ("the roll-out of flange@2 is not paused (planned)", "bob@desk")
    assert list(DiskStore(tmp_path).list("requests/")) == []
    assert state(tmp_path).phase == "done"


def test_a_scheduler_comes_to_the_same_end_and_writes_nothing_when_there_is_nothing_to_do(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)

    ticks(tmp_path, fleet, 40)

    assert state(tmp_path).phase == "done"
    assert running(fleet) == [2, 2, 2, 2]
    before = found(tmp_path)
    assert ticks(tmp_path, fleet, 3) == []
    assert found(tmp_path).version == before.version


def test_a_tick_goes_through_all_rollouts_and_one_in_trouble_hinders_no_other(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)
    store = DiskStore(tmp_path)
    store.put(Place("yard", "coco").state, b"{")

    ticked = tick_all(store, fleet, fleet.reports, who="robot@cloud", clock=fleet.clock)

    assert [(one.place.fleet, one.well) for one in ticked] == [("shop", True), ("yard", False)]
    assert "cannot be read" in ticked[1].note
    assert kinds(ticked[0].events) == ["planned", "advance", "deployed"]


def test_who_is_taken_over_stops_before_its_next_act(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)
    slow = world(tmp_path, fleet)
    with hold(slow.store, PLACE, who="slow@laptop", for_s=0.0) as held:
        while not (held.rollout.touched and not held.rollout.touched[-1].deployment):
            step(held, slow, fleet.clock())  # it has written that ring 0 is next, and falls asleep
        finish(tmp_path, fleet)
        deployed = list(fleet.deployments)

        with pytest.raises(LeaseLostError, match="nothing more is done here"):
            _awake(held, slow, fleet)

    assert fleet.deployments == deployed
    assert state(tmp_path).phase == "done"
    assert log(tmp_path).damage == ""


def _awake(held: Held, slow: object, fleet: RolloutFleet) -> None:
    step(held, slow, fleet.clock())  # type: ignore[arg-type]


def test_a_digest_that_nobody_released_is_named_and_nothing_goes_on(tmp_path: Path) -> None:
    fleet = fleet_running()
    said = Said({f"{1:064x}": (1,), f"{2:064x}": (2,)}, (1, 2))
    start(tmp_path, fleet, order=Order(2, ANN, "1,1,rest", said=said))
    (canary,) = fleet.groups["shop_flange-ring-0"]
    ticks(tmp_path, fleet, 1)
    fleet.gateways[canary].digest = "f" * 64

    told = ticks(tmp_path, fleet, 10)

    assert told[-1].kind == "stranger"
    assert f"{canary} reports flange@2 with digest ffffffffffff, which nobody released: find out" in told[-1].text
    assert fleet.deployments == [("shop_flange-ring-0", 2)]
    fleet.gateways[canary].digest = ""
    finish(tmp_path, fleet)
    assert state(tmp_path).phase == "done"


def test_a_revert_is_over_only_when_the_same_bytes_run_again(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=SLOW)
    (canary,) = fleet.groups["shop_flange-ring-0"]
    start(tmp_path, fleet)

    for event in story(tmp_path, fleet):
        if event.kind == "undeployed":
            fleet.gateways[canary].digest = "e" * 64

    assert state(tmp_path).phase == "revert-failed"
    assert f"{canary} reports release 1 with another digest than before (eeeeeeeeeeee)" in state(tmp_path).outcome


def test_a_revert_that_failed_is_tried_again_by_the_clock(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=SLOW)
    (canary,) = fleet.groups["shop_flange-ring-0"]
    start(tmp_path, fleet)
    for event in story(tmp_path, fleet):
        if event.kind == "revert":
            fleet.gateways[canary].stubborn = True
    assert state(tmp_path).phase == "revert-failed"

    (ticked,) = tick_all(DiskStore(tmp_path), fleet, fleet.reports, who="robot@cloud", clock=fleet.clock)
    assert not ticked.well
    assert ticked.note.startswith("THE REVERT FAILED on 1 of 1 gateways")
    fleet.gateways[canary].stubborn = False
    told = ticks(tmp_path, fleet, 70)

    assert kinds(told) == ["revert", "undeployed", "reverted"]
    assert running(fleet) == [1, 1, 1, 1]
    assert fleet.deployments[-2:] == [("shop_flange-ring-0", 1), ("shop_flange-ring-0", 1)]


@pytest.mark.parametrize(("stubborn", "kind"), [(False, "returned"), (True, "astray")])
def test_who_was_away_at_the_end_is_watched_when_it_comes_back(tmp_path: Path, stubborn: bool, kind: str) -> None:
    fleet = fleet_running(rings="1,rest")
    away = fleet.groups["shop_flange-ring-1"][0]
    fleet.gateways[away].offline = True
    fleet.pause(70)
    start(tmp_path, fleet, rings="1,rest")
    finish(tmp_path, fleet)
    assert (state(tmp_path).phase, state(tmp_path).watched) == ("done", {away: 0})
    assert ticks(tmp_path, fleet, 2) == []

    fleet.gateways[away].offline, fleet.gateways[away].stubborn = False, stubborn
    (event,) = ticks(tmp_path, fleet, 20)

    assert event.kind == kind
    assert event.text.startswith(f"{away} is back, and runs flange@2" if kind == "returned" else f"{away} was away")
    assert state(tmp_path).watched == {}


@pytest.mark.parametrize("jump_s", [86_400.0, -86_400.0])
def test_a_clock_that_jumps_condemns_nobody(tmp_path: Path, jump_s: float) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet, order=Order(2, ANN, "1,1,rest", Wishes(soak_s=(300.0,))))
    ticks(tmp_path, fleet, 4)

    told = tick(world(tmp_path, fleet), who="robot@cloud", clock=lambda: fleet.clock() + int(jump_s * 1e6))
    assert kinds(told) == []
    assert told[-1].kind == "wait"

    ticks(tmp_path, fleet, 3)
    assert state(tmp_path).phase == "rolling"
    assert running(fleet).count(2) == 1


def test_a_full_disk_stops_it_before_anything_is_done(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)
    here = world(tmp_path, fleet)
    full = replace(here, store=FullDisk(tmp_path))

    with pytest.raises(StoreError, match="No space left on device"):
        tick(full, who="robot@cloud", clock=fleet.clock)

    assert fleet.deployments == []
    finish(tmp_path, fleet)
    assert state(tmp_path).phase == "done"


class FullDisk(DiskStore):
    """A store that takes nothing."""

    def put_if(self, key: str, data: bytes, version: str | None) -> str:
        raise StoreError(f"{self.uri(key)} cannot be written: No space left on device")
