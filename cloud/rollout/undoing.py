"""Going back: the release before is deployed again, and everybody who can be reached is asked whether it runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from cloud.rollout.events import Event
from cloud.rollout.fleet import Fleet, Progress
from cloud.rollout.looking import Reports, history_us, newest_of, newest_times
from cloud.rollout.plan import Plan
from cloud.rollout.record import Held, note
from cloud.rollout.state import Beside, Rollout, Touched, Undo
from cloud.rollout.windows import Report
from models.health import Health

FIRST_RETRY_S = 600.0  # after a revert that failed; then twice as long each time
LAST_RETRY_S = 6 * 3600.0


def undo_next(held: Held, fleet: Fleet, now_us: int) -> Event:
    """Make the next deployment of the way back."""
    rollout = held.rollout
    undo = rollout.undo
    assert undo is not None
    plan, number = rollout.plan, rollout.to_undo[len(undo.deployments)]
    group, ring = plan.waves[number].group, plan.ring_of(number)
    instead_of = undo.instead_of[len(undo.deployments)] if undo.instead_of else ""
    held.renew()
    if number < len(rollout.touched):
        deployment = fleet.deploy(group, plan.model, plan.incumbent, instead_of=instead_of)
        text = f"{before_text(plan)} is deployed to ring {ring} again ({group})"
    else:
        deployment = fleet.shadow(group, plan.model, None, instead_of=instead_of)
        text = f"{plan.candidate} looks on no more in ring {ring} ({group})"
    undo = replace(undo, deployments=(*undo.deployments, deployment))
    event = Event(now_us, rollout.id, "undeployed", text, ring)
    held.put(replace(rollout, undo=undo), event)
    return event


def confirm(held: Held, fleet: Fleet, reports: Reports, now_us: int) -> Event:
    """Over only when every gateway that can be reached says that it runs what it ran before."""
    rollout = held.rollout
    undo = rollout.undo
    assert undo is not None
    plan = rollout.plan
    seen = reports((undo.since_us or now_us) - history_us(rollout))
    if undo.marks is None:
        # what was reported before the last deployment was made proves nothing
        undo = replace(undo, marks=newest_times(seen), since_us=now_us)
        rollout = replace(rollout, undo=undo)
        held.put(rollout)
    if not rollout.to_undo:
        return _end(held, rollout, "reverted", f"nothing had been touched; {undo.because}", (), now_us)
    said = newest_of(seen, since=undo.marks or {})
    progress = _progress(fleet, rollout, undo)
    names = plan.names(len(rollout.to_undo))
    touched = frozenset(plan.names(len(rollout.touched)))
    wrong = {
        name: text
        for name in names
        if (text := _wrong(rollout, name, said.get(name), progress.get(name, "pending"), touched=name in touched))
    }
    away = _away(rollout, seen)
    missing = {name: text for name, text in wrong.items() if name not in away}
    if not missing:
        still_away = tuple(sorted(away.intersection(wrong)))
        text = f"{_back_text(plan, len(names) - len(still_away), still_away)}, because {undo.because}"
        return _end(held, rollout, "reverted", text, still_away, now_us)
    details = "; ".join(f"{name} {text}" for name, text in sorted(missing.items()))
    if now_us - undo.since_us <= rollout.silence_s * 1e6:
        event = Event(now_us, rollout.id, "wait", f"going back to {before_text(plan)}: {details}")
        note(held, replace(rollout, waits_for=event.text), event)
        return event
    retry_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (undo.attempt - 1))
    text = (
        f"THE REVERT FAILED on {len(missing)} of {len(names)} gateways: {details}; go and look at them; `tidegate "
        f"rollout tick` tries again in {retry_s / 60:.0f} min, `tidegate rollout revert {plan.model} --fleet "
        f"{plan.fleet}` at once"
    )
    rollout = replace(rollout, undo=replace(undo, again_us=now_us + int(retry_s * 1e6)))
    return _end(held, rollout, "revert-failed", text, (), now_us)


def runs_the_incumbent(rollout: Rollout, health: Health) -> bool:
    """Whether a report is of what ran before the roll-out: the same bytes, and not only the same number."""
    plan = rollout.plan
    if health.model != plan.model or health.release != plan.incumbent:
        return False
    of_the_registry = {digest for digest, releases in rollout.said.digests.items() if plan.incumbent in releases}
    known = of_the_registry.union(rollout.incumbent_digests)
    return not known or health.digest in known


def before_text(plan: Plan) -> str:
    return f"no release of {plan.model}" if plan.incumbent is None else f"{plan.model}@{plan.incumbent}"


def _wrong(rollout: Rollout, name: str, health: Health | None, progress: Progress, *, touched: bool) -> str:
    """What a gateway lacks to be back, as a clause; empty when it is."""
    plan = rollout.plan
    if not touched:
        # it never answered with the candidate
        return "" if progress == "succeeded" else "still has it looking on"
    if plan.incumbent is not None:
        if health is None:
            return "has not reported since"
        if not runs_the_incumbent(rollout, health):
            if health.model == plan.model and health.release == plan.incumbent:
                return f"reports release {health.release} with another digest than before ({health.digest[:12]})"
            return f"reports release {health.release if health.model == plan.model else f'of {health.model}'}"
    if progress != "succeeded":
        return f"has not finished the deployment ({progress})"
    return ""


def _away(rollout: Rollout, seen: Sequence[Report]) -> frozenset[str]:
    """Who was silent when touched and has said nothing since, and so cannot be asked."""
    newest = newest_times(seen)
    touches: list[Touched | Beside] = [*rollout.touched]
    if rollout.beside is not None:
        touches.append(rollout.beside)
    return frozenset(
        name for touched in touches for name in touched.absent if newest.get(name, 0) <= touched.marks.get(name, 0)
    )


def _progress(fleet: Fleet, rollout: Rollout, undo: Undo) -> Mapping[str, Progress]:
    progress: dict[str, Progress] = {}
    for number, deployment in zip(rollout.to_undo, undo.deployments, strict=True):
        progress.update(fleet.progress(deployment, rollout.plan.waves[number].names))
    return progress


def _end(
    held: Held,
    rollout: Rollout,
    phase: Literal["reverted", "revert-failed"],
    text: str,
    away: Iterable[str],
    now_us: int,
) -> Event:
    ended = replace(rollout, phase=phase, ended_us=now_us, outcome=text, watched=dict.fromkeys(away, 0))
    event = Event(now_us, rollout.id, phase, text)
    held.put(ended, event)
    return event


def _back_text(plan: Plan, count: int, away: Sequence[str]) -> str:
    unreachable = f" ({', '.join(away)}, silent before and since, cannot be asked and will be watched)" if away else ""
    if plan.incumbent is None:
        # there is none to go back to: a gateway goes on with what its own store holds
        return f"{plan.candidate} is no longer deployed to the {count} gateways touched{unreachable}"
    return f"{before_text(plan)} runs again on all {count} gateways touched{unreachable}"
