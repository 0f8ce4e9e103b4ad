"""One step of a roll-out: what is written down is done; where nothing is to be done, what comes next is decided.

A step writes the state (and the event with it) before it acts. Killed anywhere, the next step finds what was meant to
be done and does it, again if need be: doing the same thing twice makes no second deployment.
"""

from dataclasses import dataclass, replace

from cloud.rollout.decide import Action, Advance, Done, Hold, Revert, Shadow, Wait, decide
from cloud.rollout.events import Event, Kind
from cloud.rollout.fleet import Fleet
from cloud.rollout.groups import arrange
from cloud.rollout.looking import Look, Reports, look
from cloud.rollout.newcomers import LOOK_EVERY_US, settle_in, welcome
from cloud.rollout.place import Place
from cloud.rollout.record import Held, note
from cloud.rollout.requests import answer, posted, turn_round
from cloud.rollout.returning import look_after
from cloud.rollout.starting import follow
from cloud.rollout.state import Beside, Rollout, Touched
from cloud.rollout.strangers import strangers_text
from cloud.rollout.undoing import before_text, confirm, undo_next
from cloud.rollout.unwatched import bridged
from greengrass.objects import ObjectStore
from models.errors import RolloutError, UsageError


@dataclass(frozen=True, slots=True)
class World:
    """What a roll-out acts on and looks at. `reports`: health since then (microseconds UTC); may raise LakeError."""

    store: ObjectStore
    place: Place
    fleet: Fleet
    reports: Reports


def step(held: Held, world: World, now_us: int) -> Event | None:
    """Do the one next thing; the event, None when there is nothing to be done ever after. DeployError, LakeError and
    StoreError when something does not answer: the same step again may help."""
    held.settle()
    looked_us = held.rollout.looked_us
    held.remember(bridged(held.rollout, now_us))
    asked = answer_next(held, world.store, world.place, now_us)
    if asked is not None:
        return asked
    rollout = held.rollout
    if rollout.ended:
        if rollout.successor is not None and rollout.phase != "revert-failed":
            return _succeed(held, world, now_us)
        return look_after(held, world.reports, now_us)
    if rollout.phase == "planned":
        return _make_groups(held, world.fleet, now_us)
    # what is to be deployed is deployed first: going back needs no lake
    if rollout.undo is not None:
        if len(rollout.undo.deployments) < len(rollout.to_undo):
            return undo_next(held, world.fleet, now_us)
        return confirm(held, world.fleet, world.reports, now_us)
    if rollout.beside is not None and not rollout.beside.since_us:
        return _shadow_next(held, world, now_us)
    if rollout.touched and not rollout.touched[-1].deployment:
        return _deploy(held, world.fleet, now_us)
    if looked_us // LOOK_EVERY_US != now_us // LOOK_EVERY_US:
        joined = welcome(rollout.plan, world.fleet)
        if joined:
            text = f"{', '.join(joined)} joined {rollout.plan.fleet}, to run {before_text(rollout.plan)} until the end"
            return _put(held, rollout, Event(now_us, rollout.id, "joined", text))
    return _act(held, world.fleet, look(rollout, world.fleet, world.reports, now_us), now_us)


def answer_next(held: Held, store: ObjectStore, place: Place, now_us: int) -> Event | None:
    """Do what the oldest request asks; None when there is none. It is taken away only once the state has it."""
    for waiting in posted(store, place):
        if waiting.key not in held.rollout.answered:
            try:
                rollout, event = answer(held.rollout, waiting.request, now_us)
            except RolloutError as exc:
                rollout = held.rollout
                event = Event(now_us, rollout.id, "refused", str(exc), by=waiting.request.by)
            held.put(replace(rollout, answered=(waiting.key,)), event)
            store.remove(waiting.key)
            return event
        store.remove(waiting.key)  # whoever answered it died before this
    return None


def _make_groups(held: Held, fleet: Fleet, now_us: int) -> Event:
    rollout = held.rollout
    for _ in arrange(rollout.plan, fleet):
        held.renew()
    groups = "; ".join(f"{wave.group}: {', '.join(wave.names)}" for wave in rollout.plan.waves)
    text = f"{rollout.plan.candidate} goes to {rollout.plan.fleet} in {len(rollout.plan.rings)} rings ({groups})"
    return _put(held, replace(rollout, phase="rolling"), Event(now_us, rollout.id, "planned", text))


