"""A roll-out driven by processes that are killed: each at a moment of its own, the world goes on without it.

The process is a fork, so that killing is cheap; the fleet stays in the parent and answers it through a pipe, as a
control plane would. A moment is just before, or just after, something is written to the store or asked of the fleet.
"""

import contextlib
import multiprocessing as mp
import os
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast

from cloud.rollout.fleet import Fleet
from cloud.rollout.place import Place
from cloud.rollout.record import find
from cloud.rollout.run import is_over, run_rollout, tick
from cloud.rollout.steps import World
from greengrass.objects import ObjectStore
from models.errors import RolloutError, TidegateError

PAUSE_S = 5.0  # between two looks

ACTS = ("assign", "move", "copy", "deploy", "shadow")
WRITES = ("put", "put_new", "put_if", "remove")


class Reaper:
    """Kills this process at its n-th moment; 0 is never."""

    def __init__(self, at: int) -> None:
        self._at, self.moments = at, 0

    def around(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._pass()
            try:
                return act(*args, **kwargs)
            finally:
                self._pass()

        return watched

    def _pass(self) -> None:
        self.moments += 1
        if self.moments == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


class Watched:
    """Whatever `inner` is, with a moment around each of the calls named."""

    def __init__(self, inner: Any, calls: tuple[str, ...], reaper: Reaper) -> None:
        self._inner, self._calls, self._reaper = inner, calls, reaper

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._reaper.around(found) if name in self._calls else found


class FarAway:
    """The fleet as a killed process sees it: every call goes through a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._pipe.send((name, args, kwargs))
            answer, failed = self._pipe.recv()
            if failed:
                raise answer
            return answer

        return call


@dataclass(frozen=True, slots=True)
class Life:
    """What became of a process: whether it was killed, and how many moments it had if it was not."""

    killed: bool
    moments: int = 0


def live(
    open_store: Callable[[], ObjectStore], place: Place, fleet: Any, *, until: int = 0, by_ticks: bool = True
) -> Life:
    """A process that moves the roll-out on until it has ended, or it is killed at its moment `until`.

    `fleet` answers it, and lives on: a `Fleet` that also has `clock`, `pause` and `reports`. `by_ticks`: it takes and
    gives back the lease each time, as a scheduler's job does; otherwise it holds it, as a terminal does.
    """
    ours, theirs = mp.Pipe()
    told, tell = mp.Pipe(duplex=False)
    pid = os.fork()
    if not pid:
        try:
            ours.close()
            _work(open_store(), place, FarAway(theirs), Reaper(until), tell, by_ticks=by_ticks)
            os._exit(0)
        except BaseException:  # nothing of the parent's own ending may run here
            traceback.print_exc()
            os._exit(1)
    theirs.close()
    tell.close()
    _serve(ours, fleet)
    _, status = os.waitpid(pid, 0)
    with ours, told:
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return Life(killed=True)
        if status:
            raise RolloutError(
                f"a process that moved the roll-out on ended with status {status}; its traceback is above"
            )
        return Life(killed=False, moments=told.recv())


def _serve(pipe: Connection, fleet: Any) -> None:
    """Answer a process until it is gone."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            name, args, kwargs = pipe.recv()
            try:
                answer = getattr(fleet, name)(*args, **kwargs), False
            except TidegateError as exc:
                answer = exc, True
            pipe.send(answer)


def _work(
    store: ObjectStore, place: Place, fleet: FarAway, reaper: Reaper, tell: Connection, *, by_ticks: bool
) -> None:
    watched = cast(ObjectStore, Watched(store, WRITES, reaper))
    world = World(watched, place, cast(Fleet, Watched(fleet, ACTS, reaper)), fleet.reports)
    who = "robot@cloud"
    if by_ticks:
        while (found := find(store, place)) is not None and not is_over(found.record.rollout):
            tick(world, who=who, clock=fleet.clock)
            fleet.pause(PAUSE_S)
    else:
        for _ in run_rollout(world, who=who, poll_s=PAUSE_S, clock=fleet.clock, pause=fleet.pause):
            pass
    tell.send(reaper.moments)
