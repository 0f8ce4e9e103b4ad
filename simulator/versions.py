"""Semantic versions and the ranges that recipes and deployments ask for (https://semver.org, npm's notation)."""

import re
from typing import Any

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
_COMPARATOR = re.compile(r"(\^|~|>=|<=|>|<|==?)?\s*(\d+\.\d+\.\d+\S*)")


def order(version: str) -> tuple[Any, ...]:
    """What to sort versions by; ValueError for what is none. A pre-release comes before its release."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is not a version like 1.2.3")
    numbers = tuple(int(part) for part in match.groups()[:3])
    if match[4] is None:
        return (*numbers, 1)
    return (*numbers, 0, tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split(".")))


def satisfies(version: str, requirement: str) -> bool:
    """Whether the version is in the range: `1.2.3`, `>=1.0.0 <2.0.0`, `^1.2.0`, `~1.2.0`, `*`, and `||` between
    such. ValueError for other notations."""
    return any(_satisfies_all(version, alternative.strip()) for alternative in requirement.split("||"))


def _satisfies_all(version: str, comparators: str) -> bool:
    if comparators in ("*", ""):
        return True
    if not re.fullmatch(rf"({_COMPARATOR.pattern}\s*)+", comparators):
        raise ValueError(f"{comparators!r} is not a range of versions that is understood here")
    return all(_compare(version, operator, bound) for operator, bound in _COMPARATOR.findall(comparators))


def _compare(version: str, operator: str, bound: str) -> bool:
    found, limit = order(version), order(bound)
    if operator == ">=":
        return found >= limit
    if operator == ">":
        return found > limit
    if operator == "<=":
        return found <= limit
    if operator == "<":
        return found < limit
    if operator == "~":
        return found >= limit and found[:2] == limit[:2]
    if operator == "^":
        # what may not change: everything up to the first number that is not 0
        fixed = next((index + 1 for index in range(3) if limit[index] != 0), 3)
        return found >= limit and found[:fixed] == limit[:fixed]
    return found == limit
