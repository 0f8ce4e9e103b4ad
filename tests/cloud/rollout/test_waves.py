"""Waves: no larger than what may be in flight, in one time zone where hours are kept to, and kept where they may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.rollout.plan import Gateway, Wishes
from cloud.rollout.waves import cut_into_waves
from models.errors import UsageError

MB = 1_000_000
RING = [
    Gateway(f"g{number:02d}", site=("north", "south", "")[number % 3], timezone=("UTC", "Asia/Tokyo")[number % 2])
    for number in range(12)
]


def test_without_wishes_a_ring_is_one_wave() -> None:
    assert cut_into_waves(RING, (), Wishes(), 0) == (tuple(gateway.name for gateway in RING),)


@pytest.mark.parametrize(
    ("wishes", "sizes"),
    [
        (Wishes(max_in_flight=5), [5, 5, 2]),
        (Wishes(max_bytes_in_flight=50 * MB), [5, 5, 2]),
        (Wishes(max_in_flight=4, max_bytes_in_flight=50 * MB), [4, 4, 4]),
        (Wishes(hours="22:00-05:00"), [6, 6]),
        (Wishes(site_bytes=20 * MB), [8, 4]),  # two of each site, and the four of which nobody said where they are
        (Wishes(max_in_flight=100), [12]),
    ],
)
def test_a_wave_holds_as_many_as_may_be_on_their_way(wishes: Wishes, sizes: list[int]) -> None:
    assert [len(wave) for wave in cut_into_waves(RING, (), wishes, 10 * MB)] == sizes


@pytest.mark.parametrize(
    ("wishes", "bytes_each", "message"),
    [
        (Wishes(max_bytes_in_flight=9 * MB), 10 * MB, "--max-bytes-in-flight 9 MB is less than what one gateway"),
        (Wishes(site_bytes=9 * MB), 10 * MB, "--site-bytes 9 MB is less than what one gateway downloads, 10 MB"),
        (Wishes(site_bytes=9 * MB), 0, "--site-bytes needs to know what a gateway downloads"),
    ],
)
def test_a_cap_that_lets_nobody_through_is_refused(wishes: Wishes, bytes_each: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cut_into_waves(RING, (), wishes, bytes_each)


def test_what_is_finer_than_need_be_stays() -> None:
    kept = (("g00", "g01"), ("g02", "g03"))

    assert cut_into_waves(RING[:4], kept, Wishes(), 0) == kept


def test_what_is_too_coarse_is_cut_and_as_few_as_need_be_move() -> None:
    kept = (tuple(gateway.name for gateway in RING),)

    first, second, third = cut_into_waves(RING, kept, Wishes(max_in_flight=5), 0)

    assert first == kept[0][:5]
    assert len(second) == 5
    assert len(third) == 2


gateways = st.lists(
    st.builds(
        Gateway,
        name=st.from_regex(r"g[0-9]{1,3}", fullmatch=True),
        site=st.sampled_from(["", "north", "south"]),
        timezone=st.sampled_from(["UTC", "Asia/Tokyo", "Europe/Berlin"]),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda gateway: gateway.name,
)
wishes = st.builds(
    Wishes,
    hours=st.sampled_from(["", "22:00-05:00"]),
    max_in_flight=st.sampled_from([None, 1, 3, 7]),
    max_bytes_in_flight=st.sampled_from([None, 40 * MB]),
    site_bytes=st.sampled_from([None, 10 * MB, 20 * MB]),
)


@given(gateways, wishes, wishes)
def test_waves_hold_a_ring_and_keep_to_what_was_asked_also_when_that_changes(
    ring: list[Gateway], before: Wishes, after: Wishes
) -> None:
    kept = cut_into_waves(ring, (), before, 10 * MB)
    found = {gateway.name: gateway for gateway in ring}

    waves = cut_into_waves(ring, kept, after, 10 * MB)

    assert sorted(name for wave in waves for name in wave) == sorted(found)
    for wave in waves:
        sites = [found[name].site for name in wave]
        assert after.max_in_flight is None or len(wave) <= after.max_in_flight
        assert after.max_bytes_in_flight is None or len(wave) <= 4
        for site in {*sites} - {""}:
            assert after.site_bytes is None or sites.count(site) * 10 * MB <= after.site_bytes
        assert not after.hours or len({found[name].timezone for name in wave}) <= 1
    # asked the same again, nobody moves
    assert cut_into_waves(ring, waves, after, 10 * MB) == waves
