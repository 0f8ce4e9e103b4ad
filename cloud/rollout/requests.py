"""What operators ask of a roll-out from any terminal: written into the store, and answered by whoever acts on it."""

import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Literal

from cloud.rollout.events import Event, Kind
from cloud.rollout.place import Place
from cloud.rollout.plan import Plan
from cloud.rollout.state import Order, Rollout, Undo
from greengrass.objects import MissingError, ObjectStore
from models.configuration import parse
from models.errors import ConfigError, RolloutError

Ask = Literal["pause", "resume", "approve", "abort", "revert", "supersede"]
_DONE: dict[Ask, Kind] = {
    "pause": "paused",
    "resume": "resumed",
    "approve": "approved",
    "abort": "revert",
    "revert": "revert",
    "supersede": "superseded",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What `by` asks. `rollout` is the one that was there then: another's business it is not. `ring` is for approve,
    -1 being the next that waits; `then` is for supersede, and `at_once` says not to wait until this one is done."""

    ask: Ask
    by: str
    at_us: int
    rollout: str
    because: str = ""
    ring: int = -1
    then: Order | None = None
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """A request that lies in the store."""

    key: str
    request: Request


def post(store: ObjectStore, place: Place, request: Request) -> Posted:
    """Leave a request for whoever acts; StoreError when it cannot be written."""
    key = f"{place.requests}{request.at_us:020d}-{request.ask}-{secrets.token_hex(4)}.json"
    store.put_new(key, json.dumps(asdict(request), sort_keys=True).encode() + b"\n")
    return Posted(key, request)


def posted(store: ObjectStore, place: Place) -> list[Posted]:
    """All that wait for an answer, oldest first. RolloutError for one that is none."""
    found = []
    for key in store.list(place.requests):
        try:
            found.append(Posted(key, parse(Request, json.loads(store.get(key)), where=store.uri(key))))
        except MissingError:
            continue  # answered by another, or taken back
        except (ValueError, ConfigError) as exc:
            raise RolloutError(f"{store.uri(key)} is no request: {exc}; remove it") from exc
    return found


def answer(rollout: Rollout, request: Request, now_us: int) -> tuple[Rollout, Event]:
    """The roll-out as it was asked for, and the event that says so. RolloutError where that makes no sense."""
    if request.rollout != rollout.id:
        raise RolloutError(f"{request.by} asked to {request.ask} another roll-out ({request.rollout}), which has ended")
    changed, text = _ANSWERS[request.ask](rollout, request)
    why = f": {request.because}" if request.because else ""
    return changed, Event(now_us, rollout.id, _DONE[request.ask], f"{text}{why}", by=request.by)


def waiting_ring(rollout: Rollout) -> int | None:
    """The next ring that an operator must let through before it is touched; None when there is none."""
    plan = rollout.plan
    touched = plan.ring_of(len(rollout.touched) - 1) if rollout.touched else -1
    waiting = (ring for ring in sorted(plan.wishes.approve) if touched < ring < len(plan.rings))
    return next((ring for ring in waiting if ring not in rollout.approved), None)


def _pause(rollout: Rollout, request: Request) -> tuple[Rollout, str]:
    _check_going(rollout, "nothing can be paused")
    if rollout.paused:
        raise RolloutError(f"the roll-out of {rollout.plan.candidate} is paused already, by {rollout.paused}")
    text = f"{request.by} paused it: nothing new is touched, and bad evidence still turns it round"
    return replace(rollout, paused=request.by), text


def _resume(rollout: Rollout, request: Request) -> tuple[Rollout, str]:
    if not rollout.paused:
        raise RolloutError(f"the roll-out of {rollout.plan.candidate} is not paused ({rollout.phase})")
    return replace(rollout, paused=""), f"{request.by} resumed it"


def _approve(rollout: Rollout, request: Request) -> tuple[Rollout, str]:
    _check_going(rollout, "nothing waits for an approval")
    ring = waiting_ring(rollout) if request.ring < 0 else request.ring
    if ring is None:
        raise RolloutError(f"no ring of the roll-out of {rollout.plan.candidate} waits for an approval")
    if ring not in rollout.plan.wishes.approve:
        asked = ", ".join(map(str, sorted(rollout.plan.wishes.approve))) or "none does"
        raise RolloutError(f"ring {ring} needs no approval (rings that do: {asked})")
    if ring in rollout.approved:
        raise RolloutError(f"ring {ring} is approved already")
    names = len(rollout.plan.rings[ring].names)
    return replace(
        rollout, approved=(*rollout.approved, ring)
    ), f"{request.by} let ring {ring} ({names} gateways) through"


def _abort(rollout: Rollout, request: Request) -> tuple[Rollout, str]:
    _check_going(rollout, "it can only be undone, with `tidegate rollout revert`")
    because = f"{request.by} aborted it"
    return turn_round(rollout, because), f"{because}; {_touched(rollout)}"


def _revert(rollout: Rollout, request: Request) -> tuple[Rollout, str]:
    if rollout.phase == "reverted":
        raise RolloutError(f"the roll-out of {rollout.plan.candidate} is reverted already: {rollout.outcome}")
    if rollout.phase == "reverting":
        raise RolloutError(f"the roll-out of {rollout.plan.candidate} is going back already")
    if rollout.phase == "revert-failed":
        return try_again(rollout), f"{request.by} asked to try again to go back"
    because = f"{request.by} asked for it"
    return turn_round(rollout, because), f"{because}; {_touched(rollout)}"


def _supersede(rollout: Rollout, request: Request) -> tuple[Rollout, str]:
    if request.then is None:
        raise RolloutError("a request to supersede must name the next release")
    if rollout.ended:
        raise RolloutError(
            f"the roll-out of {rollout.plan.candidate} has ended; start the next one without --supersede"
        )
    following = f"{rollout.plan.model}@{request.then.release}"
    changed = replace(rollout, successor=request.then)
    if request.at_once:
        text = f"{request.by} had {following} take its place; {_touched(rollout)}"
        if rollout.undo is not None:
            return changed, text
        return turn_round(changed, f"{following} takes its place, as {request.by} asked"), text
    return changed, f"{request.by} asked for {following} once this one has ended"


_ANSWERS = {
    "pause": _pause,
    "resume": _resume,
    "approve": _approve,
    "abort": _abort,
    "revert": _revert,
    "supersede": _supersede,
}


def turn_round(rollout: Rollout, because: str) -> Rollout:
    """The roll-out, going back."""
    return replace(rollout, phase="reverting", undo=Undo(because), paused="", watched={}, ended_us=0, outcome="")


def try_again(rollout: Rollout) -> Rollout:
    """A revert that failed, once more: every deployment is made anew."""
    assert rollout.undo is not None
    undo = Undo(rollout.undo.because, attempt=rollout.undo.attempt + 1, instead_of=rollout.undo.deployments)
    return replace(rollout, phase="reverting", undo=undo, watched={}, ended_us=0, outcome="")


def _check_going(rollout: Rollout, instead: str) -> None:
    candidate = rollout.plan.candidate
    if rollout.ended:
        raise RolloutError(f"the roll-out of {candidate} has ended ({rollout.phase}): {instead}")
    if rollout.phase == "reverting":
        raise RolloutError(f"the roll-out of {candidate} is going back already: {instead}")


def _touched(rollout: Rollout) -> str:
    plan: Plan = rollout.plan
    count = len(plan.names(len(rollout.touched)))
    return f"{count} of {len(plan.names())} gateways were touched" if count else "nothing was touched"
