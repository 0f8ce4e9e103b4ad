"""The study: what has been tried, in a journal file that several processes write. optuna lives here."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from cloud.quiet import quiet
from cloud.search.pareto import Point
from cloud.search.trial import Progress
from models.durable import write_atomic
from models.errors import UsageError

_NAME = "search"
_SETTINGS = "study.json"
_PROCESS, _WHY, _PASSED, _EPOCH = "process", "why", "passed", "epoch"


def open_study(folder: Path, *, seed: int, worker: int = 0) -> optuna.Study:
    """The study in `folder`, a new one where there is none. Each worker has a seed of its own."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with quiet("optuna"):
        return optuna.create_study(
            study_name=_NAME,
            storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
            directions=["maximize", "minimize", "minimize"],
            # constant_liar: workers that run at the same time do not ask for the same
            sampler=optuna.samplers.TPESampler(seed=seed + worker, constant_liar=True, n_startup_trials=8),
            load_if_exists=True,
        )


@contextmanager
def held(folder: Path, settings: dict[str, Any]) -> Iterator[None]:
    """Keep the study's folder for this process, and its settings with it; UsageError when another has it, or it was
    begun with other settings."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise UsageError(f"{folder} is being searched by another process; wait for it, or stop it") from exc
        file = folder / _SETTINGS
        if file.exists() and (before := json.loads(file.read_bytes())) != settings:
            changed = sorted(key for key in {*before, *settings} if before.get(key) != settings.get(key))
            raise UsageError(
                f"{folder} holds a search with other {', '.join(changed)}: call it as then to go on, or remove the "
                f"folder to begin anew"
            )
        write_atomic(file, json.dumps(settings, indent=2, sort_keys=True).encode())
        yield


def begin(study: optuna.Study) -> optuna.Trial:
    """The next trial, which this process is to run."""
    trial = study.ask()
    trial.set_user_attr(_PROCESS, os.getpid())
    return trial


def end(study: optuna.Study, trial: optuna.Trial, point: Point | None, *, why: str = "") -> None:
    """Enter how a trial ended: with a point, given up, or failed for the reason `why`."""
    if why:
        trial.set_user_attr(_WHY, why)
        study.tell(trial, state=TrialState.FAIL)
    elif point is None:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        trial.set_user_attr(_PASSED, point.passed)
        study.tell(trial, (point.accuracy, point.bytes, point.p50_ms))


def give_up_lost(study: optuna.Study, *, process: int | None = None) -> int:
    """Mark the trials of a process that died as failed, or of all when none runs any more; how many."""
    lost = [
        trial.number
        for trial in study.get_trials(deepcopy=False)
        if trial.state == TrialState.RUNNING and (process is None or trial.user_attrs.get(_PROCESS) == process)
    ]
    for number in lost:
        study.tell(number, state=TrialState.FAIL)
    return len(lost)


def note_progress(trial: optuna.Trial, progress: Progress) -> None:
    """Leave word of where a trial is, for others to compare themselves with."""
    trial.set_user_attr(f"{_EPOCH}{progress.epoch}", [progress.metric, progress.parameters])


def noted(study: optuna.Study) -> dict[int, list[Progress]]:
    """Where every trial was, after the epochs that it left word of, by its number."""
    return {
        trial.number: [
            Progress(int(key.removeprefix(_EPOCH)), *value)
            for key, value in trial.user_attrs.items()
            if key.startswith(_EPOCH)
        ]
        for trial in study.get_trials(deepcopy=False)
    }


def counts(study: optuna.Study) -> dict[str, int]:
    """Trials by state: complete, pruned, failed, running."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return {
        "complete": states.count(TrialState.COMPLETE),
        "pruned": states.count(TrialState.PRUNED),
        "failed": states.count(TrialState.FAIL),
        "running": states.count(TrialState.RUNNING),
    }


def points(study: optuna.Study) -> list[Point]:
    """Every trial that ended well."""
    return [
        Point(trial.number, trial.values[0], int(trial.values[1]), trial.values[2], trial.user_attrs.get(_PASSED, True))
        for trial in study.get_trials(deepcopy=False)
        if trial.state == TrialState.COMPLETE
    ]


def parameters(study: optuna.Study, number: int) -> dict[str, Any]:
    """What a trial chose."""
    return dict(study.get_trials(deepcopy=False)[number].params)


def failures(study: optuna.Study) -> list[str]:
    """Why trials failed, where they could still say so."""
    return [trial.user_attrs[_WHY] for trial in study.get_trials(deepcopy=False) if _WHY in trial.user_attrs]


def stuck(study: optuna.Study, first: int, *, patience: int = 5) -> bool:
    """Whether the last trials, of those from number `first` on, all failed: the next one would too."""
    ended = [trial for trial in study.get_trials(deepcopy=False)[first:] if trial.state.is_finished()]
    return len(ended) >= patience and all(_WHY in trial.user_attrs for trial in ended[-patience:])


def left_to_begin(study: optuna.Study, trials: int) -> int:
    """How many more to begin until there are `trials`; failed ones do not count."""
    found = counts(study)
    return trials - found["complete"] - found["pruned"] - found["running"]
