"""Gateways that say they run what nobody released."""

from collections.abc import Mapping

from cloud.rollout.state import Rollout
from cloud.rollout.words import names_text
from models.health import Health


def strangers_text(rollout: Rollout, newest: Mapping[str, Health]) -> str:
    """What is to be done about gateways of the plan whose newest report names a release or a digest that the registry
    does not have; empty when there is none, or nobody said which registry."""
    if not rollout.said.digests:
        return ""
    plan = rollout.plan
    found = {
        name: health
        for name in plan.names()
        if (health := newest.get(name)) is not None and health.model == plan.model and _is_strange(rollout, health)
    }
    if not found:
        return ""
    name, health = next(iter(found.items()))
    others = f" (so do {names_text([other for other in found if other != name])})" if len(found) > 1 else ""
    return (
        f"{name} reports {plan.model}@{health.release} with digest {health.digest[:12]}, which nobody released"
        f"{others}: find out who put it there, then deploy a release to it again or take it out of {plan.fleet}; "
        f"nothing goes on until then"
    )


def _is_strange(rollout: Rollout, health: Health) -> bool:
    if not health.digest:
        return False  # nothing runs there
    holders = rollout.said.digests
    if health.digest in holders:
        return health.release not in holders[health.digest]
    # of releases other than these two only the number is known
    known = {release for releases in holders.values() for release in releases}
    return health.release in known or health.release not in rollout.said.released
