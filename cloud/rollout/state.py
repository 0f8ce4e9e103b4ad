"""Where a roll-out stands, on disk: written before anything is done, so that whoever finds it can go on.

A folder per fleet and model holds

    state.json    the roll-out that is under way, or the last one
    audit.jsonl   what was decided and done, by every roll-out; only ever added to
    revert        an operator asks the roll-out under way to go back
    lock          held by the process that acts
"""

import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cloud.rollout.events import Event
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan
from models.configuration import parse
from models.durable import sync_folder, write_atomic
from models.errors import ConfigError, RolloutError

Phase = Literal["planned", "rolling", "reverting", "done", "reverted", "revert-failed"]
ENDED: frozenset[Phase] = frozenset({"done", "reverted", "revert-failed"})


class LeaseHeldError(RolloutError):
    """Another process acts on this roll-out."""


_STATE, _AUDIT, _REVERT, _LOCK = "state.json", "audit.jsonl", "revert", "lock"


@dataclass(frozen=True, slots=True)
class Touched:
    """A wave that gets, or got, the candidate.

    `marks` is each gateway's newest report when this was decided, in microseconds by the gateway's own clock: what
    is newer happened since. `absent` had been silent before. `deployment` is empty until the deployment is made.
    """

    marks: dict[str, int]
    absent: tuple[str, ...] = ()
    deployment: str = ""
    deployed_us: int = 0


@dataclass(frozen=True, slots=True)
class Undo:
    """A roll-out going back: why, and the deployments made so far, one per touched wave.

    `marks` as in Touched, and `since_us`, are there once all deployments are made. `again`: an earlier attempt failed,
    so deployments that were made are made once more.
    """

    because: str
    again: bool = False
    deployments: tuple[str, ...] = ()
    marks: dict[str, int] | None = None
    since_us: int = 0


@dataclass(frozen=True, slots=True)
class Rollout:
    """One roll-out. Times are UTC microseconds; `window_s` is how often the fleet's gateways report health. `touched`
    has one for each wave, counted as `Plan.waves` are."""

    id: str
    plan: Plan
    limits: Limits
    window_s: float
    started_us: int
    phase: Phase = "planned"
    touched: tuple[Touched, ...] = ()
    undo: Undo | None = None
    ended_us: int = 0
    outcome: str = ""
    format: int = 2

    @property
    def ended(self) -> bool:
        return self.phase in ENDED

    @property
    def silence_s(self) -> float:
        """How long a gateway may say nothing."""
        return self.limits.silence_windows * self.window_s


def rollout_folder(state: Path, fleet: str, model: str) -> Path:
    """The folder of a fleet's and model's roll-outs."""
    return state / fleet / model


def read_rollout(folder: Path) -> Rollout | None:
    """The roll-out under way or the last one; None when there never was one."""
    path = folder / _STATE
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise RolloutError(f"{path} cannot be read: {exc}; restore it, or move it away and revert by hand") from exc
    if not isinstance(document, dict) or document.get("format") != 2:
        raise RolloutError(f"{path} is not a roll-out's state that this tidegate knows (format 2)")
    try:
        return parse(Rollout, document, where=str(path))
    except ConfigError as exc:
        raise RolloutError(str(exc)) from exc


def write_rollout(folder: Path, rollout: Rollout) -> None:
    """Replace the state, durably."""
    text = json.dumps(dataclasses.asdict(rollout), indent=1, sort_keys=True)
    write_atomic(folder / _STATE, text.encode() + b"\n")


def append_audit(folder: Path, event: Event) -> None:
    """Add a line to the audit log, durably."""
    path = folder / _AUDIT
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if file.tell() and not _ends_in_newline(path):
            file.write(b"\n")  # whoever wrote the last line was killed in the middle of it
        file.write(json.dumps(event.as_dict(), sort_keys=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def read_audit(folder: Path, rollout: str | None = None) -> list[Event]:
    """The log's events in order, of one roll-out or of all."""
    try:
        lines = (folder / _AUDIT).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    events = []
    for line in lines:
        try:
            event = Event.from_dict(json.loads(line))
        except (ValueError, ConfigError):
            continue  # half a line: its writer was killed, and decided again when it was back
        if rollout is None or event.rollout == rollout:
            events.append(event)
    return events


def request_revert(folder: Path, who: str) -> None:
    """Ask the process that holds the lease to go back."""
    write_atomic(folder / _REVERT, who.encode())


def revert_requested(folder: Path) -> str | None:
    """Who asked to go back, None where nobody did."""
    try:
        return (folder / _REVERT).read_text(errors="replace")
    except FileNotFoundError:
        return None


def clear_request(folder: Path) -> None:
    (folder / _REVERT).unlink(missing_ok=True)


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Only one process on this machine acts on a roll-out; LeaseHeldError while another does. Dying gives it back."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            file.seek(0)
            raise LeaseHeldError(
                f"another process (pid {file.read().strip() or 'unknown'}) is rolling out here; watch it with "
                f"`tidegate rollout status`, or end it and start again ({folder})"
            ) from exc
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_held(folder: Path) -> bool:
    """Whether some process acts on the roll-out now."""
    try:
        with lease(folder):
            return False
    except LeaseHeldError:
        return True


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
