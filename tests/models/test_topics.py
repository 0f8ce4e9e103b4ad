"""Topics: who says what where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import WireError
from models.topics import (
    SHARDS,
    acks_topic,
    parse_results_topic,
    results_filter,
    results_filters,
    results_topic,
    shard_of,
)

GATEWAYS = st.from_regex(r"[A-Za-z0-9_.:-]{1,128}", fullmatch=True)


@given(GATEWAYS)
def test_a_topic_names_its_gateway(gateway: str) -> None:
    topic = results_topic(gateway)
    assert parse_results_topic(topic).gateway == gateway
    assert parse_results_topic(topic).shard == shard_of(gateway) < SHARDS
    assert topic.startswith(results_filter(shard_of(gateway)).removesuffix("+"))


def test_shards_are_the_same_for_ever() -> None:
    # a gateway that changed shards would have its streams written by two workers
    assert [shard_of(name) for name in ("gw-1", "gw-2", "line:7", "a")] == [38, 28, 51, 3]


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a+", "#", "ä", "x" * 129, "a\n"])
def test_a_name_that_would_be_another_topic_is_refused(name: str) -> None:
    for topic in (results_topic, acks_topic):
        with pytest.raises(WireError, match="gateway name must be"):
            topic(name)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "tidegate/v1/results/7",
        "tidegate/v1/results/7/",
        "tidegate/v2/results/38/gw-1",
        "tidegate/v1/results/x/gw-1",
        "tidegate/v1/results/٣٨/gw-1",
        "tidegate/v1/results/100/gw-1",
        "tidegate/v1/results/38/gw-1/more",
        "tidegate/v1/results/7/g w",
        "tidegate/v1/acks/gw-1",
    ],
)
def test_another_topic_is_refused(topic: str) -> None:
    with pytest.raises(WireError):
        parse_results_topic(topic)


def test_a_gateway_cannot_choose_its_shard() -> None:
    with pytest.raises(WireError, match="wrong shard: 'gw-1' belongs to"):
        parse_results_topic(f"tidegate/v1/results/{(shard_of('gw-1') + 1) % SHARDS}/gw-1")


def test_all_shards_are_one_subscription_and_some_are_one_each() -> None:
    assert results_filters(range(SHARDS)) == ["tidegate/v1/results/+/+"]
    assert results_filters([3, 40]) == [results_filter(3), results_filter(40)]
