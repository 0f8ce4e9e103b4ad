"""The trials of a search as tasks of a Ray cluster. ray lives here.

The study stays with the process that began the search: it asks optuna for a trial, sends it to the cluster with the
pictures, and enters what comes back. So nodes share no folder, and when this process dies the study can be gone on
with.
"""

import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna

from cloud.archive import pack, unpack
from cloud.run_folder import new_run
from cloud.search.board import Board
from cloud.search.pareto import Point
from cloud.search.space import suggest
from cloud.search.study import begin, end, left_to_begin, note_progress, noted, stuck
from cloud.search.trial import GivenUp, Progress, run_trial
from cloud.search.worker import Job, run_folder_of
from cloud.train.request import Request
from cloud.train.tasks import TASKS
from models.errors import DataError, TidegateError, UsageError

try:
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as exc:
    raise UsageError("--ray needs the extra [scale]: pip install 'tidegate[scale]'") from exc

_LOOK_EVERY_S = 1.0
_KNOCK_S = 5.0
_LEAVE_S = 10.0
_GRACE_S = 300.0  # to a trial that is still at work when time is up: it looks after each epoch, and then compresses


@dataclass(frozen=True, slots=True)
class Errand:
    """A trial as it travels; `seconds` are left to it."""

    number: int
    request: Request
    variant: str
    rungs: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """What comes back: `run` is the packed run folder of a trial that has a point; `why` it failed, else empty."""

    progress: tuple[Progress, ...]
    point: Point | None = None
    run: bytes = b""
    why: str = ""


def run_on_ray(job: Job, study: optuna.Study, address: str, *, at_once: int | None, look: Callable[[], None]) -> None:
    """Run the job's trials on the cluster at `address`, by default as many at once as it has cores.

    UsageError when the cluster can't be joined, DataError where the pictures can't travel. A trial that is lost with
    its node fails, and another is begun; what no node has taken when time is up is given up.
    """
    _join(address)
    pending: dict[Any, optuna.Trial] = {}
    try:
        at_once = at_once or max(1, _cores())
        data, val = map(ray.put, _packed(job))
        # beside this process: it must live as long
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        board = ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote(noted(study))
        task = ray.remote(_try).options(num_cpus=1, max_retries=0)
        while True:
            while (
                len(pending) < at_once
                and time.time() < job.until
                and left_to_begin(study, job.trials) > 0
                and not stuck(study, job.first)
            ):
                trial = begin(study)
                request, variant = suggest(trial, job.base, aspect=job.aspect)
                errand = Errand(trial.number, request, variant, job.rungs, job.until - time.time())
                pending[task.remote(errand, data, val, board)] = trial
            if not pending or time.time() > job.until + _GRACE_S:
                break
            done, _ = ray.wait(list(pending), timeout=_LOOK_EVERY_S)
            for reference in done:
                _enter(job, study, pending.pop(reference), reference)
            look()
    except KeyboardInterrupt:
        pass  # what has been found by now is still worth having
    finally:
        for force in (False, True):  # asked to stop, a trial takes its scratch folder along
            for reference in pending:
                ray.cancel(reference, force=force)
            if pending and not force:
                ray.wait(list(pending), num_returns=len(pending), timeout=_LEAVE_S)
        ray.shutdown()
    look()


def _packed(job: Job) -> tuple[bytes, bytes]:
    """The pictures as archives, nothing where there are none to judge by; DataError when a node would read something
    else in them than is read here."""
    data, val = pack(job.base.data), pack(job.base.val) if job.base.val else b""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as scratch:
        there = _unpacked(job.base, data, val, Path(scratch))
        try:
            digest = TASKS[there.task].prepare(there).digest
        except TidegateError:
            digest = ""
    if digest != job.digest:
        raise DataError(
            f"{job.base.data} by itself, as it goes to the cluster's nodes, is not what it is here: put what it needs "
            f"of the folder above, such as classes.txt, into it"
        )
    return data, val


def _unpacked(base: Request, data: bytes, val: bytes, place: Path) -> Request:
    for name, archive in (("data", data), ("val", val)):
        if archive:
            unpack(archive, place / name, where=name)
    return replace(base, data=place / "data", val=place / "val" if val else None)


def _cores() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call, unused-ignore]  # as ray is installed or not
    return int(resources.get("CPU", 1))


def _join(address: str) -> None:
    if os.environ.get("RAY_AUTH_MODE") != "token":
        raise UsageError(
            f"--ray {address}: Ray listens on all interfaces, and runs what anybody sends it; set RAY_AUTH_MODE=token "
            f"and RAY_AUTH_TOKEN, here and on every node"
        )
    _knock(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, ConnectionError, RuntimeError, ValueError, OSError) as exc:
        reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        raise UsageError(
            f"--ray {address} cannot be joined: {reason}; is a node of the cluster running here, and are RAY_AUTH_MODE "
            f"and RAY_AUTH_TOKEN as on the cluster?"
        ) from exc


def _knock(address: str) -> None:
    """Ray itself tries for minutes to reach what is not there."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return  # "auto", or an address that Ray has its own words about
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError) as exc:
        raise UsageError(f"--ray {address}: nobody answers there ({exc}); is the cluster's head up?") from exc


def _enter(job: Job, study: optuna.Study, trial: optuna.Trial, reference: Any) -> None:
    try:
        ended: Ended = ray.get(reference)
    except RayError as exc:  # the node or its process died, or a trial broke in a way that nobody foresaw
        end(study, trial, None, why=(str(exc).strip().splitlines() or [type(exc).__name__])[-1])
        return
    for progress in ended.progress:
        note_progress(trial, progress)
    if ended.point is not None:
        with new_run(run_folder_of(job, trial.number), name=job.base.name, force=True) as draft:
            unpack(ended.run, draft, where=f"trial {trial.number}")
    end(study, trial, ended.point, why=ended.why)


def _try(errand: Errand, data: bytes, val: bytes, board: Any) -> Ended:
    """What a node runs. `data` and `val` (empty where there is none) are packed folders."""
    progress: list[Progress] = []

    def is_hopeless(now: Progress) -> bool:
        progress.append(now)
        return bool(ray.get(board.is_hopeless.remote(errand.number, now)))

    until = time.time() + errand.seconds
    with tempfile.TemporaryDirectory(prefix="tidegate-") as scratch:
        place = Path(scratch)
        request = _unpacked(errand.request, data, val, place)
        try:
            point = run_trial(
                errand.number,
                request,
                errand.variant,
                place / "run",
                rungs=errand.rungs,
                until=until,
                is_hopeless=is_hopeless,
            )
        except GivenUp:
            return Ended(tuple(progress))
        except TidegateError as exc:
            return Ended(tuple(progress), why=str(exc))
        return Ended(tuple(progress), point, pack(place / "run"))
