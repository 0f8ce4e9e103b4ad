"""When a plan's rings would be reached and left, if all went well: an estimate, for people. Pure."""

from dataclasses import dataclass

from cloud.rollout.hours import opens_us, parse_hours
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan

DEPLOYED_S = 30.0  # until a gateway has taken a small deployment: 11 to 20 s were measured, and it polls


@dataclass(frozen=True, slots=True)
class RingTime:
    """From the ring's first deployment until it counts as well, in microseconds UTC."""

    begins_us: int
    ends_us: int


def timetable(plan: Plan, now_us: int, *, window_s: float, limits: Limits) -> tuple[RingTime, ...]:
    """A ring after the other, beginning now: shadow, hours, waves one report apart where there are caps, soaks.

    Nothing is said of downloads (nobody knows the links), and approvals are given at once.
    """
    wishes = plan.wishes
    hours = parse_hours(wishes.hours) if wishes.hours else None
    capped = any(cap is not None for cap in (wishes.max_in_flight, wishes.max_bytes_in_flight, wishes.site_bytes))
    windows = limits.first_windows if plan.incumbent is None else max(limits.windows, limits.least_windows)
    reported_us = int((DEPLOYED_S + window_s) * 1e6)
    at_us = now_us + int(wishes.shadow_s * 1e6)
    found = []
    for number, ring in enumerate(plan.rings):
        begins_us = 0
        for position, wave in enumerate(ring.waves):
            if position and capped:
                at_us += reported_us
            if hours is not None:
                at_us = max(opens_us(hours, zone, at_us) for zone in {gateway.timezone for gateway in wave.gateways})
            begins_us = begins_us or at_us
        at_us += max(int(wishes.soak_of(number) * 1e6), reported_us + int(windows * window_s * 1e6))
        found.append(RingTime(begins_us, at_us))
    return tuple(found)
