"""What to do next with a roll-out: pure, without network, disk or clock.

The judge says how rings stand (`Standings`), the plan who is next and what the operator asked for; here one is held
against the other. Missing evidence is never taken for good, and bad evidence goes before everything else, also while
the roll-out is paused.
"""

import math
from dataclasses import dataclass

from cloud.rollout.hours import is_open, opens_us, parse_hours
from cloud.rollout.plan import WHOLE_DAY_S, Plan, Wave, waves_of
from cloud.rollout.standings import Standings
from cloud.rollout.words import bytes_text, clock_text, duration, hours_text, names_text, several


@dataclass(frozen=True, slots=True)
class Advance:
    """Give the candidate to `wave`, counted as `Plan.waves` are, the first that has not got it; it is of `ring`."""

    wave: int
    ring: int
    because: str


@dataclass(frozen=True, slots=True)
class Shadow:
    """Have ring 0 run the candidate beside the incumbent."""

    because: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing yet."""

    because: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Do nothing until an operator lets `ring` through."""

    ring: int
    because: str


@dataclass(frozen=True, slots=True)
class Revert:
    """Give the incumbent back to every wave that was touched."""

    because: str


@dataclass(frozen=True, slots=True)
class Done:
    """Every wave has the candidate, and every ring is well."""

    because: str


Action = Advance | Shadow | Wait | Hold | Revert | Done


def decide(plan: Plan, evidence: Standings, now_us: int) -> Action:
    """The one next action; `because` is a sentence with the figures behind it."""
    waves = plan.waves
    finished = evidence.touched == len(waves)
    ring = len(plan.rings) if finished else plan.ring_of(evidence.touched)  # the one that is next, or under way
    begins = finished or evidence.touched == waves_of(plan, ring).start
    for number, verdict in enumerate(evidence.rings[: ring if begins else ring + 1]):
        if verdict.standing == "bad" or verdict.bad:
            return Revert(f"ring {number}: {verdict.because}")
    if evidence.shadow_since_us and evidence.rings[0].shadow == "bad":
        return Revert(f"ring 0 in shadow: {evidence.rings[0].shadow_because}")
    if evidence.paused:
        return Wait(f"paused by {evidence.paused}; {_so_far(plan, evidence)}")
    if plan.wishes.shadow_s and not evidence.touched:
        beside = _in_shadow(plan, evidence, now_us)
        if beside is not None:
            return beside
    if begins and ring:
        lacking = _not_covered(plan, ring - 1, evidence, now_us)
        if lacking is not None:
            return lacking
    if finished:
        return Done(
            f"all {several(len(plan.rings), 'ring')} run {plan.candidate} and are well: {_account(evidence, ring)}"
        )
    return _next_wave(plan, ring, evidence, now_us, begins=begins)


def _in_shadow(plan: Plan, evidence: Standings, now_us: int) -> Shadow | Wait | None:
    """What is to be done before ring 0 is touched; None when the shadow has shown the candidate to be well."""
    wanted_s = plan.wishes.shadow_s
    if not evidence.shadow_since_us:
        return Shadow(f"{plan.candidate} first runs beside the incumbent on ring 0, for {duration(wanted_s)}")
    ring_0 = evidence.rings[0]
    shown_s = (now_us - evidence.shadow_since_us) / 1e6
    said = f"in shadow on ring 0 for {duration(shown_s)} of {duration(wanted_s)}"
    said += f": {ring_0.shadow_because}" if ring_0.shadow_because else ""
    if shown_s < wanted_s or ring_0.shadow != "well":
        stuck = shown_s > wanted_s + evidence.patience_s
        return Wait(said + ("; does no gateway of ring 0 run a challenger? Abort it, or look" if stuck else ""))
    return None


def _not_covered(plan: Plan, ring: int, evidence: Standings, now_us: int) -> Wait | Revert | None:
    """What keeps a ring, all of whose waves are touched, from counting as well; None when it does."""
    found = evidence.rings[ring]
    wishes = plan.wishes
    deployed_us = evidence.deployed_us[waves_of(plan, ring).stop - 1]
    if not deployed_us:
        return Wait(f"ring {ring} is about to get it")
    watched_s = (now_us - deployed_us) / 1e6
    soak_s = wishes.soak_of(ring)
    needed = max(1, math.ceil(wishes.covered * found.gateways - 1e-9))
    if found.standing != "well" or found.well < needed:
        lacking = f"ring {ring}: {found.because}"
        if found.standing == "well":
            lacking += f"; {found.well} of {several(found.gateways, 'gateway')} are well, {needed} are needed"
        if watched_s > soak_s + wishes.cover_s:
            return Revert(f"{lacking}, after {duration(watched_s)} (limit {duration(soak_s + wishes.cover_s)})")
        return Wait(lacking)
    if watched_s < soak_s:
        return Wait(
            f"ring {ring} is well, and watched for {duration(watched_s)} of {duration(soak_s)}: {found.because}"
        )
    if soak_s >= WHOLE_DAY_S and found.unseen_hours and watched_s <= soak_s + wishes.cover_s:
        return Wait(f"ring {ring} is well, but has not been seen at {hours_text(found.unseen_hours)} UTC yet")
    return None


