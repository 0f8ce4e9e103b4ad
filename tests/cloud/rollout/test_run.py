"""Roll-outs on a light fleet, as stories."""

from pathlib import Path

import pytest

from cloud.rollout.begin import survey
from cloud.rollout.lease import LeaseHeldError
from models.errors import RolloutError
from simulator.rollout_fleet import Behaviour, worse
from tests.cloud.rollout.stories import (
    FLEET,
    GOOD,
    MODEL,
    ask,
    finish,
    fleet_running,
    kinds,
    log,
    roll_out,
    running,
    start,
    state,
    story,
)

BETTER = worse(GOOD, accuracy=0.99, score=0.97, p95_ms=10.0)
MIXED_UP = worse(GOOD, answers={"good": "defect", "defect": "good"})
SLOW = worse(GOOD, p95_ms=26.0)


@pytest.mark.parametrize("candidate", [GOOD, BETTER])
def test_a_good_release_goes_ring_by_ring_to_all(tmp_path: Path, candidate: Behaviour) -> None:
    fleet = fleet_running(candidate=candidate)

    events = roll_out(tmp_path, fleet)

    assert kinds(events) == ["planned", *["advance", "deployed"] * 3, "done"]
    assert [event.ring for event in events if event.kind == "advance"] == [0, 1, 2]
    assert running(fleet) == [2, 2, 2, 2]
    assert [group for group, _ in fleet.deployments] == [f"shop_flange-ring-{k}" for k in range(3)]
    assert state(tmp_path).phase == "done"


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (MIXED_UP, "odds of 1 to"),
        (worse(GOOD, answers={"good": "defect", "empty": "defect"}), "odds of 1 to"),
        (SLOW, "is slow: its median inference takes"),
        (worse(GOOD, p95_ms=300.0), "is slow: its median inference takes"),
        (worse(GOOD, score=0.5), "odds of 1 to"),
        (worse(GOOD, memory_bytes=400_000_000), " MB, the incumbent 1"),
        (worse(GOOD, per_frame=3), "things a frame"),
        (worse(GOOD, errors_per_frame=0.3), "errors beside"),
        (worse(GOOD, refused="golden frames disagree"), "gave it up: flange@2: golden frames disagree"),
        (worse(GOOD, deadly=True), "is silent"),
    ],
)
def test_a_bad_release_is_taken_back_from_ring_0_and_reaches_no_other(
    tmp_path: Path, candidate: Behaviour, reason: str
) -> None:
    fleet = fleet_running(candidate=candidate)

    events = roll_out(tmp_path, fleet)

    assert kinds(events) == ["planned", "advance", "deployed", "revert", "undeployed", "reverted"]
    (revert,) = [event for event in events if event.kind == "revert"]
    assert reason in revert.text
    assert running(fleet) == [1, 1, 1, 1]
    assert fleet.deployments == [("shop_flange-ring-0", 2), ("shop_flange-ring-0", 1)]
    assert {report.gateway for report in fleet.health if report.health.release == 2} <= set(
        fleet.groups["shop_flange-ring-0"]
    )


def test_a_slow_release_is_noticed_within_three_windows_of_its_first_report(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=SLOW)

    events = roll_out(tmp_path, fleet)

    first_us = min(report.health.at_us for report in fleet.health if report.health.release == 2)
    (reverted_us,) = [event.at_us for event in events if event.kind == "revert"]
    assert reverted_us - first_us <= 3 * fleet.window_s * 1e6


def test_a_release_that_fails_in_a_later_ring_is_taken_back_from_every_ring_touched(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=GOOD)
    (second,) = fleet.groups["shop_flange-ring-1"]
    start(tmp_path, fleet)

    for event in story(tmp_path, fleet):
        if event.kind == "deployed" and event.ring == 1:
            fleet.gateways[second].load = 3.0  # the release does not agree with this one's hardware

    assert state(tmp_path).phase == "reverted"
    assert f"ring 1: {second} is slow" in state(tmp_path).outcome
    assert running(fleet) == [1, 1, 1, 1]
    assert [group for group, release in fleet.deployments if release == 1] == [
        "shop_flange-ring-0",
        "shop_flange-ring-1",
    ]


