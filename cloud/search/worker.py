"""A worker: takes trials from the study until there are enough, or time is up."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import optuna

from cloud.search.pareto import Point, hopeless
from cloud.search.space import suggest
from cloud.search.study import counts, note_progress, open_study, others_at
from cloud.search.trial import Progress, run_trial
from cloud.train.request import Request
from models.errors import TidegateError


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers of a search share. `until` is wall-clock time, seconds since 1970; `rungs` the epochs after
    which a trial is compared with others."""

    folder: Path
    base: Request
    aspect: float
    trials: int
    until: float
    rungs: tuple[int, ...]


def work(job: Job, worker: int) -> None:
    """Run trials, one after the other. A trial that can't be trained or compressed fails, and the next one begins."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to deal with
    os.nice(5)
    study = open_study(job.folder, seed=job.base.settings.seed, worker=worker)
    while time.time() < job.until and _begun(study) < job.trials:
        trial = study.ask()
        try:
            point = _one(job, study, trial)
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        except TidegateError as exc:
            trial.set_user_attr("why", str(exc))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, (point.accuracy, point.bytes, point.p50_ms))


def _one(job: Job, study: optuna.Study, trial: optuna.Trial) -> Point:
    request, variant = suggest(trial, job.base, aspect=job.aspect)

    def compare(progress: Progress) -> None:
        if time.time() > job.until:
            raise optuna.TrialPruned
        if progress.epoch not in job.rungs:
            return
        others = others_at(study, trial.number, progress.epoch)
        note_progress(trial, progress)
        if hopeless(progress.metric, progress.parameters, others):
            raise optuna.TrialPruned

    return run_trial(trial.number, request, variant, job.folder / "trials" / f"{trial.number:04d}", on_epoch=compare)


def _begun(study: optuna.Study) -> int:
    found = counts(study)
    return found["complete"] + found["pruned"] + found["running"]
