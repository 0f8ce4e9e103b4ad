"""Acting on what `decide` says, one step at a time.

The state on disk is the only memory that counts: a step reads it, says in the audit log what it is about to do,
writes the state, and only then acts. Killed anywhere, the next step finds what was meant to be done and does it,
again if need be; deploying the same thing twice makes no second deployment.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cloud.rollout.decide import Action, Advance, Done, Hold, Revert, Shadow, Wait, decide
from cloud.rollout.events import Event, Kind
from cloud.rollout.evidence import BASELINE_WINDOWS, Evidence, Report, newest_reports, running, weigh
from cloud.rollout.fixed_limits import standings
from cloud.rollout.fleet import Fleet, Progress
from cloud.rollout.plan import Plan
from cloud.rollout.rows import rows_of
from cloud.rollout.state import (
    Rollout,
    Touched,
    Undo,
    append_audit,
    clear_request,
    lease,
    read_rollout,
    revert_requested,
    write_rollout,
)
from models.errors import DeployError, LakeError, RolloutError, StoreError

HISTORY_S = 3600.0  # how far back the incumbent is looked at, at least; and how slow a gateway's clock may be

Reports = Callable[[int], Sequence[Report]]  # health reported since then (microseconds UTC); may raise LakeError
_AWAY = (DeployError, LakeError, StoreError)  # trying again may help


def utc_us() -> int:
    return time.time_ns() // 1000


def run_rollout(
    folder: Path,
    fleet: Fleet,
    reports: Reports,
    *,
    poll_s: float,
    clock: Callable[[], int] = utc_us,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Go on with the roll-out in `folder` until it has ended; an event for each step.

    Stop iterating, or die, and nothing is lost: called again it goes on. RolloutError when the lake or the control
    plane stays away longer than a silent gateway may.
    """
    with lease(folder):
        heard = _Heard()
        away_since_us: int | None = None
        last_said = ""
        while not (rollout := _read(folder)).ended:
            try:
                event = _step(folder, rollout, fleet, reports, heard, clock())
                away_since_us = None
            except _AWAY as exc:
                away_since_us = away_since_us or clock()
                event = _trouble(rollout, exc, away_since_us, clock())
            if event.kind in ("wait", "trouble") and event.text != last_said:
                append_audit(folder, replace(event, rows=()))
            last_said = event.text
            yield event
            if event.kind in ("wait", "trouble"):
                pause(poll_s)


class _Heard:
    """When each gateway last had something new to say, by our own clock: theirs may be wrong."""

    def __init__(self) -> None:
        self.at_us: dict[str, int] = {}
        self._newest: dict[str, int] = {}

    def listen(self, newest: Mapping[str, int], now_us: int, *, expected: Collection[str]) -> None:
        """`expected` are the gateways that may not be silent."""
        for gateway, reported_us in newest.items():
            if gateway not in self._newest:
                # At the first look we have its word only; where silence would condemn it, its time begins now.
                self.at_us[gateway] = now_us if gateway in expected else min(reported_us, now_us)
            elif reported_us != self._newest[gateway]:
                self.at_us[gateway] = now_us
        self._newest.update(newest)


def _step(folder: Path, rollout: Rollout, fleet: Fleet, reports: Reports, heard: _Heard, now_us: int) -> Event:
    if rollout.phase == "planned":
        return _make_rings(folder, rollout, fleet, now_us)
    # what is to be deployed is deployed first: going back needs no lake
    if rollout.undo is not None and len(rollout.undo.deployments) < len(rollout.touched):
        return _undeploy(folder, rollout, rollout.undo, fleet, now_us)
    if rollout.undo is None and rollout.touched and not rollout.touched[-1].deployment:
        return _deploy(folder, rollout, fleet, now_us)
    if rollout.undo is not None:
        seen = reports((rollout.undo.since_us or now_us) - _history_us(rollout))
        return _confirm(folder, rollout, rollout.undo, fleet, seen, now_us)
    seen = reports(rollout.started_us - _history_us(rollout))
    heard.listen(newest_reports(seen), now_us, expected=rollout.plan.names(len(rollout.touched)))
    return _look(folder, rollout, fleet, seen, heard.at_us, now_us)