def test_a_load_on_the_whole_site_is_not_the_releases_fault(tmp_path: Path) -> None:
    fleet = fleet_running(gateways=9)  # enough untouched ones to tell
    start(tmp_path, fleet)
    told = []

    for event in story(tmp_path, fleet):
        told.append(event)
        if event.kind == "deployed" and event.ring == 0:
            for gateway in fleet.gateways.values():
                gateway.load = 2.5
        if event.kind == "deployed" and event.ring == 1:
            break

    assert kinds(told) == ["planned", "advance", "deployed", "advance", "deployed"]


def test_a_revert_that_does_not_arrive_is_shouted_about_and_can_be_tried_again(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=SLOW)
    (canary,) = fleet.groups["shop_flange-ring-0"]
    start(tmp_path, fleet)

    for event in story(tmp_path, fleet):
        if event.kind == "revert":
            fleet.gateways[canary].stubborn = True

    assert state(tmp_path).phase == "revert-failed"
    assert f"THE REVERT FAILED on 1 of 1 gateways: {canary} reports release 2" in state(tmp_path).outcome

    fleet.gateways[canary].stubborn = False
    ask(tmp_path, "revert")
    finish(tmp_path, fleet)

    assert state(tmp_path).phase == "reverted"
    assert running(fleet) == [1, 1, 1, 1]


def test_who_was_away_gets_the_release_later_and_holds_nobody_up(tmp_path: Path) -> None:
    fleet = fleet_running()
    away = fleet.groups["shop_flange-ring-2"][0]
    fleet.gateways[away].offline = True
    fleet.pause(70)

    events = roll_out(tmp_path, fleet)

    assert kinds(events)[-1] == "done"
    assert state(tmp_path).touched[2].absent == (away,)
    assert running(fleet).count(2) == 3


def test_who_was_away_and_stays_away_does_not_stop_a_revert(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=SLOW, rings="2,rest")
    away, present = fleet.groups["shop_flange-ring-0"]
    fleet.gateways[away].offline = True
    fleet.pause(70)

    roll_out(tmp_path, fleet)

    assert state(tmp_path).phase == "reverted"
    assert (
        f"on all 1 gateways touched ({away}, silent before and since, cannot be asked and will be watched)"
        in state(tmp_path).outcome
    )
    assert fleet.gateways[present].running == 1


def test_a_gateway_whose_clock_is_wrong_is_judged_all_the_same(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=SLOW, windows=0)
    (canary,) = fleet.groups["shop_flange-ring-0"]
    fleet.gateways[canary].clock_s = -1500.0
    fleet.pause(60)

    events = roll_out(tmp_path, fleet)

    (revert,) = [event for event in events if event.kind == "revert"]
    assert f"ring 0: {canary} is slow" in revert.text
    assert state(tmp_path).phase == "reverted"


def test_a_first_release_goes_ring_by_ring_on_health_alone(tmp_path: Path) -> None:
    fleet = fleet_running()
    fresh = type(fleet)(list(fleet.gateways), behaviours={1: GOOD}, fps=8.0)

    start(tmp_path, fresh, 1, first=True)
    events = finish(tmp_path, fresh)

    assert kinds(events) == ["planned", *["advance", "deployed"] * 3, "done"]
    assert running(fresh) == [1, 1, 1, 1]


def test_a_first_release_that_fails_is_taken_away_again(tmp_path: Path) -> None:
    fleet = type(fleet_running(windows=0))(["a", "b"], behaviours={1: worse(GOOD, errors_per_frame=0.5)}, fps=8.0)

    start(tmp_path, fleet, 1, first=True, rings="1,rest")
    finish(tmp_path, fleet)

    assert state(tmp_path).phase == "reverted"
    assert "flange@1 is no longer deployed to the 1 gateways touched" in state(tmp_path).outcome
    assert fleet.deployments == [("shop_flange-ring-0", 1), ("shop_flange-ring-0", None)]


def test_a_newcomer_joins_the_last_ring(tmp_path: Path) -> None:
    fleet = fleet_running()
    before = {group: things for group, things in fleet.groups.items() if "-ring-" in group}
    newcomer = type(fleet.gateways["gateway-1"])("a-newcomer", fps=8.0)
    fleet.gateways["a-newcomer"] = newcomer
    fleet.groups[FLEET] = (*fleet.groups[FLEET], "a-newcomer")

    events = roll_out(tmp_path, fleet)

    assert kinds(events)[-1] == "done"
    assert fleet.groups["shop_flange-ring-0"] == before["shop_flange-ring-0"]
    assert fleet.groups["shop_flange-ring-2"] == ("a-newcomer", *before["shop_flange-ring-2"])
    reported = [report.health.release for report in fleet.health if report.gateway == "a-newcomer"]
    assert reported[0] == 1  # the incumbent until the roll-out came to its ring
    assert reported[-1] == 2


