"""A worker: takes trials from the study until there are enough, or time is up."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import optuna

from cloud.search.board import Board
from cloud.search.pareto import Point
from cloud.search.space import suggest
from cloud.search.study import begin, end, left_to_begin, note_progress, noted, open_study, stuck
from cloud.search.trial import GivenUp, Progress, run_trial
from cloud.train.request import Request
from models.errors import TidegateError


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers of a search share. `digest` is that of the pictures; `until` wall-clock time, seconds since
    1970; `rungs` the epochs after which a trial is compared with others; `first` the number of the first trial that is
    this search's own."""

    folder: Path
    base: Request
    digest: str
    aspect: float
    trials: int
    until: float
    rungs: tuple[int, ...]
    first: int


def work(job: Job, worker: int) -> None:
    """Run trials, one after the other. A trial that can't be trained or compressed fails, and the next one begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to deal with
    signal.signal(signal.SIGTERM, _stop)
    os.nice(5)
    study = open_study(job.folder, seed=job.base.settings.seed, worker=worker)
    while time.time() < job.until and left_to_begin(study, job.trials) > 0 and not stuck(study, job.first):
        trial = begin(study)
        try:
            point = _one(job, study, trial)
        except GivenUp:
            end(study, trial, None)
        except TidegateError as exc:
            end(study, trial, None, why=str(exc))
        else:
            end(study, trial, point)


def run_folder_of(job: Job, number: int) -> Path:
    """Where a trial leaves its run."""
    return job.folder / "trials" / f"{number:04d}"


def _one(job: Job, study: optuna.Study, trial: optuna.Trial) -> Point:
    request, variant = suggest(trial, job.base, aspect=job.aspect)

    def is_hopeless(progress: Progress) -> bool:
        earlier = noted(study)
        note_progress(trial, progress)
        return Board(earlier).is_hopeless(trial.number, progress)

    return run_trial(
        trial.number,
        request,
        variant,
        run_folder_of(job, trial.number),
        rungs=job.rungs,
        until=job.until,
        is_hopeless=is_hopeless,
    )


def _stop(*_: object) -> NoReturn:
    sys.exit(0)  # drafts vanish on the way
