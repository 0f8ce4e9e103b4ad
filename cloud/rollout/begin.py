"""Looking at a fleet before anything is begun: the plan for a release, or why there can be none."""

from cloud.rollout.fleet import Fleet
from cloud.rollout.plan import Plan, Wishes
from cloud.rollout.rings import DEFAULT_RINGS, make_plan, ring_group
from greengrass.recipe import model_component
from models.errors import RolloutError


def survey(
    fleet: Fleet,
    *,
    model: str,
    release: int,
    group: str,
    shares: str = DEFAULT_RINGS,
    first: bool = False,
    wishes: Wishes | None = None,
) -> Plan:
    """The plan for a release as the fleet is now; changes nothing. RolloutError where it makes no sense."""
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
    kept: list[tuple[str, ...]] = []
    while (ring := fleet.things(ring_group(group, model, len(kept)))) is not None:
        kept.append(ring)
    # a ring whose gateways have all left the fleet is nobody's
    lived_in = [ring_group(group, model, k) for k, ring in enumerate(kept) if set(ring).intersection(things)]
    releases = {fleet.release_of(ring, model) for ring in lived_in} or {None}
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
    return make_plan(
        model=model,
        release=release,
        incumbent=incumbent,
        fleet=group,
        gateways=fleet.describe(things),
        kept=kept,
        shares=shares,
        wishes=wishes,
    )