def test_an_operator_can_stop_it_from_another_terminal(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)

    for event in story(tmp_path, fleet):
        if event.kind == "deployed" and event.ring == 1:
            with pytest.raises(LeaseHeldError, match=r"ann@desk .* acts on it"):
                next(story(tmp_path, fleet, who="bob"))
            ask(tmp_path, "revert", by="bob")

    assert state(tmp_path).phase == "reverted"
    assert state(tmp_path).outcome.endswith("because bob asked for it")
    assert running(fleet) == [1, 1, 1, 1]


def test_a_finished_rollout_can_be_undone(tmp_path: Path) -> None:
    fleet = fleet_running()
    roll_out(tmp_path, fleet)

    ask(tmp_path, "revert")
    finish(tmp_path, fleet)

    assert state(tmp_path).phase == "reverted"
    assert running(fleet) == [1, 1, 1, 1]


def test_after_a_revert_the_next_release_finds_its_way(tmp_path: Path) -> None:
    fleet = fleet_running(candidate=SLOW)
    fleet.behaviours[3] = BETTER
    roll_out(tmp_path, fleet)

    events = roll_out(tmp_path, fleet, 3)

    assert kinds(events)[-1] == "done"
    assert running(fleet) == [3, 3, 3, 3]
    assert {event.rollout.split("-")[0] for event in log(tmp_path).events} == {"flange@2", "flange@3"}


def test_a_cloud_that_is_away_for_a_while_changes_nothing(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)
    events = []

    for event in story(tmp_path, fleet):
        events.append(event)
        if event.kind == "deployed" and event.ring == 1:
            fleet.down = True
        if event.kind == "trouble" and sum(e.kind == "trouble" for e in events) == 20:
            fleet.down = False

    assert state(tmp_path).phase == "done"
    assert [event.text for event in log(tmp_path).events if event.kind == "trouble"] == ["the simulated cloud is down"]


def test_a_cloud_that_stays_away_ends_the_command_and_not_the_rollout(tmp_path: Path) -> None:
    fleet = fleet_running()
    start(tmp_path, fleet)

    def until_the_end() -> None:
        for event in story(tmp_path, fleet):
            fleet.down = fleet.down or event.kind == "deployed"

    with pytest.raises(RolloutError, match="the simulated cloud is down; the roll-out of flange@2 stands still"):
        until_the_end()
    assert state(tmp_path).phase == "rolling"

    fleet.down = False
    finish(tmp_path, fleet)
    assert state(tmp_path).phase == "done"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group": "shops"}, "there is no thing group shops"),
        ({"release": 9}, "flange@9 is not registered as a component"),
        ({"release": 1}, "shop runs flange@1 already"),
        ({"first": True}, "shop runs flange@1 already; leave --first out"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    fleet = fleet_running(windows=0)
    asked = {"model": MODEL, "release": 2, "group": FLEET} | change

    with pytest.raises(RolloutError, match=message):
        survey(fleet, **asked)  # type: ignore[arg-type]


def test_without_an_incumbent_one_has_to_say_that_it_is_the_first() -> None:
    fleet = type(fleet_running(windows=0))(["a"], behaviours={1: GOOD})

    with pytest.raises(RolloutError, match="is this the first one"):
        survey(fleet, model=MODEL, release=1, group=FLEET)


def test_a_fleet_that_is_given_the_model_as_a_whole_gets_no_rings() -> None:
    fleet = fleet_running(windows=0)
    fleet.deploy(FLEET, MODEL, 1)

    with pytest.raises(RolloutError, match=r"shop itself is given flange@1.*take tidegate\.Model\.flange out"):
        survey(fleet, model=MODEL, release=2, group=FLEET)


def test_rings_that_differ_are_not_built_upon() -> None:
    fleet = fleet_running(windows=0)
    fleet.deploy("shop_flange-ring-0", MODEL, 2)

    with pytest.raises(RolloutError, match=r"different releases \(1, 2\)"):
        survey(fleet, model=MODEL, release=2, group=FLEET)


def test_one_rollout_at_a_time(tmp_path: Path) -> None:
    fleet = fleet_running(windows=0)
    start(tmp_path, fleet)

    with pytest.raises(RolloutError, match="the roll-out of flange@2 to shop is unfinished"):
        start(tmp_path, fleet)