def _shadow_next(held: Held, world: World, now_us: int) -> Event:
    rollout = held.rollout
    assert rollout.beside is not None
    plan, done = rollout.plan, rollout.beside.deployments
    wave = plan.rings[0].waves[len(done)]
    held.renew()
    deployments = (*done, world.fleet.shadow(wave.group, plan.model, plan.release))
    since_us = now_us if len(deployments) == len(plan.rings[0].waves) else 0
    beside = replace(rollout.beside, deployments=deployments, since_us=since_us)
    text = f"{plan.candidate} looks on in ring 0 ({wave.group})"
    return _put(held, replace(rollout, beside=beside), Event(now_us, rollout.id, "shadowed", text, 0))


def _deploy(held: Held, fleet: Fleet, now_us: int) -> Event:
    rollout = held.rollout
    plan, number = rollout.plan, len(rollout.touched) - 1
    group, ring = plan.waves[number].group, plan.ring_of(number)
    held.renew()
    deployment = fleet.deploy(group, plan.model, plan.release)
    touched = replace(rollout.touched[number], deployment=deployment, deployed_us=now_us)
    text = f"{plan.candidate} is deployed to ring {ring} ({group})"
    changed = replace(rollout, touched=(*rollout.touched[:number], touched))
    return _put(held, changed, Event(now_us, rollout.id, "deployed", text, ring))


def _act(held: Held, fleet: Fleet, seen: Look, now_us: int) -> Event:
    """Write down what is to be done; the next step does it."""
    rollout = replace(held.rollout, heard=seen.heard)
    action = decide(rollout.plan, seen.standings, now_us)
    strange = strangers_text(rollout, seen.newest)
    if strange and not isinstance(action, Revert):
        return _wait(held, rollout, seen, "stranger", strange, now_us)
    if isinstance(action, Done):
        for _ in settle_in(rollout.plan, fleet):
            held.renew()
    return _write_down(held, rollout, seen, action, now_us)


def _write_down(held: Held, rollout: Rollout, seen: Look, action: Action, now_us: int) -> Event:
    def event(kind: Kind, ring: int = -1) -> Event:
        return Event(now_us, rollout.id, kind, action.because, ring, seen.rows())

    match action:
        case Wait(because=because):
            return _wait(held, rollout, seen, "wait", because, now_us)
        case Hold(because=because):
            return _wait(held, rollout, seen, "hold", because, now_us)
        case Shadow():
            first = rollout.plan.rings[0].names
            changed = replace(rollout, beside=Beside(marks=seen.marks(first), absent=seen.away(first)))
            return _put(held, changed, event("shadow", 0))
        case Advance(wave=wave, ring=ring):
            # at the first release ever, nobody had anything to say before
            away = () if rollout.plan.incumbent is None else seen.away(rollout.plan.waves[wave].names)
            touched = (*rollout.touched, Touched(seen.marks(rollout.plan.names()), away))
            known = {*rollout.incumbent_digests, *seen.digests_of(rollout.plan.model, rollout.plan.incumbent)}
            changed = replace(rollout, touched=touched, incumbent_digests=tuple(sorted(known)))
            return _put(held, changed, event("advance", ring))
        case Revert(because=because):
            return _put(held, turn_round(rollout, because), event("revert"))
        case Done(because=because):
            away = seen.away(rollout.plan.names())
            ended = replace(
                rollout, phase="done", ended_us=now_us, outcome=because, watched=dict.fromkeys(away, 0), paused=""
            )
            return _put(held, ended, event("done"))


def _wait(held: Held, rollout: Rollout, seen: Look, kind: Kind, because: str, now_us: int) -> Event:
    ring = rollout.plan.ring_of(len(rollout.touched) - 1) if rollout.touched else -1
    event = Event(now_us, rollout.id, kind, because, ring)
    note(held, replace(rollout, waits_for=because), event)
    return replace(event, rows=seen.rows())


def _succeed(held: Held, world: World, now_us: int) -> Event:
    """Begin the next release's roll-out, as it was asked for."""
    ended = held.rollout
    following = ended.successor
    assert following is not None
    try:
        rollout, event = follow(world.fleet, ended, now_us=now_us)
    except (RolloutError, UsageError) as exc:
        text = f"{ended.plan.model}@{following.release} cannot follow: {exc}"
        return _put(held, replace(ended, successor=None), Event(now_us, ended.id, "refused", text, by=following.by))
    return _put(held, rollout, event)


def _put(held: Held, rollout: Rollout, event: Event) -> Event:
    held.put(rollout, event)
    return event
