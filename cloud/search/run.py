"""A search from end to end: workers, the front of what they found, and the run folder of the trial that is chosen."""

import contextlib
import itertools
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from cloud.plots import draw_search
from cloud.run_folder import new_run, write_report
from cloud.search.pareto import Point, choose, front
from cloud.search.study import counts, failures, give_up_lost, held, open_study, parameters, points
from cloud.search.worker import Job, work
from cloud.train.request import Request
from cloud.train.tasks import TASKS
from models.errors import DataError
from models.latency import compare_latency
from models.manifest import read_manifest, write_manifest
from models.runner import open_runner

_LOOK_EVERY_S = 1.0
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """`front`: the trials that none beats, timed again one beside the other; `chosen` is one of them. `tried` counts
    trials by how they ended."""

    front: tuple[Point, ...]
    chosen: Point
    tried: dict[str, int]


def study_folder(out: Path) -> Path:
    """Where a search keeps its trials: beside the run folder that it will leave."""
    return out.absolute().with_name(f"{out.name}.study")


def search(
    base: Request,
    out: Path,
    *,
    trials: int,
    minutes: float,
    workers: int | None,
    ray: str | None,
    force: bool,
    max_bytes: int | None,
    max_ms: float | None,
    on_look: Callable[[dict[str, int], list[Point]], None],
) -> Found:
    """Try up to `trials` models in `minutes`, and leave the best as the run folder `out`.

    They run in `workers` processes here (default: one a core), or as many at once on the Ray cluster at `ray` (default:
    as it has cores). A study that is there already is gone on from: its trials count. `on_look` is told how far it is
    every second.
    """
    prepared = TASKS[base.task].prepare(base)  # what is wrong with the pictures is said before anything is tried
    aspect = prepared.spec.width / prepared.spec.height
    folder = study_folder(out)
    settings = {
        "data": str(base.data.absolute()),
        "val": str(base.val.absolute()) if base.val else None,
        "task": base.task,
        "epochs": base.settings.epochs,
        "seed": base.settings.seed,
    }
    epochs = base.settings.epochs
    rungs = tuple(sorted({max(1, epochs // 4), max(1, epochs // 2)}))
    with new_run(out, name=base.name, force=force) as draft, held(folder, settings):
        (folder / "trials").mkdir(exist_ok=True)
        study = open_study(folder, seed=base.settings.seed)
        give_up_lost(study)
        first = len(study.get_trials(deepcopy=False))
        job = Job(folder, base, prepared.digest, aspect, trials, time.time() + 60 * minutes, rungs, first)

        def look() -> None:
            on_look(counts(study), points(study))

        if ray is None:
            _run_workers(job, study, workers or len(os.sched_getaffinity(0)), look)
        else:
            from cloud.search.on_ray import run_on_ray  # most searches need no ray, and it takes seconds to load

            with contextlib.redirect_stdout(sys.stderr):  # ray's threads tell of lost nodes there
                run_on_ray(job, study, ray, at_once=workers, look=look)
        give_up_lost(study)
        every = points(study)
        if not every:
            why = failures(study)
            raise DataError(
                f"no trial came to an end ({', '.join(f'{n} {state}' for state, n in counts(study).items() if n)})"
                + (f"; the last failed because: {why[-1]}" if why else "; give it more --minutes")
            )
        best = _timed_again(folder, study, front(every))
        chosen = choose(best, max_bytes=max_bytes, max_ms=max_ms)
        if chosen is None:
            raise DataError(
                f"none of {len(every)} trials is within the limits; the smallest has "
                f"{min(point.bytes for point in every):,} bytes, the fastest takes "
                f"{min(point.p50_ms for point in every):.2f} ms: go on searching, or raise them"
            )
        found = Found(tuple(front(best)), chosen, counts(study))
        _leave(draft, folder, found, every, lambda number: parameters(study, number))
    return found


def _run_workers(job: Job, study: optuna.Study, workers: int, look: Callable[[], None]) -> None:
    context = multiprocessing.get_context("spawn")  # a fork would share torch's threads
    numbers = itertools.count()

    def start() -> BaseProcess:
        process = context.Process(target=work, args=(job, next(numbers)), daemon=True)
        process.start()
        return process

    running = [start() for _ in range(min(workers, job.trials))]
    spare = 2 * workers  # to take the place of those that die: killed for want of memory, or by somebody
    try:
        while running:
            time.sleep(_LOOK_EVERY_S)
            for process in [process for process in running if not process.is_alive()]:
                running.remove(process)
                if process.exitcode != 0:
                    give_up_lost(study, process=process.pid)
                    if spare and time.time() < job.until:
                        spare -= 1
                        running.append(start())
            look()
    except KeyboardInterrupt:
        pass  # what has been found by now is still worth having
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join(_PATIENCE_S)
            process.kill()
            process.join()
    look()


def _timed_again(folder: Path, study: optuna.Study, best: list[Point]) -> list[Point]:
    """The same points with latencies measured side by side: while others trained, clocks told little."""
    runs = {point.trial: folder / "trials" / f"{point.trial:04d}" for point in best}
    timed = {}
    for point in best:
        run = runs[point.trial]
        manifest = read_manifest(run)
        runner = open_runner(run, manifest, parameters(study, point.trial)["variant"])
        picture = np.zeros((manifest.input.height, manifest.input.width, 3), np.uint8)
        timed[str(point.trial)] = lambda runner=runner, picture=picture: runner.run_fitted(picture)
    latency = compare_latency(timed, rounds=200)
    return [replace(point, p50_ms=round(latency[str(point.trial)].p50_ms, 4)) for point in best]


def _leave(draft: Path, folder: Path, found: Found, every: list[Point], chose: Callable[[int], dict[str, Any]]) -> None:
    number = found.chosen.trial
    shutil.copytree(folder / "trials" / f"{number:04d}", draft, dirs_exist_ok=True)
    manifest = read_manifest(draft)
    lineage = {**manifest.lineage, "search": {"study": folder.name, "trial": number, "parameters": chose(number)}}
    write_manifest(draft, replace(manifest, lineage=lineage))
    rows = [{**asdict(point), "parameters": chose(point.trial)} for point in found.front]
    write_report(
        draft, {"search": {"tried": found.tried, "chosen": number, "front": rows, "trials": list(map(asdict, every))}}
    )
    best = {point.trial for point in found.front}
    draw_search(
        draft / "search.png",
        kilobytes=[point.bytes / 1000 for point in every],
        accuracy=[point.accuracy for point in every],
        p50_ms=[point.p50_ms for point in every],
        on_front=[point.trial in best for point in every],
        chosen=[point.trial == number for point in every],
    )