def _make_rings(folder: Path, rollout: Rollout, fleet: Fleet, now_us: int) -> Event:
    # the last ring first: where ring 0's group exists all do, for whoever finds the groups but not this state
    for wave in reversed(rollout.plan.waves):
        fleet.assign(wave.group, wave.names)
    rings = "; ".join(f"{wave.group}: {', '.join(wave.names)}" for wave in rollout.plan.waves)
    text = f"{rollout.plan.candidate} goes to {rollout.plan.fleet} in {len(rollout.plan.rings)} rings ({rings})"
    return _put(folder, replace(rollout, phase="rolling"), Event(now_us, rollout.id, "planned", text))


def _deploy(folder: Path, rollout: Rollout, fleet: Fleet, now_us: int) -> Event:
    plan, wave = rollout.plan, len(rollout.touched) - 1
    group, ring = plan.waves[wave].group, plan.ring_of(wave)
    deployment = fleet.deploy(group, plan.model, plan.release)
    touched = replace(rollout.touched[wave], deployment=deployment, deployed_us=now_us)
    text = f"{plan.candidate} is deployed to ring {ring} ({group})"
    changed = replace(rollout, touched=(*rollout.touched[:wave], touched))
    return _put(folder, changed, Event(now_us, rollout.id, "deployed", text, ring))


def _look(
    folder: Path, rollout: Rollout, fleet: Fleet, seen: Sequence[Report], heard_us: Mapping[str, int], now_us: int
) -> Event:
    evidence = weigh(
        rollout.plan,
        rollout.touched,
        seen,
        window_s=rollout.window_s,
        since_us=rollout.started_us,
        heard_us=heard_us,
        progress=_progress_of_silent(fleet, rollout, seen),
    )
    asked_by = revert_requested(folder)
    action = (
        decide(rollout.plan, standings(rollout.plan, evidence, now_us, rollout.limits), now_us)
        if asked_by is None
        else Revert(f"{asked_by} asked for it")
    )
    return _act(folder, rollout, evidence, seen, action, now_us)


def _act(
    folder: Path, rollout: Rollout, evidence: Evidence, seen: Sequence[Report], action: Action, now_us: int
) -> Event:
    """Write down what is to be done; the next step does it."""

    def event(kind: Kind, ring: int = -1) -> Event:
        rows = rows_of(rollout.plan, evidence, now_us, rollout.limits)
        return Event(now_us, rollout.id, kind, action.because, ring, rows)

    match action:
        case Wait() | Hold() | Shadow():
            return event("wait", rollout.plan.ring_of(evidence.touched - 1) if evidence.touched else -1)
        case Advance(wave=wave, ring=ring):
            present = evidence.waves[wave].present(now_us, rollout.silence_s)
            absent = {found.gateway for found in evidence.waves[wave].gateways}.difference(
                found.gateway for found in present
            )
            # at the first release ever, nobody had anything to say before
            away = () if rollout.plan.incumbent is None else tuple(sorted(absent))
            touched = Touched(newest_reports(seen), away)
            return _put(folder, replace(rollout, touched=(*rollout.touched, touched)), event("advance", ring))
        case Revert():
            undo = Undo(action.because)
            return _put(folder, replace(rollout, phase="reverting", undo=undo), event("revert"))
        case Done():
            ended = replace(rollout, phase="done", ended_us=now_us, outcome=action.because)
            clear_request(folder)
            return _put(folder, ended, event("done"))


def _undeploy(folder: Path, rollout: Rollout, undo: Undo, fleet: Fleet, now_us: int) -> Event:
    plan, wave = rollout.plan, len(undo.deployments)
    group, ring = plan.waves[wave].group, plan.ring_of(wave)
    deployment = fleet.deploy(group, plan.model, plan.incumbent, again=undo.again)
    undo = replace(undo, deployments=(*undo.deployments, deployment))
    text = f"{_before(plan)} is deployed to ring {ring} again ({group})"
    return _put(folder, replace(rollout, undo=undo), Event(now_us, rollout.id, "undeployed", text, ring))


