"""Driving roll-outs: one until its end, from a terminal; or all that there are by one step set, by the clock."""

import contextlib
import time
from collections.abc import Callable, Iterator

from cloud.rollout.events import Event, Kind
from cloud.rollout.record import Held, find, hold, note
from cloud.rollout.requests import posted
from cloud.rollout.state import Rollout
from cloud.rollout.steps import World, step
from models.errors import DeployError, LakeError, RolloutError, StoreError

AWAY = (DeployError, LakeError, StoreError)  # trying again may help
IDLE: frozenset[Kind] = frozenset({"wait", "hold", "stranger", "trouble"})  # after which nothing is to be done at once
_MOST_STEPS = 10_000  # of a tick: more than any plan has waves


def utc_us() -> int:
    return time.time_ns() // 1000


def steady_utc_us() -> Callable[[], int]:
    """A clock that does not jump while this process lives, whatever is done to the machine's."""
    offset = time.time_ns() - time.monotonic_ns()
    return lambda: (offset + time.monotonic_ns()) // 1000


def run_rollout(
    world: World,
    *,
    who: str,
    poll_s: float,
    clock: Callable[[], int] | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Event]:
    """Go on with the roll-out until it has ended, and with what supersedes it; an event for each step.

    Stop iterating, or die, and nothing is lost: called again it goes on. LeaseHeldError while another process acts on
    it; RolloutError when the lake, the store or the control plane stays away longer than a silent gateway may.
    """
    clock = clock or steady_utc_us()
    with hold(world.store, world.place, who=who) as held:
        away_since_us: int | None = None
        while True:
            try:
                if is_over(held.rollout) and not posted(world.store, world.place):
                    return
                event = step(held, world, clock())
                away_since_us = None
            except AWAY as exc:
                away_since_us = away_since_us or clock()
                event = _trouble(held, exc, away_since_us, clock())
            if event is None:
                return
            yield event
            if event.kind in IDLE:
                pause(poll_s)


def tick(world: World, *, who: str, clock: Callable[[], int] = utc_us) -> list[Event]:
    """Do what is to be done now for one roll-out, and no more; the events. Where there is nothing to do, nothing is
    written. LeaseHeldError while another process acts on it."""
    found = find(world.store, world.place)
    if found is None or not (needs_a_tick(found.record.rollout) or posted(world.store, world.place)):
        return []
    events: list[Event] = []
    with hold(world.store, world.place, who=who) as held:
        for _ in range(_MOST_STEPS):
            try:
                event = step(held, world, clock())
            except AWAY as exc:
                event = _trouble(held, exc, clock(), clock())
            if event is None:
                break
            events.append(event)
            if event.kind in IDLE:
                break
    return events


def is_over(rollout: Rollout) -> bool:
    """Whether nothing more happens but by a tick."""
    return rollout.ended and (rollout.successor is None or rollout.phase == "revert-failed")


def needs_a_tick(rollout: Rollout) -> bool:
    """Whether there is, or may come, anything to do."""
    return not is_over(rollout) or rollout.phase == "revert-failed" or bool(rollout.watched)


def _trouble(held: Held, exc: Exception, since_us: int, now_us: int) -> Event:
    rollout = held.rollout
    away_s = (now_us - since_us) / 1e6
    if away_s <= rollout.silence_s:
        event = Event(now_us, rollout.id, "trouble", str(exc))
        with contextlib.suppress(StoreError):  # it may be the store that does not answer
            note(held, rollout, event)
        return event
    undone = ", and the revert is NOT done" if rollout.phase == "reverting" else ""
    raise RolloutError(
        f"for {away_s:.0f} s: {exc}; the roll-out of {rollout.plan.candidate} stands still{undone}: "
        f"start it again when that works"
    ) from exc
