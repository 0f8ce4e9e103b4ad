"""The thing groups of a model's rings and waves: their names, who is in them, and making them what a plan says.

A ring's first wave is the ring's own group (`FLEET_MODEL-ring-2`), further ones are `FLEET_MODEL-ring-2-wave-1` and so
on. All rings of a model in a fleet are given the same release between roll-outs, so a gateway may be moved from one of
these groups to another: it is given there what it runs already.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from cloud.rollout.fleet import Fleet
from cloud.rollout.plan import Plan
from models.errors import UsageError

_GROUP = re.compile(r"[A-Za-z0-9:_-]{1,128}")  # what AWS IoT takes as a thing group's name


def wave_group(fleet: str, model: str, ring: int, wave: int = 0) -> str:
    """The name of a wave's thing group, of no other fleet's or model's: a model's name holds no underscore."""
    name = f"{fleet}_{model}-ring-{ring}" + (f"-wave-{wave}" if wave else "")
    if not _GROUP.fullmatch(name):
        raise UsageError(
            f"a ring's thing group would be called {name!r}; AWS IoT takes 1..128 of A-Z a-z 0-9 : _ -, "
            f"so choose a fleet name without other characters, or a shorter one"
        )
    return name


def groups_there(fleet: Fleet, group: str, model: str) -> tuple[Mapping[str, tuple[str, ...]], ...]:
    """Ring by ring, the groups that there are, in order, and the gateways in each."""
    return tuple(_rings_there(fleet, group, model))


@dataclass(frozen=True, slots=True)
class Changes:
    """What `arrange` would do: groups to be made, gateways that join (newcomers), move and leave."""

    makes: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    moves: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


def changes(plan: Plan, fleet: Fleet) -> Changes:
    """What the plan changes of the groups that there are."""
    rings = groups_there(fleet, plan.fleet, plan.model)
    there = {group for ring in rings for group in ring}
    homes = {thing: group for ring in rings for group, things in ring.items() for thing in things}
    planned = {name: wave.group for wave in plan.waves for name in wave.names}
    return Changes(
        tuple(wave.group for wave in plan.waves if wave.group not in there),
        tuple(name for name in planned if name not in homes),
        tuple(name for name, group in planned.items() if homes.get(name, group) != group),
        tuple(sorted(homes.keys() - planned.keys())),
    )


def arrange(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """Make the groups what the plan says; says each thing that it is about to do. Repeating it, or going on after it
    died, comes to the same.

    A new group is given what the model's other groups are given before anybody moves there, and a gateway leaves one
    and joins the other in one call: it is never wanted in two releases, nor in none. Who has left the fleet leaves its
    ring.
    """
    rings = groups_there(fleet, plan.fleet, plan.model)
    there = {group for ring in rings for group in ring}
    homes: dict[str, list[str]] = {}
    for ring in rings:
        for group, things in ring.items():
            for thing in things:
                homes.setdefault(thing, []).append(group)
    given = []  # the groups whose gateways run the incumbent
    if plan.incumbent is not None:
        given = [group for group in sorted(there) if fleet.release_of(group, plan.model) == plan.incumbent]
    # the last ring first, and its first wave last: where ring 0's group exists all do, for whoever finds the groups
    # but not the roll-out's state
    for planned in reversed(plan.rings):
        for wave in (*planned.waves[1:], planned.waves[0]):
            if wave.group not in there:
                yield f"group {wave.group}"
                fleet.assign(wave.group, () if given else wave.names)
            if given and fleet.release_of(wave.group, plan.model) != plan.incumbent:
                yield f"what {given[0]} is given to {wave.group}"
                fleet.copy(given[0], wave.group)
            joining = [name for name in wave.names if wave.group not in homes.get(name, ())]
            newcomers = tuple(name for name in joining if name not in homes)
            if newcomers and (given or wave.group in there):
                yield f"newcomers to {wave.group}"
                fleet.assign(wave.group, newcomers)
            for name in joining:
                if name in homes:
                    yield f"{name} to {wave.group}"
                    fleet.move(name, into=wave.group, out_of=tuple(homes[name]))
    for name in sorted(homes.keys() - set(plan.names())):
        yield f"{name} out of {', '.join(homes[name])}"
        fleet.move(name, into=None, out_of=tuple(homes[name]))


def _rings_there(fleet: Fleet, group: str, model: str) -> Iterator[Mapping[str, tuple[str, ...]]]:
    for ring in count():
        waves: dict[str, tuple[str, ...]] = {}
        for wave in count():
            name = wave_group(group, model, ring, wave)
            things = fleet.things(name)
            if things is None:
                break
            waves[name] = things
        if not waves:
            return
        yield waves
