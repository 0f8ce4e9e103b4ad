"""What a roll-out would be like, as far as it can be told before: for people who are to say yes to it. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cloud.rollout.fleet import GROUPS_OF_A_THING
from cloud.rollout.groups import Changes
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan
from cloud.rollout.rings import uncovered
from cloud.rollout.timetable import timetable
from cloud.rollout.words import names_text, several


@dataclass(frozen=True, slots=True)
class RingForecast:
    """A ring: how many gateways by hardware class and site ("" where nobody said), who has not been heard lately, what
    it downloads (0: not known), and from when to when it would be under way, in microseconds UTC."""

    ring: int
    gateways: tuple[str, ...]
    waves: tuple[int, ...]
    hardware: Mapping[str, int]
    sites: Mapping[str, int]
    away: tuple[str, ...]
    bytes: int
    begins_us: int
    ends_us: int
    approval: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """All rings, and by site what is downloaded there; `bytes_each` is 0 where nobody knows. Told at `now_us`."""

    now_us: int
    rings: tuple[RingForecast, ...]
    bytes_each: int
    bytes_by_site: Mapping[str, int]
    warnings: tuple[str, ...]

    @property
    def gateways(self) -> int:
        return sum(len(ring.gateways) for ring in self.rings)

    @property
    def seconds(self) -> float:
        return (self.rings[-1].ends_us - self.now_us) / 1e6


def forecast(
    plan: Plan,
    *,
    now_us: int,
    window_s: float,
    limits: Limits,
    heard_us: Mapping[str, int] | None,
    groups: Mapping[str, int],
    changes: Changes,
    predicted: bool | None,
) -> Forecast:
    """`heard_us`: each gateway's newest report (None: there is no lake to ask); `groups`: in how many groups newcomers
    are already; `predicted`: whether the release's report says what will shift (None: there is no registry to ask)."""
    silent_us = now_us - int(limits.silence_windows * window_s * 1e6)
    times = timetable(plan, now_us, window_s=window_s, limits=limits)
    rings = []
    for number, (ring, time) in enumerate(zip(plan.rings, times, strict=True)):
        rings.append(
            RingForecast(
                number,
                ring.names,
                tuple(len(wave.gateways) for wave in ring.waves),
                dict(sorted(Counter(gateway.hardware for gateway in ring.gateways).items())),
                dict(sorted(Counter(gateway.site for gateway in ring.gateways).items())),
                tuple(name for name in ring.names if heard_us is not None and heard_us.get(name, 0) < silent_us),
                plan.bytes_each * len(ring.names),
                time.begins_us,
                time.ends_us,
                number in plan.wishes.approve,
            )
        )
    sites = Counter(gateway.site for ring in plan.rings for gateway in ring.gateways)
    warnings = (
        *_about_hardware(plan),
        *_about_the_absent(plan, rings),
        *_about_groups(plan, groups, changes),
        *_about_what_nobody_said(plan, heard_us, predicted),
    )
    return Forecast(
        now_us,
        tuple(rings),
        plan.bytes_each,
        {site: count * plan.bytes_each for site, count in sorted(sites.items())},
        warnings,
    )


def _about_hardware(plan: Plan) -> Collection[str]:
    missing = uncovered([ring.gateways for ring in plan.rings])
    if not missing:
        return ()
    named = [name or "no class" for name in missing]
    return (
        f"ring 0 has no gateway of {', '.join(named)}: what is broken there is seen in ring 1 or later only; before "
        f"the first roll-out, give ring 0 room for it, or choose it with --prefer hardware={missing[-1] or 'CLASS'}",
    )


def _about_the_absent(plan: Plan, rings: Collection[RingForecast]) -> list[str]:
    said = []
    away = [name for ring in rings for name in ring.away]
    if away:
        share = len(away) / sum(len(ring.gateways) for ring in rings)
        said.append(
            f"{several(len(away), 'gateway')} ({share:.0%}) not heard lately ({names_text(away)}), to get it when they "
            f"are back"
        )
    for ring in rings:
        there = len(ring.gateways) - len(ring.away)
        if there < max(1, plan.wishes.covered * len(ring.gateways) - 1e-9):
            said.append(
                f"ring {ring.ring} would not count as well: {there} of {len(ring.gateways)} gateways report, and "
                f"{plan.wishes.covered:.0%} must be well"
            )
    return said


def _about_groups(plan: Plan, groups: Mapping[str, int], changes: Changes) -> list[str]:
    said = []
    full = sorted(name for name, count in groups.items() if count + 1 >= GROUPS_OF_A_THING)
    if full:
        said.append(
            f"{names_text(full)} will be in {GROUPS_OF_A_THING} thing groups, all that AWS IoT allows: another model "
            f"cannot be rolled out there"
        )
    if changes.moves:
        said.append(
            f"{several(len(changes.moves), 'gateway')} will move to other thing groups of {plan.model}, which are "
            f"given what runs there already"
        )
    if changes.leaves:
        said.append(f"{names_text(changes.leaves)} left the fleet, and will leave the rings of {plan.model}")
    return said


def _about_what_nobody_said(plan: Plan, heard_us: Mapping[str, int] | None, predicted: bool | None) -> list[str]:
    said = []
    gateways = [gateway for ring in plan.rings for gateway in ring.gateways]
    hint = "say it with `tidegate provision describe`"
    classless = sum(not gateway.hardware for gateway in gateways)
    if 0 < classless < len(gateways):
        said.append(f"{several(classless, 'gateway')} without a hardware class; {hint}")
    siteless = sum(not gateway.site for gateway in gateways)
    if plan.wishes.site_bytes is not None and siteless:
        said.append(f"{several(siteless, 'gateway')} without a site, to which --site-bytes does not apply; {hint}")
    in_utc = sum(gateway.timezone == "UTC" for gateway in gateways)
    if plan.wishes.hours and in_utc:
        said.append(f"{several(in_utc, 'gateway')} in UTC, for --hours; is another time zone meant? Then {hint}")
    if not plan.bytes_each:
        said.append("what a gateway downloads is not known")
    if heard_us is None:
        said.append("no --lake: who is away, and how likely it is that a good release is undone, cannot be told")
    if predicted is False:
        said.append(
            f"the report of {plan.candidate} predicts no shift, so it is held to behave as the release before does; "
            f"`tidegate release --reference` predicts it"
        )
    return said
