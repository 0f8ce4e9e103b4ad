"""Gateways of which nothing but the name is known."""

from collections.abc import Iterable

from cloud.rollout.plan import Gateway


def gateways_named(names: Iterable[str]) -> tuple[Gateway, ...]:
    """In name order."""
    return tuple(Gateway(name) for name in sorted(names))
