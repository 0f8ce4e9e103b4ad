"""What a fleet is like now, and the plan for a release that follows from it; nothing is changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cloud.rollout.fleet import GROUPS_OF_A_THING, Fleet
from cloud.rollout.groups import groups_there, wave_group
from cloud.rollout.hours import parse_hours
from cloud.rollout.plan import Gateway, Plan, Ring, Wave, Wishes
from cloud.rollout.rings import DEFAULT_RINGS, Preference, fill_rings
from cloud.rollout.waves import cut_into_waves
from greengrass.recipe import model_component
from models.errors import RolloutError, UsageError


def survey(
    fleet: Fleet,
    *,
    model: str,
    release: int,
    group: str,
    shares: str = DEFAULT_RINGS,
    first: bool = False,
    wishes: Wishes | None = None,
    prefer: Sequence[Preference] = (),
) -> Plan:
    """The plan for a release as the fleet is now; changes nothing. RolloutError or UsageError where it makes no
    sense."""
    wishes = wishes or Wishes()
    if wishes.hours:
        parse_hours(wishes.hours)
    things = fleet.things(group)
    if things is None:
        raise RolloutError(f"there is no thing group {group}; name the fleet's thing group with --fleet")
    if not fleet.registered(model, release):
        raise RolloutError(
            f"{model}@{release} is not registered as a component; build it with `tidegate component build --model "
            f"{model}@{release}` and register it with `tidegate deploy`"
        )
    if (everywhere := fleet.release_of(group, model)) is not None:
        # a gateway in two groups that name two versions of a component takes neither
        raise RolloutError(
            f"thing group {group} itself is given {model}@{everywhere}, beside which no ring can have another release; "
            f"take {model_component(model)} out of that group's deployment"
        )
    kept = groups_there(fleet, group, model)
    incumbent = _incumbent(fleet, model, release, group, things, kept, first=first)
    plan = make_plan(
        model=model,
        release=release,
        incumbent=incumbent,
        fleet=group,
        gateways=fleet.describe(things),
        kept=[tuple(waves.values()) for waves in kept],
        shares=shares,
        wishes=wishes,
        prefer=prefer,
        bytes_each=fleet.download_bytes(model, release),
    )
    _check_quota(fleet, plan, {name for waves in kept for things in waves.values() for name in things})
    return plan


def make_plan(
    *,
    model: str,
    release: int,
    incumbent: int | None,
    fleet: str,
    gateways: Iterable[Gateway],
    kept: Sequence[Sequence[Sequence[str]]] = (),
    shares: str = DEFAULT_RINGS,
    wishes: Wishes | None = None,
    prefer: Sequence[Preference] = (),
    bytes_each: int = 0,
) -> Plan:
    """The plan for a fleet's gateways, whose existing rings' waves hold `kept`."""
    wishes = wishes or Wishes()
    known = {gateway.name: gateway for gateway in gateways}
    together = [[name for wave in ring for name in wave] for ring in kept]
    rings = []
    for number, ring in enumerate(fill_rings(model, known.values(), together, shares, prefer)):
        waves = cut_into_waves(
            [known[name] for name in ring], kept[number] if number < len(kept) else (), wishes, bytes_each
        )
        named = tuple(
            Wave(wave_group(fleet, model, number, w), tuple(known[name] for name in wave))
            for w, wave in enumerate(waves)
            if wave
        )
        if named:
            rings.append(Ring(named))
    plan = Plan(model, release, incumbent, fleet, tuple(rings), wishes, bytes_each)
    for ring_number in wishes.approve:
        if not 0 <= ring_number < len(rings):
            raise UsageError(f"--approve {ring_number}: there are the rings 0 to {len(rings) - 1}")
    return replace(plan, wishes=replace(wishes, approve=tuple(sorted(set(wishes.approve)))))


def _incumbent(
    fleet: Fleet,
    model: str,
    release: int,
    group: str,
    things: Sequence[str],
    kept: Sequence[Mapping[str, tuple[str, ...]]],
    *,
    first: bool,
) -> int | None:
    # a group whose gateways have all left the fleet is nobody's
    lived_in = [name for waves in kept for name, members in waves.items() if set(members).intersection(things)]
    releases = {fleet.release_of(name, model) for name in lived_in} or {None}
    if len(releases) > 1:
        said = ", ".join(sorted("none" if r is None else str(r) for r in releases))
        raise RolloutError(
            f"the rings of {model} in {group} are to run different releases ({said}): a roll-out was left unfinished; "
            f"finish it with `tidegate rollout start`, or undo it with `tidegate rollout revert`, on its state folder"
        )
    (incumbent,) = releases
    if first and incumbent is not None:
        raise RolloutError(f"{group} runs {model}@{incumbent} already; leave --first out")
    if not first and incumbent is None:
        raise RolloutError(
            f"{group} runs no release of {model} to compare {model}@{release} with; is this the first one? "
            f"Then say --first"
        )
    if incumbent == release:
        raise RolloutError(f"{group} runs {model}@{release} already")
    return incumbent


def _check_quota(fleet: Fleet, plan: Plan, members: set[str]) -> None:
    """RolloutError before a gateway would be in more groups than AWS IoT allows."""
    for name in plan.names():
        if name in members:
            continue  # it is in one already, or is moved from one to another
        there = fleet.count_groups(name)
        if there >= GROUPS_OF_A_THING:
            raise RolloutError(
                f"{name} is in {there} thing groups already, and AWS IoT allows {GROUPS_OF_A_THING}; a ring of "
                f"{plan.model} would be one more, so take it out of one"
            )
