"""Beginning a roll-out, and turning one round: what is written down before anything is done."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cloud.rollout.events import Event
from cloud.rollout.fleet import Fleet
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan, Wishes
from cloud.rollout.rings import DEFAULT_RINGS, make_plan, ring_group
from cloud.rollout.state import Rollout, Undo, append_audit, clear_request, lease, read_rollout, write_rollout
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


def begin(folder: Path, plan: Plan, *, limits: Limits, window_s: float, now_us: int) -> Rollout:
    """Write a new roll-out down, planned; nothing is done yet. RolloutError while another is unfinished."""
    with lease(folder):
        last = read_rollout(folder)
        if last is not None and last.phase in ("planned", "rolling", "reverting"):
            raise RolloutError(
                f"the roll-out of {last.plan.candidate} to {plan.fleet} is unfinished; finish it with `tidegate "
                f"rollout start {last.plan.candidate}`, or undo it with `tidegate rollout revert {last.plan.model}`"
            )
        began = datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        rollout = Rollout(f"{plan.candidate}-{began}", plan, limits, window_s, now_us)
        clear_request(folder)
        write_rollout(folder, rollout)
    return rollout


def ask_to_revert(folder: Path, because: str, now_us: int) -> Rollout:
    """Turn a finished or unfinished roll-out round; `run_rollout` then goes back.

    LeaseHeldError while a process acts on it: ask that one, by `request_revert`.
    """
    with lease(folder):
        rollout = read_rollout(folder)
        if rollout is None:
            raise RolloutError(f"there is no roll-out to revert in {folder}")
        if rollout.phase == "reverted":
            raise RolloutError(f"the roll-out of {rollout.plan.candidate} is reverted already: {rollout.outcome}")
        if rollout.phase != "reverting":
            append_audit(folder, Event(now_us, rollout.id, "revert", because))
            rollout = replace(
                rollout,
                phase="reverting",
                undo=Undo(because, again=rollout.phase == "revert-failed"),
                ended_us=0,
                outcome="",
            )
            write_rollout(folder, rollout)
    return rollout
