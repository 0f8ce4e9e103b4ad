"""After the end: gateways that were away are looked at when they come back, and a revert that failed is tried again."""

from dataclasses import replace

from cloud.rollout.events import Event
from cloud.rollout.looking import Reports, newest_of
from cloud.rollout.record import Held
from cloud.rollout.requests import try_again
from cloud.rollout.state import Rollout
from cloud.rollout.undoing import before_text, runs_the_incumbent
from models.health import Health


def look_after(held: Held, reports: Reports, now_us: int) -> Event | None:
    """The one next thing to do for a roll-out that has ended; None when there is none now."""
    rollout = held.rollout
    if rollout.phase == "revert-failed":
        assert rollout.undo is not None
        if now_us < rollout.undo.again_us:
            return None
        again = try_again(rollout)
        assert again.undo is not None
        event = Event(
            now_us, rollout.id, "revert", f"the revert failed and is tried again (attempt {again.undo.attempt})"
        )
        held.put(again, event)
        return event
    if not rollout.watched:
        return None
    seen = newest_of(reports(rollout.ended_us), since={})
    heard = {name: rollout.watched[name] or (now_us if name in seen else 0) for name in rollout.watched}
    for name in sorted(seen.keys() & rollout.watched.keys()):
        rest = {other: since for other, since in heard.items() if other != name}
        if _is_right(rollout, seen[name]):
            text = f"{name} is back, and runs {_wanted(rollout)}"
            event = Event(now_us, rollout.id, "returned", text)
        elif now_us - heard[name] > rollout.silence_s * 1e6:
            text = (
                f"{name} was away, and {(now_us - heard[name]) / 1e6:.0f} s after it came back runs "
                f"{seen[name].model}@{seen[name].release} instead of {_wanted(rollout)}: look at it with `tidegate "
                f"deploy status`"
            )
            event = Event(now_us, rollout.id, "astray", text)
        else:
            continue
        held.put(replace(rollout, watched=rest), event)
        return event
    if heard != rollout.watched:
        held.put(replace(rollout, watched=heard))
    return None


def _is_right(rollout: Rollout, health: Health) -> bool:
    if rollout.phase == "done":
        return (health.model, health.release) == (rollout.plan.model, rollout.plan.release)
    return rollout.plan.incumbent is None or runs_the_incumbent(rollout, health)


def _wanted(rollout: Rollout) -> str:
    return rollout.plan.candidate if rollout.phase == "done" else before_text(rollout.plan)
