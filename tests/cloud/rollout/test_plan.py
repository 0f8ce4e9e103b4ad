"""Rings: disjoint, never empty, filled once and kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollout.plan import gateways_named
from cloud.rollout.rings import DEFAULT_RINGS, fill_rings, make_plan, ring_group, ring_sizes
from models.errors import RolloutError, UsageError

names = st.sets(st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True), min_size=1, max_size=60)


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
    rings = fill_rings("flange", gateways, [], DEFAULT_RINGS)

    assert sorted(name for ring in rings for name in ring) == sorted(gateways)
    assert all(rings)


def test_the_first_plan_does_not_depend_on_the_order_or_the_day() -> None:
    gateways = [f"gateway-{number}" for number in range(1, 9)]

    rings = fill_rings("flange", reversed(gateways), [], "1,2,rest")

    assert rings == fill_rings("flange", gateways, [], "1,2,rest")
    # for ever: a change here would move every fleet's canary
    assert rings[:2] == (("gateway-7",), ("gateway-1", "gateway-8"))


def test_two_models_have_different_canaries() -> None:
    gateways = [f"gateway-{number}" for number in range(50)]

    assert fill_rings("flange", gateways, [], "1,rest")[0] != fill_rings("bottle", gateways, [], "1,rest")[0]


@given(names, names)
def test_rings_are_kept_whoever_comes_or_goes(before: set[str], after: set[str]) -> None:
    kept = fill_rings("flange", before, [], "1,30%,rest")

    rings = fill_rings("flange", after, kept, "2%,rest")

    assert sorted(name for ring in rings for name in ring) == sorted(after)
    for old, new in zip(kept[:-1], rings[:-1], strict=True):
        assert set(new) == set(old) & after  # nobody new, nobody moved
    assert set(rings[-1]) >= after - before  # newcomers


def test_a_gateway_in_two_rings_is_refused() -> None:
    with pytest.raises(RolloutError, match="b is in two rings of model flange"):
        fill_rings("flange", ["a", "b"], [["a", "b"], ["b"]], "1,rest")


def test_a_ring_that_everybody_left_is_passed_over_and_keeps_its_number() -> None:
    plan = make_plan(
        model="flange",
        release=2,
        incumbent=1,
        fleet="shop",
        gateways=gateways_named(["b", "c"]),
        kept=[["a"], ["b"], ["c"]],
    )

    assert [wave.group for wave in plan.waves] == ["shop_flange-ring-1", "shop_flange-ring-2"]


def test_a_fleet_without_gateways_is_refused() -> None:
    with pytest.raises(RolloutError, match="the fleet has no gateway"):
        make_plan(model="flange", release=2, incumbent=1, fleet="shop", gateways=[])


def test_a_name_that_aws_would_refuse_is_refused_here() -> None:
    with pytest.raises(UsageError, match="choose a fleet name"):
        ring_group("my shop", "flange", 0)


def test_no_two_fleets_and_models_share_a_ring() -> None:
    assert ring_group("line", "a-b", 0) != ring_group("line-a", "b", 0)
    assert ring_group("line_a", "b", 0) != ring_group("line", "a-b", 0)
