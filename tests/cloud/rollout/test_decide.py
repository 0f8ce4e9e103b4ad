"""Who is next: the operator's wishes held against how the fleet stands."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollout.decide import Advance, Done, Hold, Revert, Shadow, Wait, decide
from cloud.rollout.plan import Gateway, Plan, Ring, Wave, Wishes, waves_of
from cloud.rollout.standings import Standings
from cloud.rollout.verdicts import RingVerdict

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
NOW_US = 1_780_000_000_000_000  # 2026-05-28 20:26 UTC


def gateway(name: str, site: str = "", timezone: str = "UTC") -> Gateway:
    return Gateway(name, site=site, timezone=timezone)


def plan_of(*rings: tuple[tuple[Gateway, ...], ...], wishes: Wishes | None = None) -> Plan:
    """Rings of waves of gateways."""
    return Plan(
        "coco",
        2,
        1,
        "shop",
        tuple(
            Ring(tuple(Wave(f"shop_coco-ring-{r}-wave-{w}", gateways) for w, gateways in enumerate(waves)))
            for r, waves in enumerate(rings)
        ),
        wishes or Wishes(),
        bytes_each=10_000_000,
    )


# a | b c | d e, f g
PLAN = plan_of(
    ((gateway("a"),),),
    ((gateway("b"), gateway("c")),),
    ((gateway("d", "north"), gateway("e", "south")), (gateway("f", "north"), gateway("g", "south"))),
)


def ring_of(plan: Plan, ring: int, **changes: object) -> RingVerdict:
    """A ring of which all are well, but for the changes."""
    count = len(plan.rings[ring].names)
    found = RingVerdict("well", f"all {count} as before", count, well=count, present=count, ready=count)
    return replace(found, **changes)  # type: ignore[arg-type]


def seen(
    touched: int,
    said: Mapping[int, Mapping[str, object]] | None = None,
    *,
    plan: Plan = PLAN,
    hours_ago: float = 2,
    in_flight: str = "",
) -> Standings:
    """The first `touched` waves were deployed so long ago, and all is well but for what is said of some rings."""
    return Standings(
        tuple(ring_of(plan, ring, **(said or {}).get(ring, {})) for ring in range(len(plan.rings))),
        tuple(NOW_US - int(hours_ago * HOUR_US) for _ in range(touched)),
        NOW_US - 3 * HOUR_US,
        6 * 3600,
        frozenset(in_flight),
    )


def wishing(**wishes: object) -> Plan:
    return replace(PLAN, wishes=Wishes(**wishes))  # type: ignore[arg-type]


UNKNOWN = {"standing": "unknown", "because": "c has shown 1 of 2 windows", "well": 1, "unknown": 1}
BAD = {"standing": "bad", "because": "a is slow", "bad": 1}


def test_it_goes_ring_by_ring_and_within_one_wave_by_wave() -> None:
    assert decide(PLAN, seen(0), NOW_US) == Advance(0, 0, "nothing was touched yet; next is ring 0 (a)")
    assert decide(PLAN, seen(1), NOW_US) == Advance(1, 1, "ring 0 is well: all 1 as before; next is ring 1 (b, c)")
    assert decide(PLAN, seen(2), NOW_US) == Advance(
        2, 2, "ring 1 is well: all 2 as before; next is wave 1 of 2 of ring 2 (d, e)"
    )
    assert decide(PLAN, seen(3, {2: UNKNOWN}), NOW_US) == Advance(
        3, 2, "ring 2 is under way, 5 of 7 gateways touched; next is wave 2 of 2 of ring 2 (f, g)"
    )
    assert decide(PLAN, seen(4), NOW_US) == Done("all 3 rings run coco@2 and are well: all 4 as before")


def test_a_ring_must_have_shown_to_be_well() -> None:
    assert decide(PLAN, seen(2, {1: UNKNOWN}), NOW_US) == Wait("ring 1: c has shown 1 of 2 windows")
    # one that was passed may be in doubt again: somebody came back
    assert isinstance(decide(PLAN, seen(2, {0: UNKNOWN}), NOW_US), Advance)


def test_who_is_away_holds_nobody_up_but_enough_must_be_well() -> None:
    away = decide(PLAN, seen(2, {1: {"well": 1, "absent": 1}}), NOW_US)
    assert isinstance(away, Advance)
    assert "(1 gateway away, watched when back)" in away.because
    nobody = {1: {"standing": "absent", "because": "no gateway has shown to be well", "well": 0, "absent": 2}}
    assert decide(PLAN, seen(2, nobody), NOW_US) == Wait("ring 1: no gateway has shown to be well")
    assert decide(wishing(covered=1.0), seen(2, {1: {"well": 1, "absent": 1}}), NOW_US) == Wait(
        "ring 1: all 2 as before; 1 of 2 gateways are well, 2 are needed"
    )


def test_a_ring_that_does_not_become_well_in_time_is_undone() -> None:
    away = {0: {"standing": "absent", "because": "no gateway has shown to be well", "well": 0, "absent": 1}}

    assert isinstance(decide(wishing(soak_s=(7200.0,)), seen(1, away, hours_ago=26), NOW_US), Wait)
    assert decide(wishing(soak_s=(7200.0,)), seen(1, away, hours_ago=26.1), NOW_US) == Revert(
        "ring 0: no gateway has shown to be well, after 26.1 h (limit 26 h)"
    )


def test_a_late_fault_in_any_ring_reverts() -> None:
    assert decide(PLAN, seen(4, {0: BAD}), NOW_US) == Revert("ring 0: a is slow")
    assert decide(PLAN, seen(3, {2: BAD}), NOW_US) == Revert("ring 2: a is slow")


def test_a_ring_is_watched_for_its_soak_time() -> None:
    plan = wishing(soak_s=(86_400.0, 3600.0))

    assert decide(plan, seen(1, hours_ago=2), NOW_US) == Wait(
        "ring 0 is well, and watched for 2 h of 24 h: all 1 as before"
    )
    assert isinstance(decide(plan, seen(1, hours_ago=24), NOW_US), Advance)
    assert isinstance(decide(plan, seen(2, hours_ago=2), NOW_US), Advance)
    assert isinstance(decide(plan, seen(4, hours_ago=0.9), NOW_US), Wait)
    assert isinstance(decide(plan, seen(4, hours_ago=1), NOW_US), Done)


def test_a_whole_day_means_every_hour_that_has_something_to_see() -> None:
    plan = wishing(soak_s=(86_400.0, 3600.0))
    night = {0: {"unseen_hours": (2, 3, 4)}}

    assert decide(plan, seen(1, night, hours_ago=25), NOW_US) == Wait(
        "ring 0 is well, but has not been seen at 2:00, 3:00 and 4:00 UTC yet"
    )
    assert isinstance(decide(plan, seen(1, night, hours_ago=49), NOW_US), Advance)  # a limit to that, too
    assert isinstance(decide(PLAN, seen(1, night, hours_ago=1), NOW_US), Advance)


def test_a_chosen_ring_waits_for_an_approval() -> None:
    plan = wishing(approve=(1,))

    assert decide(plan, seen(1), NOW_US) == Hold(
        1, "ring 0 is well: all 1 as before; ring 1 (b, c) waits for an approval"
    )
    assert isinstance(decide(plan, replace(seen(1), approved=(1,)), NOW_US), Advance)
    assert isinstance(decide(plan, seen(2), NOW_US), Advance)


def test_paused_it_touches_nothing_new_and_still_goes_back() -> None:
    paused = replace(seen(1), paused="ann@desk")

    assert decide(PLAN, paused, NOW_US) == Wait("paused by ann@desk; 1 of 7 gateways touched")
    assert isinstance(decide(PLAN, replace(seen(1, {0: BAD}), paused="ann@desk"), NOW_US), Revert)


def test_in_shadow_first() -> None:
    plan = wishing(shadow_s=1800.0)

    def shown(minutes: int, standing: str, because: str) -> Standings:
        found = seen(0, {0: {"shadow": standing, "shadow_because": because}})
        return replace(found, shadow_since_us=NOW_US - minutes * MINUTE_US)

    assert isinstance(decide(plan, seen(0), NOW_US), Shadow)
    assert decide(plan, shown(10, "unknown", "agrees on 97 % of 300 frames"), NOW_US) == Wait(
        "in shadow on ring 0 for 10 min of 30 min: agrees on 97 % of 300 frames"
    )
    assert isinstance(decide(plan, shown(10, "well", "agrees"), NOW_US), Wait)
    assert isinstance(decide(plan, shown(30, "well", "agrees"), NOW_US), Advance)
    assert isinstance(decide(plan, shown(30, "unknown", "agrees"), NOW_US), Wait)
    assert isinstance(decide(plan, shown(30, "absent", ""), NOW_US), Wait)
    assert decide(plan, shown(1, "bad", "agrees on 12 % of 300 frames"), NOW_US) == Revert(
        "ring 0 in shadow: agrees on 12 % of 300 frames"
    )


@pytest.mark.parametrize(
    ("wishes", "because"),
    [
        ({"max_in_flight": 3}, "2 gateways on the way to coco@2, and with 2 more there would be 4 (limit 3)"),
        ({"max_bytes_in_flight": 39_000_000}, "and with 2 more they would download 40 MB at once (limit 39 MB)"),
        ({"site_bytes": 19_000_000}, "and with 2 more north would download 20 MB at once (limit 19 MB)"),
    ],
)
def test_no_more_than_asked_for_is_on_its_way(wishes: dict[str, object], because: str) -> None:
    action = decide(wishing(**wishes), seen(3, in_flight="de"), NOW_US)

    assert isinstance(action, Wait)
    assert because in action.because
    assert isinstance(decide(wishing(**wishes), seen(3), NOW_US), Advance)


def test_a_wave_begins_in_its_gateways_hours() -> None:
    plan = plan_of(((gateway("a", timezone="Asia/Tokyo"),),), wishes=Wishes(hours="22:00-05:00"))

    action = decide(plan, seen(0, plan=plan), NOW_US)

    assert action == Wait(
        "nothing was touched yet; it is 05:26 at a (Asia/Tokyo), and hours are 22:00-05:00: next in 16.6 h"
    )
    assert isinstance(decide(plan, seen(0, plan=plan), NOW_US - HOUR_US), Advance)


def test_there_must_be_something_to_compare_with() -> None:
    short = seen(0, {0: {"ready": 0}})
    assert decide(PLAN, short, NOW_US) == Wait(
        "0 of 1 gateway of ring 0 (a) that report have shown enough of release 1 to compare with"
    )
    assert isinstance(decide(replace(PLAN, incumbent=None), short, NOW_US), Advance)
    silent = seen(0, {0: {"ready": 0, "present": 0}})
    assert decide(PLAN, silent, NOW_US) == Wait("no gateway of ring 0 (a) has reported lately")
    assert decide(PLAN, replace(silent, patience_s=3600.0), NOW_US) == Revert(
        "given up before anything was touched, after 3 h: no gateway of ring 0 (a) has reported lately"
    )


# the laws

any_wishes = st.builds(
    Wishes,
    shadow_s=st.sampled_from([0.0, 1800.0]),
    soak_s=st.sampled_from([(), (3600.0,), (86_400.0, 3600.0)]),
    approve=st.sampled_from([(), (0,), (1, 2)]),
    hours=st.sampled_from(["", "22:00-05:00", "00:00-00:00"]),
    max_in_flight=st.sampled_from([None, 2, 3, 10]),
    max_bytes_in_flight=st.sampled_from([None, 20_000_000, 10**9]),
    site_bytes=st.sampled_from([None, 10_000_000, 10**9]),
    covered=st.sampled_from([0.5, 1.0]),
)


@st.composite
def any_verdict(draw: st.DrawFn, gateways: int) -> RingVerdict:
    well = draw(st.integers(0, gateways))
    unknown = draw(st.integers(0, gateways - well))
    present = draw(st.integers(0, gateways))
    return RingVerdict(
        draw(st.sampled_from(["well", "well", "unknown", "absent", "bad"])),
        "is as it is",
        gateways,
        well=well,
        unknown=unknown,
        absent=draw(st.integers(0, gateways - well - unknown)),
        bad=draw(st.sampled_from([0, 0, 0, 1])),
        present=present,
        ready=draw(st.integers(0, present)),
        unseen_hours=draw(st.sampled_from([(), (3,)])),
        shadow=draw(st.sampled_from(["absent", "well", "unknown", "bad"])),
    )


@st.composite
def any_moment(draw: st.DrawFn) -> tuple[Plan, Standings]:
    plan = replace(PLAN, wishes=draw(any_wishes), incumbent=draw(st.sampled_from([1, None])))
    touched = draw(st.integers(0, len(plan.waves)))
    times = sorted(draw(st.lists(st.integers(0, 60 * HOUR_US), min_size=touched, max_size=touched)), reverse=True)
    return plan, Standings(
        tuple(draw(any_verdict(len(ring.names))) for ring in plan.rings),
        tuple(NOW_US - ago for ago in times),
        NOW_US - 61 * HOUR_US,
        draw(st.sampled_from([60.0, 1e6])),
        frozenset(draw(st.lists(st.sampled_from(plan.names(touched)), max_size=4)) if touched else ()),
        draw(st.sampled_from([0, NOW_US - HOUR_US])),
        draw(st.sampled_from([(), (0,), (0, 1, 2)])),
        draw(st.sampled_from(["", "", "ann@desk"])),
    )


def well_enough(plan: Plan, evidence: Standings, ring: int) -> bool:
    found = evidence.rings[ring]
    return found.standing == "well" and not found.bad and found.well >= plan.wishes.covered * found.gateways


@given(any_moment())
def test_waves_are_taken_in_order_and_never_on_missing_evidence(moment: tuple[Plan, Standings]) -> None:
    plan, evidence = moment
    match decide(plan, evidence, NOW_US):
        case Advance(wave=wave, ring=ring):
            assert wave == evidence.touched
            assert ring == plan.ring_of(wave)
            assert not evidence.paused
            if wave == waves_of(plan, ring).start:
                assert ring == 0 or well_enough(plan, evidence, ring - 1)
                assert ring not in plan.wishes.approve or ring in evidence.approved
                assert plan.incumbent is None or evidence.rings[ring].ready
            if plan.wishes.shadow_s and wave == 0:
                assert evidence.rings[0].shadow == "well"
        case Done():
            assert evidence.touched == len(plan.waves)
            assert well_enough(plan, evidence, len(plan.rings) - 1)
        case Hold(ring=ring):
            assert ring in plan.wishes.approve
            assert ring not in evidence.approved


@given(any_moment())
def test_never_more_in_flight_than_asked_for(moment: tuple[Plan, Standings]) -> None:
    plan, evidence = moment
    action = decide(plan, evidence, NOW_US)
    if isinstance(action, Advance):
        count = len(evidence.in_flight) + len(plan.waves[action.wave].gateways)
        assert plan.wishes.max_in_flight is None or count <= plan.wishes.max_in_flight
        assert plan.wishes.max_bytes_in_flight is None or count * plan.bytes_each <= plan.wishes.max_bytes_in_flight


@given(any_moment())
def test_whatever_is_bad_is_reverted_even_when_paused(moment: tuple[Plan, Standings]) -> None:
    plan, evidence = moment
    touched = {plan.ring_of(wave) for wave in range(evidence.touched)}
    if any(evidence.rings[ring].standing == "bad" or evidence.rings[ring].bad for ring in touched):
        assert isinstance(decide(plan, evidence, NOW_US), Revert)


@given(any_moment())
def test_every_decision_is_explained_in_a_sentence(moment: tuple[Plan, Standings]) -> None:
    because = decide(*moment, NOW_US).because

    assert because
    assert "\n" not in because
