"""Waves: a ring cut so that hours, links and sites can be kept to. What is cut already is kept where it may be."""

from collections import Counter
from collections.abc import Iterable, Sequence

from cloud.rollout.plan import Gateway, Wishes
from cloud.rollout.words import bytes_text
from models.errors import UsageError


def cut_into_waves(
    ring: Iterable[Gateway], kept: Sequence[Sequence[str]], wishes: Wishes, bytes_each: int
) -> tuple[tuple[str, ...], ...]:
    """A ring's gateways by wave, in name order; some may be empty. Without wishes it is one wave.

    A wave holds at most as many gateways as may be in flight, at a site too, and where hours are kept to, those of one
    time zone. Who is in a wave already (`kept`) stays there if these allow; the others go to the first wave that has
    room for them, and else to a new one.
    """
    gateways = {gateway.name: gateway for gateway in sorted(ring, key=lambda found: found.name)}
    room = _Room(wishes, bytes_each)
    waves: list[list[Gateway]] = [[] for _ in kept or ((),)]
    placed: set[str] = set()
    for number, wave in enumerate(kept):
        for name in sorted(set(wave) & gateways.keys()):
            if room.takes(waves[number], gateways[name]):
                waves[number].append(gateways[name])
                placed.add(name)
    # gateways of one zone and site side by side, so that few waves are needed
    for gateway in sorted(gateways.values(), key=lambda found: (found.timezone, found.site, found.name)):
        if gateway.name in placed:
            continue
        home = next((wave for wave in waves if room.takes(wave, gateway)), None)
        if home is None:
            waves.append([gateway])
        else:
            home.append(gateway)
    return tuple(tuple(sorted(gateway.name for gateway in wave)) for wave in waves)


class _Room:
    """What one wave may hold."""

    def __init__(self, wishes: Wishes, bytes_each: int) -> None:
        limits = [
            limit
            for limit in (
                wishes.max_in_flight,
                _gateways_of(wishes.max_bytes_in_flight, bytes_each, "--max-bytes-in-flight"),
            )
            if limit is not None
        ]
        self._gateways = min(limits, default=None)
        self._at_a_site = _gateways_of(wishes.site_bytes, bytes_each, "--site-bytes")
        self._by_zone = bool(wishes.hours)

    def takes(self, wave: Sequence[Gateway], gateway: Gateway) -> bool:
        if self._gateways is not None and len(wave) >= self._gateways:
            return False
        if self._by_zone and wave and wave[0].timezone != gateway.timezone:
            return False
        sites = Counter(found.site for found in wave)
        return not gateway.site or self._at_a_site is None or sites[gateway.site] < self._at_a_site


def _gateways_of(limit_bytes: int | None, bytes_each: int, flag: str) -> int | None:
    """As many gateways as may download at once; UsageError where not even one may, or nobody knows."""
    if limit_bytes is None:
        return None
    if not bytes_each:
        raise UsageError(f"{flag} needs to know what a gateway downloads, which the release's artifacts do not tell")
    if bytes_each > limit_bytes:
        raise UsageError(
            f"{flag} {bytes_text(limit_bytes)} is less than what one gateway downloads, {bytes_text(bytes_each)}"
        )
    return limit_bytes // bytes_each
