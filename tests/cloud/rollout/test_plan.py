"""Rings: disjoint, never empty, filled once and kept."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollout.begin import make_plan
from cloud.rollout.groups import wave_group
from cloud.rollout.plan import Gateway
from cloud.rollout.rings import DEFAULT_RINGS, Preference, fill_rings, parse_preference, ring_sizes, uncovered
from models.errors import RolloutError, UsageError
from tests.cloud.rollout.named import gateways_named

Rings = tuple[tuple[str, ...], ...]
names = st.sets(st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True), min_size=1, max_size=60)


def rings_of(gateways: Iterable[str], kept: Sequence[Sequence[str]] = (), shares: str = DEFAULT_RINGS) -> Rings:
    """The rings of gateways of which nothing but the name is known."""
    return fill_rings("flange", [Gateway(name) for name in gateways], kept, shares)


@pytest.mark.parametrize(
    ("total", "shares", "sizes"),
    [
        (4, "1,1,rest", (1, 1, 2)),
        (4, "1,1,2", (1, 1, 2)),
        (200, DEFAULT_RINGS, (4, 20, 60, 116)),
        (4, DEFAULT_RINGS, (1, 1, 1, 1)),  # a percent is one gateway at least
        (2, DEFAULT_RINGS, (1, 1)),  # no ring is empty, so there are fewer
        (1, "1,rest", (1,)),
        (10, "50%,50%", (5, 5)),
        (7, "rest", (7,)),
    ],
)
def test_rings_have_the_sizes_asked_for(total: int, shares: str, sizes: tuple[int, ...]) -> None:
    assert ring_sizes(total, shares) == sizes


@pytest.mark.parametrize(
    ("total", "shares", "message"),
    [
        (4, "1,1,1", "hold 3 of the fleet's 4 gateways; end them with 'rest'"),
        (4, "1,5", "hold more gateways than the fleet's 4"),
        (4, "rest,1", "'rest' must come last"),
        (4, "0,rest", "counts, percents and 'rest'"),
        (4, "1;2", "counts, percents and 'rest'"),
        (4, "", "counts, percents and 'rest'"),
        (4, "-1,rest", "counts, percents and 'rest'"),
    ],
)
def test_rings_that_do_not_add_up_are_refused(total: int, shares: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ring_sizes(total, shares)


@given(names)
def test_every_gateway_is_in_one_ring_and_no_ring_is_empty(gateways: set[str]) -> None:
    rings = rings_of(gateways)

    assert sorted(name for ring in rings for name in ring) == sorted(gateways)
    assert all(rings)


def test_the_first_plan_does_not_depend_on_the_order_or_the_day() -> None:
    gateways = [f"gateway-{number}" for number in range(1, 9)]

    rings = rings_of(reversed(gateways), shares="1,2,rest")

    assert rings == rings_of(gateways, shares="1,2,rest")
    # for ever: a change here would move every fleet's canary
    assert rings[:2] == (("gateway-7",), ("gateway-1", "gateway-8"))


def test_two_models_have_different_canaries() -> None:
    gateways = [Gateway(f"gateway-{number}") for number in range(50)]

    flange, bottle = (fill_rings(model, gateways, [], "1,rest") for model in ("flange", "bottle"))
    assert flange[0] != bottle[0]


@given(names, names)
def test_rings_are_kept_whoever_comes_or_goes(before: set[str], after: set[str]) -> None:
    kept = rings_of(before, shares="1,30%,rest")

    rings = rings_of(after, kept, "2%,rest")

    assert sorted(name for ring in rings for name in ring) == sorted(after)
    for old, new in zip(kept[:-1], rings[:-1], strict=True):
        assert set(new) == set(old) & after  # nobody new, nobody moved
    assert set(rings[-1]) >= after - before  # newcomers


def test_a_gateway_in_two_rings_is_refused() -> None:
    with pytest.raises(RolloutError, match="b is in two rings of model flange"):
        rings_of(["a", "b"], [["a", "b"], ["b"]], "1,rest")


def test_a_ring_that_everybody_left_is_passed_over_and_keeps_its_number() -> None:
    plan = make_plan(
        model="flange",
        release=2,
        incumbent=1,
        fleet="shop",
        gateways=gateways_named(["b", "c"]),
        kept=[[["a"]], [["b"]], [["c"]]],
    )

    assert [wave.group for wave in plan.waves] == ["shop_flange-ring-1", "shop_flange-ring-2"]


def test_a_fleet_without_gateways_is_refused() -> None:
    with pytest.raises(RolloutError, match="the fleet has no gateway"):
        make_plan(model="flange", release=2, incumbent=1, fleet="shop", gateways=[])


def test_a_name_that_aws_would_refuse_is_refused_here() -> None:
    with pytest.raises(UsageError, match="choose a fleet name"):
        wave_group("my shop", "flange", 0)


def test_no_two_fleets_and_models_share_a_ring() -> None:
    assert wave_group("line", "a-b", 0) != wave_group("line-a", "b", 0)
    assert wave_group("line_a", "b", 0) != wave_group("line", "a-b", 0)


KINDS = {"pi4": 12, "pi5": 6, "nuc": 2}
SHOP = [
    Gateway(f"{kind}-{n}", kind, f"shop-{n}", tags=("dock",) * (n == 3)) for kind, k in KINDS.items() for n in range(k)
]


def ring_0(shares: str, prefer: Sequence[Preference] = ()) -> list[Gateway]:
    first, *_ = fill_rings("coco", SHOP, [], shares, prefer)
    return [gateway for gateway in SHOP if gateway.name in first]


def test_ring_0_has_one_of_every_hardware_class_where_it_has_room() -> None:
    assert {gateway.hardware for gateway in ring_0("3,rest")} == {"pi4", "pi5", "nuc"}
    # the commonest first where it has not
    assert {gateway.hardware for gateway in ring_0("2,rest")} == {"pi4", "pi5"}
    assert uncovered([ring_0("2,rest"), SHOP]) == ("nuc",)
    assert uncovered([ring_0("3,rest"), SHOP]) == ()


def test_an_operator_may_choose_the_first_canaries() -> None:
    docks = ring_0("2,rest", [parse_preference("tag=dock")])
    assert {gateway.name for gateway in docks} == {"pi4-3", "pi5-3"}
    assert ring_0("1,rest", [parse_preference("hardware=nuc")])[0].hardware == "nuc"
    one_site = ring_0("3,rest", [parse_preference("site=shop-1")])
    assert {gateway.name for gateway in one_site} == {"pi4-1", "pi5-1", "nuc-1"}


@pytest.mark.parametrize("text", ["", "hardware", "hardware=", "colour=red"])
def test_a_preference_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--prefer takes hardware=CLASS, site=SITE or tag=TAG"):
        parse_preference(text)


def test_a_preference_that_fits_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="no gateway of the fleet has tag=roof"):
        ring_0("1,rest", [Preference("tag", "roof")])


def test_rings_that_are_kept_have_no_preference() -> None:
    with pytest.raises(UsageError, match="flange has its rings already"):
        fill_rings("flange", SHOP, [["pi4-0"]], "1,rest", [Preference("tag", "dock")])
