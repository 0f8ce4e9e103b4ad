"""Ranges of versions mean what they mean to npm, whose notation Greengrass takes."""

import pytest

from simulator.versions import order, satisfies


def test_versions_are_ordered_by_number_and_a_pre_release_comes_first() -> None:
    shuffled = ["1.10.0", "1.2.0", "1.2.0-rc.10", "1.2.0-rc.9", "1.2.0-beta", "0.9.9", "1.2.0-rc.9.a"]

    assert sorted(shuffled, key=order) == [
        "0.9.9", "1.2.0-beta", "1.2.0-rc.9", "1.2.0-rc.9.a", "1.2.0-rc.10", "1.2.0", "1.10.0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("version", "requirement", "satisfied"),
    [
        ("1.2.3", "1.2.3", True),
        ("1.2.3", "=1.2.3", True),
        ("1.2.3", "==1.2.3", True),
        ("1.2.4", "1.2.3", False),
        ("1.2.3", "*", True),
        ("1.2.3", ">=1.0.0 <2.0.0", True),
        ("2.0.0", ">=1.0.0 <2.0.0", False),
        ("1.0.0", ">= 1.0.0", True),
        ("1.9.0", "^1.2.0", True),
        ("2.0.0", "^1.2.0", False),
        ("0.2.9", "^0.2.3", True),
        ("0.3.0", "^0.2.3", False),
        ("1.2.9", "~1.2.3", True),
        ("1.3.0", "~1.2.3", False),
        ("3.0.0", "<1.0.0 || >=3.0.0", True),
        ("2.0.0", "<1.0.0 || >=3.0.0", False),
        ("1.0.0-dev.g1", "1.0.0-dev.g1", True),
        ("1.0.0", ">1.0.0-dev.g1", True),
    ],
)
def test_ranges(version: str, requirement: str, satisfied: bool) -> None:
    assert satisfies(version, requirement) is satisfied


@pytest.mark.parametrize("requirement", ["newest", "1.x", "1.2", "1.0.0 - 2.0.0"])
def test_other_notations_are_refused(requirement: str) -> None:
    with pytest.raises(ValueError, match="is not a range"):
        satisfies("1.0.0", requirement)
