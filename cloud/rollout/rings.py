"""Rings: disjoint sets of gateways that are filled once, in the order of a stable hash, and then kept."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloud.rollout.plan import Gateway
from models.errors import RolloutError, UsageError

DEFAULT_RINGS = "2%,10%,30%,rest"
_SHARE = re.compile(r"(\d{1,6})(%?)|rest")
_KINDS = ("hardware", "site", "tag")


@dataclass(frozen=True, slots=True)
class Preference:
    """Canaries are to be such gateways: of a `hardware` class, at a `site`, with a `tag`."""

    kind: str
    value: str

    def fits(self, gateway: Gateway) -> bool:
        if self.kind == "tag":
            return self.value in gateway.tags
        return self.value == (gateway.hardware if self.kind == "hardware" else gateway.site)

    def __str__(self) -> str:
        return f"{self.kind}={self.value}"


def parse_preference(text: str) -> Preference:
    """A preference such as hardware=rpi5; UsageError for anything else."""
    kind, equals, value = text.partition("=")
    if kind not in _KINDS or not equals or not value:
        raise UsageError(f"--prefer takes hardware=CLASS, site=SITE or tag=TAG, got {text!r}")
    return Preference(kind, value)


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
    model: str,
    fleet: Iterable[Gateway],
    kept: Sequence[Sequence[str]],
    shares: str,
    prefer: Sequence[Preference] = (),
) -> tuple[tuple[str, ...], ...]:
    """The fleet's gateways by ring: as `kept` says where rings exist, else in the order of a stable hash, but for ring
    0, which takes whom an operator prefers and one of every hardware class where it has room.

    Newcomers go to the last ring. A gateway that has left the fleet is in none; a ring it leaves empty stays, empty.
    """
    gateways = {gateway.name: gateway for gateway in fleet}
    if not gateways:
        raise RolloutError("the fleet has no gateway; add things to its thing group first")
    if kept:
        if prefer:
            raise UsageError(f"--prefer picks the first canaries, and {model} has its rings already, which are kept")
        return _keep(model, gateways, kept)
    for preference in prefer:
        if not any(preference.fits(gateway) for gateway in gateways.values()):
            raise UsageError(
                f"--prefer: no gateway of the fleet has {preference}; say it of one with `tidegate provision describe`"
            )
    sizes = ring_sizes(len(gateways), shares)
    canaries = _canaries(model, gateways, sizes[0], prefer)
    others = sorted(gateways.keys() - canaries, key=lambda name: _order(model, name))
    rings = [tuple(sorted(canaries))]
    for size in sizes[1:]:
        rings.append(tuple(sorted(others[:size])))
        others = others[size:]
    return tuple(rings)


def uncovered(rings: Sequence[Iterable[Gateway]]) -> tuple[str, ...]:
    """The hardware classes of the fleet that ring 0 has no gateway of, in order; "" is a class like any other."""
    classes = {gateway.hardware for ring in rings for gateway in ring}
    return tuple(sorted(classes - {gateway.hardware for gateway in rings[0]}))


def _keep(model: str, gateways: Mapping[str, Gateway], kept: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    seen: set[str] = set()
    for ring in kept:
        twice = seen.intersection(ring)
        if twice:
            raise RolloutError(
                f"{min(twice)} is in two rings of model {model}; a ring's thing groups must be disjoint, "
                f"so take it out of one of them"
            )
        seen.update(ring)
    rings = [sorted(set(ring).intersection(gateways)) for ring in kept]
    rings[-1] = sorted({*rings[-1], *(name for name in gateways if name not in seen)})
    return tuple(tuple(ring) for ring in rings)


def _canaries(model: str, gateways: Mapping[str, Gateway], count: int, prefer: Sequence[Preference]) -> set[str]:
    """One after the other: whom the operator prefers, then hardware not covered yet, the commonest first."""
    common = Counter(gateway.hardware for gateway in gateways.values())
    chosen: set[str] = set()
    covered: set[str] = set()
    for _ in range(count):
        best = min(
            gateways.keys() - chosen,
            key=lambda name: (
                not any(preference.fits(gateways[name]) for preference in prefer),
                gateways[name].hardware in covered,
                0 if gateways[name].hardware in covered else -common[gateways[name].hardware],
                _order(model, name),
            ),
        )
        chosen.add(best)
        covered.add(gateways[best].hardware)
    return chosen


def _order(model: str, gateway: str) -> bytes:
    # by model too, so that the same gateway is not every model's canary
    return hashlib.sha256(f"{model}/{gateway}".encode()).digest()