def _confirm(folder: Path, rollout: Rollout, undo: Undo, fleet: Fleet, seen: Sequence[Report], now_us: int) -> Event:
    """Over only when every touched gateway that can be reached says that it runs the incumbent."""
    plan = rollout.plan
    if undo.marks is None:
        # what was reported before the last deployment was made proves nothing
        undo = replace(undo, marks=newest_reports(seen), since_us=now_us)
        write_rollout(folder, replace(rollout, undo=undo))
    rollout = replace(rollout, undo=undo)
    touched = plan.names(len(rollout.touched))
    reported = running(plan.model, seen, undo.marks or {})
    progress = _progress_back(fleet, rollout, undo)
    back = {
        name
        for name in touched
        if progress.get(name) == "succeeded" and (plan.incumbent is None or reported.get(name) == plan.incumbent)
    }
    # who was away when its wave was touched and has said nothing since cannot be asked
    newest = newest_reports(seen)
    away = {name for wave in rollout.touched for name in wave.absent if newest.get(name, 0) <= wave.marks.get(name, 0)}
    missing = [name for name in touched if name not in back and name not in away]
    if not touched:
        return _end(folder, rollout, "reverted", f"nothing had been touched; {undo.because}", now_us)
    if not missing:
        text = f"{_back(plan, len(back), sorted(away - back))}, because {undo.because}"
        return _end(folder, rollout, "reverted", text, now_us)
    said = "; ".join(
        f"{name} reports release {reported[name]}" if name in reported else f"{name} has not reported since"
        for name in missing
    )
    if now_us - undo.since_us <= rollout.silence_s * 1e6:
        return Event(now_us, rollout.id, "wait", f"going back to {_before(plan)}: {said}")
    text = (
        f"THE REVERT FAILED on {len(missing)} of {len(touched)} gateways: {said}; go and look at them, then try again "
        f"with `tidegate rollout revert {plan.model} --fleet {plan.fleet}`"
    )
    return _end(folder, rollout, "revert-failed", text, now_us)


def _end(folder: Path, rollout: Rollout, phase: Literal["reverted", "revert-failed"], text: str, now_us: int) -> Event:
    clear_request(folder)
    ended = replace(rollout, phase=phase, ended_us=now_us, outcome=text)
    return _put(folder, ended, Event(now_us, rollout.id, phase, text))


def _put(folder: Path, rollout: Rollout, event: Event) -> Event:
    """The log first: said and not done is found out, done and not said is not."""
    append_audit(folder, event)
    write_rollout(folder, rollout)
    return event


def _progress_of_silent(fleet: Fleet, rollout: Rollout, seen: Sequence[Report]) -> dict[str, Progress]:
    """How far the candidate's deployment is on gateways that have not reported it; those that have need no asking."""
    progress: dict[str, Progress] = {}
    for wave, touched in zip(rollout.plan.waves, rollout.touched, strict=False):
        release = running(rollout.plan.model, seen, touched.marks)
        silent = tuple(name for name in wave.names if release.get(name) != rollout.plan.release)
        progress.update(fleet.progress(touched.deployment, silent))
    return progress


def _progress_back(fleet: Fleet, rollout: Rollout, undo: Undo) -> dict[str, Progress]:
    progress: dict[str, Progress] = {}
    for wave, deployment in zip(rollout.plan.waves, undo.deployments, strict=False):
        progress.update(fleet.progress(deployment, wave.names))
    return progress


def _trouble(rollout: Rollout, exc: Exception, since_us: int, now_us: int) -> Event:
    away_s = (now_us - since_us) / 1e6
    if away_s <= rollout.silence_s:
        return Event(now_us, rollout.id, "trouble", str(exc))
    undone = ", and the revert is NOT done" if rollout.phase == "reverting" else ""
    raise RolloutError(
        f"for {away_s:.0f} s: {exc}; the roll-out of {rollout.plan.candidate} stands still{undone}: "
        f"start it again when that works"
    ) from exc


def _history_us(rollout: Rollout) -> int:
    return int(max(HISTORY_S, BASELINE_WINDOWS * rollout.window_s) * 1e6)


def _before(plan: Plan) -> str:
    return f"no release of {plan.model}" if plan.incumbent is None else f"{plan.model}@{plan.incumbent}"


def _back(plan: Plan, count: int, away: Sequence[str]) -> str:
    unreachable = f" ({', '.join(away)}, silent before and since, cannot be asked)" if away else ""
    if plan.incumbent is None:
        # there is none to go back to: a gateway goes on with what its own store holds
        return f"{plan.candidate} is no longer deployed to the {count} gateways touched{unreachable}"
    return f"{_before(plan)} runs again on all {count} gateways touched{unreachable}"


def _read(folder: Path) -> Rollout:
    rollout = read_rollout(folder)
    if rollout is None:
        raise RolloutError(f"there is no roll-out in {folder}; start one with `tidegate rollout start`")
    return rollout
