"""Rings: disjoint thing groups that are filled once, in the order of a stable hash, and then kept."""

import hashlib
import re
from collections.abc import Iterable, Sequence

from cloud.rollout.plan import Gateway, Plan, Ring, Wave, Wishes
from models.errors import RolloutError, UsageError

DEFAULT_RINGS = "2%,10%,30%,rest"
_GROUP = re.compile(r"[A-Za-z0-9:_-]{1,128}")  # what AWS IoT takes as a thing group's name
_SHARE = re.compile(r"(\d{1,6})(%?)|rest")


def ring_group(fleet: str, model: str, ring: int) -> str:
    """The name of a ring's thing group, of no other fleet's or model's ring: a model's name holds no underscore."""
    name = f"{fleet}_{model}-ring-{ring}"
    if not _GROUP.fullmatch(name):
        raise UsageError(
            f"a ring's thing group would be called {name!r}; AWS IoT takes 1..128 of A-Z a-z 0-9 : _ -, "
            f"so choose a fleet name without other characters, or a shorter one"
        )
    return name


def ring_sizes(total: int, shares: str) -> tuple[int, ...]:
    """How many of `total` gateways go to each ring; none is empty, all together are `total`.

    `shares` is a list such as "1,10%,rest": gateways, percent of the fleet (at least one gateway), what is left.
    A fleet too small for all its rings has fewer.
    """
    sizes: list[int] = []
    items = [item.strip() for item in shares.split(",")]
    for position, item in enumerate(items):
        match = _SHARE.fullmatch(item)
        if match is None or match[1] == "0":
            raise UsageError(f"rings must be a list of counts, percents and 'rest' such as 1,10%,rest, got {shares!r}")
        left = total - sum(sizes)
        if item == "rest":
            if position != len(items) - 1:
                raise UsageError(f"'rest' must come last in the rings, got {shares!r}")
            size = left
        elif match[2]:
            size = min(left, max(1, round(total * int(match[1]) / 100)))
        else:
            size = int(match[1])
        if size > left:
            raise UsageError(f"the rings {shares} hold more gateways than the fleet's {total}; use fewer, or percents")
        if size:
            sizes.append(size)
    if sum(sizes) != total:
        raise UsageError(f"the rings {shares} hold {sum(sizes)} of the fleet's {total} gateways; end them with 'rest'")
    return tuple(sizes)


def fill_rings(
    model: str, fleet: Iterable[str], kept: Sequence[Sequence[str]], shares: str
) -> tuple[tuple[str, ...], ...]:
    """The fleet's gateways by ring: as `kept` says where rings exist, else in the order of a stable hash.

    Newcomers go to the last ring. A gateway that has left the fleet is in none; a ring it leaves empty stays, empty.
    """
    names = sorted(set(fleet))
    if not names:
        raise RolloutError("the fleet has no gateway; add things to its thing group first")
    if not kept:
        ordered = sorted(names, key=lambda name: _order(model, name))
        ends = _running_sums(ring_sizes(len(names), shares))
        starts = (0, *ends[:-1])
        return tuple(tuple(sorted(ordered[start:end])) for start, end in zip(starts, ends, strict=True))
    seen: set[str] = set()
    for ring in kept:
        twice = seen.intersection(ring)
        if twice:
            raise RolloutError(
                f"{min(twice)} is in two rings of model {model}; a ring's thing groups must be disjoint, "
                f"so take it out of one of them"
            )
        seen.update(ring)
    rings = [sorted(set(ring).intersection(names)) for ring in kept]
    rings[-1] = sorted({*rings[-1], *(name for name in names if name not in seen)})
    return tuple(tuple(ring) for ring in rings)


def make_plan(
    *,
    model: str,
    release: int,
    incumbent: int | None,
    fleet: str,
    gateways: Iterable[Gateway],
    kept: Sequence[Sequence[str]] = (),
    shares: str = DEFAULT_RINGS,
    wishes: Wishes | None = None,
) -> Plan:
    """The plan for a fleet's gateways, whose existing rings hold `kept`."""
    known = {gateway.name: gateway for gateway in gateways}
    filled = fill_rings(model, known, kept, shares)
    rings = tuple(
        Ring((Wave(ring_group(fleet, model, k), tuple(known[name] for name in ring)),))
        for k, ring in enumerate(filled)
        if ring
    )
    return Plan(model, release, incumbent, fleet, rings, wishes or Wishes())


def _order(model: str, gateway: str) -> bytes:
    # by model too, so that the same gateway is not every model's canary
    return hashlib.sha256(f"{model}/{gateway}".encode()).digest()


def _running_sums(sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sum(sizes[: k + 1]) for k in range(len(sizes)))