def _next_wave(plan: Plan, ring: int, evidence: Standings, now_us: int, *, begins: bool) -> Action:
    number = evidence.touched
    wave = plan.waves[number]
    if evidence.touched and not evidence.deployed_us[-1]:
        return Wait(f"ring {plan.ring_of(number - 1)} is about to get it")
    if begins:
        lacking = _cannot_be_compared(plan, ring, evidence, now_us)
        if lacking is not None:
            return lacking
    before = _before(plan, ring, evidence, begins=begins)
    if begins and ring in plan.wishes.approve and ring not in evidence.approved:
        return Hold(ring, f"{before}; ring {ring} ({names_text(plan.rings[ring].names)}) waits for an approval")
    held_back = _closed(plan, wave, now_us) or _too_many(plan, wave, evidence)
    if held_back:
        return Wait(f"{before}; {held_back}")
    in_ring = waves_of(plan, ring)
    which = f"wave {number - in_ring.start + 1} of {len(in_ring)} of " if len(in_ring) > 1 else ""
    first = ", which had no release before" if plan.incumbent is None else ""
    return Advance(number, ring, f"{before}; next is {which}ring {ring} ({names_text(wave.names)}){first}")


def _cannot_be_compared(plan: Plan, ring: int, evidence: Standings, now_us: int) -> Wait | Revert | None:
    """On only when there is something to compare with; but one that never runs the incumbent holds nobody up for
    ever."""
    if plan.incumbent is None:
        return None
    found = evidence.rings[ring]
    begun_us = max((evidence.since_us, evidence.shadow_since_us, *evidence.deployed_us))
    waited_s = (now_us - begun_us) / 1e6
    patient = waited_s <= evidence.patience_s
    if found.ready and (found.ready == found.present or not patient):
        return None
    named = f"ring {ring} ({names_text(plan.rings[ring].names)})"
    if found.present:
        lacking = (
            f"{found.ready} of {several(found.present, 'gateway')} of {named} that report have shown enough of release "
            f"{plan.incumbent} to compare with"
        )
    else:
        lacking = f"no gateway of {named} has reported lately"
    if not evidence.touched and not patient:
        return Revert(f"given up before anything was touched, after {duration(waited_s)}: {lacking}")
    return Wait(lacking)


def _closed(plan: Plan, wave: Wave, now_us: int) -> str:
    """Why a wave may not begin at this hour; empty when it may."""
    if not plan.wishes.hours:
        return ""
    hours = parse_hours(plan.wishes.hours)
    for zone in sorted({gateway.timezone for gateway in wave.gateways}):
        if not is_open(hours, zone, now_us):
            return (
                f"it is {clock_text(now_us, zone)} at {names_text(wave.names)} ({zone}), and hours are "
                f"{plan.wishes.hours}: next in {duration((opens_us(hours, zone, now_us) - now_us) / 1e6)}"
            )
    return ""


def _too_many(plan: Plan, wave: Wave, evidence: Standings) -> str:
    """Why a wave would be too much at once; empty when it would not. All of its gateways count: who is away now may be
    back in a moment."""
    wishes = plan.wishes
    if wishes.max_in_flight is None and wishes.max_bytes_in_flight is None and wishes.site_bytes is None:
        return ""
    flying = evidence.in_flight
    more = len(wave.gateways)
    count = len(flying) + more
    on_the_way = f"{several(len(flying), 'gateway')} on the way to {plan.candidate}, and with {more} more"
    if wishes.max_in_flight is not None and count > wishes.max_in_flight:
        return f"{on_the_way} there would be {count} (limit {wishes.max_in_flight})"
    if wishes.max_bytes_in_flight is not None and count * plan.bytes_each > wishes.max_bytes_in_flight:
        return (
            f"{on_the_way} they would download {bytes_text(count * plan.bytes_each)} at once "
            f"(limit {bytes_text(wishes.max_bytes_in_flight)})"
        )
    if wishes.site_bytes is not None:
        named = {gateway.name: gateway.site for touched in plan.waves for gateway in touched.gateways}
        sites = [named[name] for name in flying] + [gateway.site for gateway in wave.gateways]
        for site in sorted({gateway.site for gateway in wave.gateways} - {""}):
            wanted = sites.count(site) * plan.bytes_each
            if wanted > wishes.site_bytes:
                return (
                    f"{on_the_way} {site} would download {bytes_text(wanted)} at once "
                    f"(limit {bytes_text(wishes.site_bytes)})"
                )
    return ""


def _before(plan: Plan, ring: int, evidence: Standings, *, begins: bool) -> str:
    if not evidence.touched:
        return "nothing was touched yet"
    if begins:
        return f"ring {ring - 1} is well: {_account(evidence, ring)}"
    return f"ring {ring} is under way, {_so_far(plan, evidence)}"


def _so_far(plan: Plan, evidence: Standings) -> str:
    return f"{len(plan.names(evidence.touched))} of {several(len(plan.names()), 'gateway')} touched"


def _account(evidence: Standings, rings: int) -> str:
    """What the last of these rings has shown, and how many gateways of all of them are away."""
    away = sum(found.absent for found in evidence.rings[:rings])
    watched = f" ({several(away, 'gateway')} away, watched when back)" if away else ""
    return evidence.rings[rings - 1].because + watched
