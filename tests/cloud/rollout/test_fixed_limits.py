"""How gateways stand on which figures, and what is done about it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollout.decide import Action, Advance, Done, Revert, Wait, decide
from cloud.rollout.evidence import Evidence, GatewayEvidence, WaveEvidence
from cloud.rollout.figures import NO_DRIFT, NOTHING, Drift, Figures, Spread
from cloud.rollout.fixed_limits import judge, standings
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan, Ring, Wave, gateways_named

LIMITS = Limits()
WINDOW_S = 5.0
NOW_US = 1_000_000_000
DEPLOYED_US = NOW_US - 20_000_000
RINGS = tuple(Ring((Wave(f"shop_flange-ring-{k}", gateways_named([f"gateway-{k}"])),)) for k in range(3))
PLAN = Plan("flange", 2, 1, "shop", RINGS)
WAS = Figures(
    windows=12,
    frames=480,
    errors=0,
    fps=8.0,
    looked=True,
    p50_ms=8.0,
    p95_ms=12.0,
    memory_bytes=150_000_000,
    detections=480,
    per_frame=1.0,
    mean_score=0.9,
    mix={"good": 300, "empty": 160, "defect": 20},
)
NOW = replace(WAS, windows=3, frames=120, detections=120, mix={"good": 75, "empty": 40, "defect": 5})
SPREAD = Spread(mix=0.15, score=0.02, rate_low=0.98, rate_high=1.0)


def gateway(number: int, **changes: object) -> GatewayEvidence:
    """One that runs the candidate and is well, but for the changes."""
    found = GatewayEvidence(
        f"gateway-{number}", was=WAS, spread=SPREAD, now=NOW, reports=3, release=2, heard_us=NOW_US - 1_000_000
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def untouched(number: int, **changes: object) -> GatewayEvidence:
    return gateway(number, **{"now": NOTHING, "reports": 0, "release": 1, "spread": Spread(0, 0, 0, 0), **changes})


def evidence(*touched: GatewayEvidence, drift: Drift = NO_DRIFT, deployed_us: int = DEPLOYED_US) -> Evidence:
    """One gateway a ring: these are touched, the others not yet."""
    rings = [WaveEvidence((found,), deployed_us, drift) for found in touched]
    rings += [WaveEvidence((untouched(k),)) for k in range(len(touched), len(PLAN.rings))]
    return Evidence(tuple(rings), len(touched), WINDOW_S, NOW_US - 60_000_000)


def decided(found: Evidence, plan: Plan = PLAN) -> Action:
    return decide(plan, standings(plan, found, NOW_US, LIMITS), NOW_US)


def test_it_begins_with_ring_0_once_there_is_something_to_compare_with() -> None:
    assert decided(evidence()) == Advance(0, 0, "nothing was touched yet; next is ring 0 (gateway-0)")


def test_a_ring_that_is_well_lets_the_next_one_follow() -> None:
    action = decided(evidence(gateway(0)))

    assert isinstance(action, Advance)
    assert action.ring == 1
    assert action.because == (
        "ring 0 is well: gateway-0 3 windows, 120 frames, 8.0 frames/s (was 8.0), p95 12.0 ms (was 12.0), "
        "class mix moved 0.00 (incumbent's own 0.15); next is ring 1 (gateway-1)"
    )


def test_it_is_done_when_the_last_ring_is_well() -> None:
    assert isinstance(decided(evidence(*(gateway(k) for k in range(3)))), Done)


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"now": replace(NOW, windows=1)}, "ring 0: gateway-0 has shown 1 of 2 windows and 120 of 50 frames"),
        ({"now": replace(NOW, frames=49)}, "ring 0: gateway-0 has shown 3 of 2 windows and 49 of 50 frames"),
        ({"now": NOTHING, "reports": 0}, "ring 0: gateway-0 has shown 0 of 2 windows and 0 of 50 frames"),
        # different, but it may be the belt
        (
            {"now": replace(NOW, mix={"good": 30, "empty": 40, "defect": 40})},
            "ring 0: gateway-0 needs a longer look (3 of 6 windows): its class mix moved by 0.35, "
            "the incumbent's own by 0.15",
        ),
        ({"errors": 1}, "ring 0: gateway-0 needs a longer look (3 of 6 windows): it had 1 error"),
        (
            {"now": replace(NOW, p50_ms=16.0)},
            "ring 0: gateway-0 needs a longer look (3 of 6 windows): its median inference takes 16.0 ms, "
            "the incumbent's 8.0 ms",
        ),
        # the tail is slower, the middle is not
        (
            {"now": replace(NOW, p95_ms=30.0)},
            "ring 0: gateway-0 needs a longer look (3 of 6 windows): is slow: p95 30.0 ms, the incumbent's 12.0 ms "
            "(limit 1.5 times and 5 ms)",
        ),
    ],
)
def test_too_little_to_judge_by_is_a_reason_to_wait(changes: dict[str, object], because: str) -> None:
    assert decided(evidence(gateway(0, **changes))) == Wait(because)


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"failed": "gave it up: flange@2: golden frames disagree"}, "gave it up: flange@2: golden frames disagree"),
        ({"errors": 6}, "had 6 errors beside 120 frames"),
        ({"now": replace(NOW, p95_ms=24.0, p50_ms=16.0)}, "is slow: p95 24.0 ms, the incumbent's 12.0 ms"),
        ({"now": replace(NOW, p95_ms=24.0, windows=6)}, "is slow: p95 24.0 ms"),  # the tail alone, but it lasts
        ({"now": replace(NOW, fps=6.0)}, "infers 6.0 frames/s, the incumbent 8.0"),
        ({"now": replace(NOW, memory_bytes=300_000_000)}, "takes 300 MB, the incumbent 150 MB"),
        ({"now": replace(NOW, mean_score=0.5)}, "scores 0.50 on average, the incumbent 0.90"),
        ({"now": replace(NOW, per_frame=0.3)}, "sees 0.30 things a frame, the incumbent 0.98 to 1.00"),
        ({"now": replace(NOW, mix={"defect": 120})}, "answers otherwise: its class mix moved by 0.96"),
        # less is enough when it lasts
        (
            {"now": replace(NOW, windows=6, mix={"good": 30, "empty": 40, "defect": 50})},
            "answers otherwise: its class mix moved by 0.38, the incumbent's own by 0.15 (limit 0.26), "
            "over 6 windows and 120 frames",
        ),
    ],
)
def test_a_candidate_that_does_worse_is_reverted(changes: dict[str, object], because: str) -> None:
    action = decided(evidence(gateway(0, **changes)))

    assert isinstance(action, Revert)
    assert action.because.startswith(f"ring 0: gateway-0 {because}")


@pytest.mark.parametrize(
    "changes",
    [
        {"errors": 2, "now": replace(NOW, windows=6)},  # a camera that came back between two frames
        {"now": replace(NOW, p95_ms=16.5)},  # more than 1.3 times, not 5 ms
        {"now": replace(NOW, memory_bytes=240_000_000)},  # more than 1.5 times, not 100 MB
        {"now": replace(NOW, fps=0.0, looked=False)},  # the camera is down
        {"now": replace(NOW, mix={"good": 60, "empty": 40, "defect": 20})},
    ],
)
def test_what_is_within_the_limits_goes_on(changes: dict[str, object]) -> None:
    assert isinstance(decided(evidence(gateway(0, **changes))), Advance)


def test_what_all_gateways_go_through_is_not_the_candidates_doing() -> None:
    night = gateway(0, now=replace(NOW, p95_ms=24.0, p50_ms=16.0, fps=5.0, mix={"empty": 120}))

    assert isinstance(decided(evidence(night)), Revert)
    assert isinstance(decided(evidence(night, drift=Drift(p95=2.0, fps=0.6, mix=0.65))), Advance)


def test_a_silent_gateway_is_not_a_healthy_one() -> None:
    minute_us = 60_000_001

    never = decided(evidence(gateway(0, reports=0, now=NOTHING), deployed_us=NOW_US - minute_us))
    no_longer = decided(evidence(gateway(0, heard_us=NOW_US - minute_us), deployed_us=NOW_US - 2 * minute_us))

    assert isinstance(never, Revert)
    assert "is silent: 60 s since the deployment, and no report of the candidate (limit 60 s)" in never.because
    assert isinstance(no_longer, Revert)
    assert "is silent: 60 s since its last report (limit 60 s)" in no_longer.because


def test_a_gateway_that_reports_but_sees_too_little_is_reverted_when_patience_ends() -> None:
    blind = gateway(0, now=replace(NOTHING, windows=30), reports=30, camera_state="down")

    action = decided(evidence(blind, deployed_us=NOW_US - 151_000_000))

    assert isinstance(action, Revert)
    assert "could not be judged in 151 s: 30 of 2 windows and 0 of 50 frames, camera down" in action.because


def test_who_was_away_before_holds_nobody_up_but_alone_proves_nothing() -> None:
    away = gateway(9, now=NOTHING, reports=0, away=True, absent=True, heard_us=0)
    ring = Ring((Wave("shop_flange-ring-0", gateways_named(["gateway-0", "gateway-9"])),))
    plan = replace(PLAN, rings=(ring, *RINGS[1:]))
    rest = tuple(WaveEvidence((untouched(k),)) for k in (1, 2))

    assert isinstance(
        decided(Evidence((WaveEvidence((gateway(0), away), DEPLOYED_US), *rest), 1, WINDOW_S, 0), plan), Advance
    )
    away_too = replace(away, gateway="gateway-0")
    alone = WaveEvidence((away_too, away), DEPLOYED_US)
    assert decided(Evidence((alone, *rest), 1, WINDOW_S, 0), plan) == Wait("ring 0: no gateway has shown to be well")


def test_a_ring_is_not_touched_before_there_is_something_to_compare_with() -> None:
    short = untouched(0, was=replace(WAS, windows=3))
    rest = tuple(WaveEvidence((untouched(k),)) for k in (1, 2))

    action = decided(Evidence((WaveEvidence((short,)), *rest), 0, WINDOW_S, NOW_US))

    assert action == Wait(
        "0 of 1 gateway of ring 0 (gateway-0) that report have shown enough of release 1 to compare with"
    )


def test_a_fleet_that_says_nothing_is_given_up_untouched() -> None:
    rings = tuple(WaveEvidence((untouched(k, heard_us=0),)) for k in range(3))

    assert isinstance(decided(Evidence(rings, 0, WINDOW_S, NOW_US - 100_000_000)), Wait)
    action = decided(Evidence(rings, 0, WINDOW_S, NOW_US - 151_000_000))
    assert action == Revert(
        "given up before anything was touched, after 3 min: no gateway of ring 0 (gateway-0) has reported lately"
    )


def test_a_first_release_needs_to_be_well_and_no_more() -> None:
    first = replace(PLAN, incumbent=None)
    lone = gateway(0, was=NOTHING, spread=Spread(0, 0, 0, 0), now=replace(NOW, windows=1, frames=12))

    assert isinstance(decided(evidence(), first), Advance)
    assert isinstance(decided(evidence(lone), first), Advance)
    assert isinstance(decided(evidence(replace(lone, errors=9)), first), Revert)


# the laws, for any evidence

counts = st.integers(0, 200)
ratios = st.floats(0, 100, allow_nan=False)
figures = st.builds(
    Figures,
    windows=st.integers(0, 14),
    frames=counts,
    errors=counts,
    fps=ratios,
    looked=st.booleans(),
    p50_ms=ratios,
    p95_ms=ratios,
    memory_bytes=st.integers(0, 1 << 32),
    detections=counts,
    per_frame=ratios,
    mean_score=st.floats(0, 1),
    mix=st.dictionaries(st.sampled_from(["good", "defect", "empty"]), counts),
)
spreads = st.builds(Spread, mix=st.floats(0, 1), score=st.floats(0, 1), rate_low=ratios, rate_high=ratios)
gateways = st.builds(
    GatewayEvidence,
    gateway=st.sampled_from(["a", "b", "c"]),
    was=st.one_of(st.just(WAS), figures),
    spread=st.one_of(st.just(SPREAD), spreads),
    now=st.one_of(st.just(NOW), st.just(NOTHING), figures),
    reports=st.integers(0, 5),
    errors=st.sampled_from([0, 0, 1, 50]),
    release=st.integers(0, 3),
    failed=st.sampled_from(["", "", "", "gave it up"]),
    heard_us=st.integers(0, NOW_US),
    absent=st.booleans(),
)
waves = st.builds(
    WaveEvidence,
    gateways=st.just(()),
    deployed_us=st.one_of(st.just(0), st.integers(NOW_US - 200_000_000, NOW_US)),
    drift=st.builds(Drift, p95=ratios, fps=ratios, rate=ratios, mix=st.floats(0, 1), score=st.floats(0, 1)),
)


@given(gateways, waves, st.booleans())
def test_none_is_well_without_evidence(seen: GatewayEvidence, wave: WaveEvidence, first: bool) -> None:
    verdict = judge(seen, wave, window_s=WINDOW_S, now_us=NOW_US, limits=LIMITS, first=first)

    if verdict.standing == "well":
        assert not seen.failed
        assert seen.now.windows >= (LIMITS.first_windows if first else LIMITS.windows)
        assert seen.now.frames >= (LIMITS.first_frames if first else LIMITS.frames)


@given(gateways, waves, st.booleans())
def test_a_release_that_a_gateway_gave_up_is_always_bad(seen: GatewayEvidence, wave: WaveEvidence, first: bool) -> None:
    verdict = judge(
        replace(seen, failed="gave it up"), wave, window_s=WINDOW_S, now_us=NOW_US, limits=LIMITS, first=first
    )

    assert verdict.standing == "bad"


@given(gateways, waves, st.booleans())
def test_every_verdict_is_a_clause(seen: GatewayEvidence, wave: WaveEvidence, first: bool) -> None:
    because = judge(seen, wave, window_s=WINDOW_S, now_us=NOW_US, limits=LIMITS, first=first).because

    assert because
    assert "\n" not in because
