"""What is told of a roll-out before it begins: when, how much, and what to think about."""

from dataclasses import replace

import numpy as np
import pytest

from cloud.rollout.begin import make_plan
from cloud.rollout.forecast import Forecast, forecast
from cloud.rollout.groups import Changes
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Gateway, Plan, Wishes
from cloud.rollout.rehearsal import Odds, Trial, at_most, odds_of, rehearse, too_short
from cloud.rollout.reported import joined, slices
from cloud.rollout.timetable import timetable
from cloud.rollout.windows import Windows, windows_of

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
NOW_US = 1_780_000_000_000_000  # 2026-05-28 20:26 UTC
LIMITS = Limits()
SHOP = [
    Gateway(f"g{number}", hardware=("pi4", "pi5")[number % 2], site=("north", "south")[number // 4])
    for number in range(8)
]


def plan_of(*, shares: str = "2,2,rest", incumbent: int | None = 1, **wishes: object) -> Plan:
    return make_plan(
        model="coco",
        release=2,
        incumbent=incumbent,
        fleet="shop",
        gateways=SHOP,
        shares=shares,
        wishes=Wishes(**wishes),  # type: ignore[arg-type]
        bytes_each=10_000_000,
    )


def told(plan: Plan, *, heard: dict[str, int] | None = None, **more: object) -> Forecast:
    """The forecast of a fleet that reports, but for the changes."""
    given: dict[str, object] = {"groups": {}, "changes": Changes(), "predicted": True, **more}
    everybody = {gateway.name: NOW_US for gateway in SHOP}
    return forecast(
        plan,
        now_us=NOW_US,
        window_s=60.0,
        limits=LIMITS,
        heard_us=everybody if heard is None else heard,
        **given,  # type: ignore[arg-type]
    )


def test_rings_follow_each_other_with_their_soaks() -> None:
    plan = plan_of(soak_s=(7200.0, 3600.0), shadow_s=1800.0)

    first, second, third = timetable(plan, NOW_US, window_s=60.0, limits=LIMITS)

    assert first.begins_us == NOW_US + HOUR_US // 2
    assert second.begins_us == first.ends_us == first.begins_us + 2 * HOUR_US
    assert third.ends_us == second.ends_us + HOUR_US


def test_hours_and_waves_take_their_time() -> None:
    at_night = timetable(plan_of(hours="22:00-05:00"), NOW_US, window_s=60.0, limits=LIMITS)
    assert at_night[0].begins_us == NOW_US + 93 * MINUTE_US + 20_000_000  # it is 20:26:40
    capped = timetable(plan_of(max_in_flight=1), NOW_US, window_s=60.0, limits=LIMITS)
    free = timetable(plan_of(), NOW_US, window_s=60.0, limits=LIMITS)
    assert capped[2].ends_us - free[2].ends_us == 5 * 90_000_000  # eight waves in three rings: five wait for another


def test_what_a_ring_is_and_loads_is_told() -> None:
    found = told(plan_of(approve=(1,)))

    assert [len(ring.gateways) for ring in found.rings] == [2, 2, 4]
    assert found.rings[0].hardware == {"pi4": 1, "pi5": 1}
    assert [ring.approval for ring in found.rings] == [False, True, False]
    assert sum(ring.bytes for ring in found.rings) == 80_000_000
    assert found.bytes_by_site == {"north": 40_000_000, "south": 40_000_000}
    assert found.warnings == ()


def test_everything_worth_a_thought_is_a_warning() -> None:
    plan = plan_of(shares="1,rest", site_bytes=10_000_000, hours="22:00-05:00")
    (canary,) = plan.rings[0].names
    plan = replace(plan, bytes_each=0)
    found = told(
        plan,
        heard={gateway.name: NOW_US for gateway in SHOP if gateway.name != canary},
        groups={"g3": 9, "g4": 2},
        changes=Changes(joins=("g3", "g4"), moves=("g1",), leaves=("old",)),
        predicted=False,
    )

    said = " | ".join(found.warnings)
    for part in (
        "ring 0 has no gateway of pi",
        f"1 gateway (12%) not heard lately ({canary})",
        "ring 0 would not count as well: 0 of 1 gateways report, and 50% must be well",
        "g3 will be in 10 thing groups, all that AWS IoT allows",
        "1 gateway will move to other thing groups of coco",
        "old left the fleet",
        "8 gateways in UTC, for --hours",
        "what a gateway downloads is not known",
        "the report of coco@2 predicts no shift",
    ):
        assert part in said
    blind = forecast(
        plan, now_us=NOW_US, window_s=60.0, limits=LIMITS, heard_us=None, groups={}, changes=Changes(), predicted=None
    )
    assert any(warning.startswith("no --lake") for warning in blind.warnings)


def history(hours: float, *, release: int = 1, seed: int = 0) -> Windows:
    """The fleet's reports, a minute each, with things that come by the hour."""
    random = np.random.default_rng(seed)
    minutes = int(hours * 60)
    gateway = np.tile(np.arange(len(SHOP)), minutes)
    minute = np.repeat(np.arange(minutes), len(SHOP))
    detections = random.poisson(200 + 100 * np.sin(minute / 60))
    return windows_of(
        [gateway.name for gateway in SHOP],
        ("good", "defect"),
        gateway=gateway,
        at_us=NOW_US + minute * MINUTE_US + gateway * 1_000_000,
        release=release,
        stream=gateway + 1,
        seq=minute + 1,
        frames=300,
        detections=detections,
        bins=random.multinomial(detections, [0.02] * 5 + [0.1, 0.1, 0.1, 0.2, 0.4]),
        mix=random.multinomial(detections, [0.9, 0.1]),
        p50_ms=random.normal(10.0, 0.3, len(gateway)),
        p95_ms=12.0,
        memory_bytes=1.5e8,
    )


def rehearsed(plan: Plan, windows: Windows, trials: int = 2) -> list[Trial]:
    return list(rehearse(plan, windows, window_s=60.0, limits=LIMITS, trials=trials, seed=0))


def test_the_release_before_is_rehearsed_and_is_not_undone() -> None:
    plan, windows = plan_of(soak_s=(1800.0, 600.0)), history(4)
    assert too_short(plan, windows, window_s=60.0, limits=LIMITS) == ""

    trials = rehearsed(plan, windows)

    assert [trial.outcome for trial in trials] == ["done", "done"]
    assert trials == rehearsed(plan, windows), "the same seed, the same rehearsals"


def test_a_fleet_that_cannot_keep_still_lets_no_release_through() -> None:
    """All gateways get slower every hour, by turns: no release could be told from that."""
    windows = history(4)
    hour = (windows.at_us - NOW_US) // HOUR_US
    restless = replace(windows, p50_ms=windows.p50_ms * np.where((hour + windows.gateway) % 2, 4.0, 1.0))

    odds = odds_of(rehearsed(plan_of(soak_s=(3600.0, 600.0)), restless))

    assert odds.undone + odds.stuck == 2


def test_too_little_history_is_said() -> None:
    plan = plan_of(soak_s=(86_400.0, 3600.0))

    short = too_short(plan, history(4), window_s=60.0, limits=LIMITS)
    assert short == "not enough history: 3.99 h of coco@1, and a rehearsal takes 28.4 h"
    other = too_short(plan, history(40, release=3), window_s=60.0, limits=LIMITS)
    assert other.startswith("not enough history: 0 s of coco@1")
    assert too_short(plan_of(incumbent=None), history(1), window_s=60.0, limits=LIMITS).startswith(
        "there is no release"
    )


@pytest.mark.parametrize(("hits", "trials", "bound"), [(0, 20, 0.1391), (1, 20, 0.2161), (20, 20, 1.0), (0, 1, 0.95)])
def test_few_rehearsals_prove_little(hits: int, trials: int, bound: float) -> None:
    assert at_most(hits, trials) == pytest.approx(bound, abs=1e-4)  # Clopper-Pearson tables, one-sided 95 %


def test_odds_count_what_did_not_end_apart() -> None:
    assert odds_of([Trial("done", ""), Trial("stuck", "ring 0"), Trial("reverted", "ring 1")]) == Odds(
        3, 1, 1, at_most(1, 3), ("ring 1",)
    )


def test_slices_joined_are_the_whole() -> None:
    whole = history(4)
    parts = [whole.take(whole.at_us < NOW_US + HOUR_US), whole.take(whole.at_us >= NOW_US + HOUR_US)]
    # a later slice may name things in another order
    later = parts[1]
    turned = replace(later, labels=later.labels[::-1], mix=later.mix[:, ::-1], gateways=later.gateways[::-1])
    turned = replace(turned, gateway=len(later.gateways) - 1 - later.gateway)

    found = joined([parts[0], turned])

    assert found.gateways == whole.gateways
    for name in ("gateway", "at_us", "mix", "bins", "detections"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    assert slices(0, 4 * 3_600_000_000) == 2
