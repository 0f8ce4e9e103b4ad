"""How configuration survives versions, and how deployments change it."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import DeployError
from simulator.nucleus.configuration import changes, lookup, merge, parse_pointer, updated

keys = st.sampled_from("abc")
json_values: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.text(max_size=3) | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
)
configurations = st.dictionaries(keys, json_values, max_size=3)


@pytest.mark.parametrize(
    ("current", "defaults", "resets", "merges", "expected"),
    [
        (None, {"a": 1}, [], {}, {"a": 1}),  # first install: the defaults
        (None, {"a": 1}, [], {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 5}, {"a": 1, "b": 2}, [], {}, {"a": 5, "b": 2}),  # a new version's defaults overwrite nothing
        ({"a": {"x": 1, "y": 2}}, {}, [], {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {}, [], {"a": [3]}, {"a": [3]}),  # lists are replaced
        ({"a": 5, "b": 6}, {"a": 1}, ["/a", "/b"], {}, {"a": 1}),  # back to the default, or gone without one
        ({"a": 5}, {"a": 1}, ["/a"], {"a": 9}, {"a": 9}),  # resets come first
        ({"a": 5}, {"b": 1}, [""], {}, {"b": 1}),  # the whole
        ({"a": 5}, {"b": 1}, ["/a/deeper", "/none"], {}, {"a": 5, "b": 1}),
    ],
)
def test_a_deployment_updates_a_configuration(
    current: dict[str, Any] | None,
    defaults: dict[str, Any],
    resets: list[str],
    merges: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    before = copy.deepcopy((current, defaults, merges))
    assert updated(current, defaults, resets=resets, merges=merges) == expected
    assert (current, defaults, merges) == before


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configurations, configurations)
def test_what_was_merged_is_there_and_the_changes_are_named(old: dict[str, Any], new: dict[str, Any]) -> None:
    merged = merge(old, new)
    assert merge(merged, new) == merged
    for path in changes(old, merged):
        assert lookup(merged, path) is not None or path[0] in new


def test_pointers_are_json_pointers() -> None:
    assert parse_pointer("/a~1b/c~0d") == ("a/b", "c~d")
    with pytest.raises(DeployError, match="starts with '/', got 'a'"):
        parse_pointer("a")
