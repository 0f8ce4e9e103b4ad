"""Gateways that join the fleet while a roll-out is under way: they get the incumbent until it is confirmed.

They wait in a wave of the last ring that no plan knows, `FLEET_MODEL-ring-3-wave-2` say, which is given the incumbent;
when the roll-out is done they move to a group that has the new release. Whoever was there before the plan was made is
in it, and waits for its ring.
"""

from collections.abc import Iterator
from itertools import count

from cloud.rollout.fleet import Fleet
from cloud.rollout.groups import groups_there, wave_group
from cloud.rollout.plan import Plan

LOOK_EVERY_US = 600_000_000


def welcome(plan: Plan, fleet: Fleet) -> tuple[str, ...]:
    """Give the incumbent to those that are new in the fleet; who they are. Repeating it changes nothing."""
    rings = groups_there(fleet, plan.fleet, plan.model)
    placed = {name for groups in rings for things in groups.values() for name in things}.union(plan.names())
    newcomers = tuple(name for name in fleet.things(plan.fleet) or () if name not in placed)
    if not newcomers or plan.incumbent is None:
        return ()
    group = _waiting_group(plan, len(rings) - 1)
    if group not in rings[-1]:
        fleet.assign(group, ())
    if fleet.release_of(group, plan.model) != plan.incumbent:
        fleet.deploy(group, plan.model, plan.incumbent)
    fleet.assign(group, newcomers)
    return newcomers


def settle_in(plan: Plan, fleet: Fleet) -> Iterator[str]:
    """The roll-out is confirmed: newcomers get what all have. Says whom it is about to move; may be
    repeated."""
    rings = groups_there(fleet, plan.fleet, plan.model)
    group = _waiting_group(plan, len(rings) - 1)
    for name in rings[-1].get(group, ()) if rings else ():
        yield name
        fleet.move(name, into=plan.waves[-1].group, out_of=(group,))


def _waiting_group(plan: Plan, last_ring: int) -> str:
    """The first of the last ring's waves that is not the plan's."""
    planned = {wave.group for wave in plan.waves}
    names = (wave_group(plan.fleet, plan.model, last_ring, number) for number in count(1))
    return next(name for name in names if name not in planned)
