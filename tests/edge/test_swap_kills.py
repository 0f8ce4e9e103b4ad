"""A gateway that is killed anywhere in a swap starts again with one of the two models, whole; both can still come."""

import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from edge.active_model import ActiveModel
from edge.model_store import ModelStore
from tests.edge.odd_models import BLUE, see

MakeRelease = Callable[..., Path]


def open_active(state: Path, trust: Path) -> ActiveModel:
    active = ActiveModel(ModelStore(state, model="colour", trust=trust), keep_s=60)
    active.resume()
    return active


def show(active: ActiveModel) -> str:
    """A frame is seen and accounted for; which model saw it."""
    model, found = see(active, BLUE)
    assert [model.manifest.labels[index] for index in found.class_ids] == ["blue"]
    active.answered(model, 1.0)
    active.settle()
    return model.label


def swap_for_ever(state: Path, trust: Path, packages: list[Path], ready: Connection) -> None:
    active = open_active(state, trust)
    ready.send("go")
    while True:
        for package in packages:
            active.offer(package)
            show(active)


def kill_in_swaps(times: int, folder: Path, trust: Path, packages: list[Path]) -> set[str]:
    """Kill a process that swaps all the time, again and again; which models it came back with."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["edge.active_model", "tests.edge.odd_models"])
    came_back = set()
    for _ in range(times):
        ready, theirs = processes.Pipe(duplex=False)
        process = processes.Process(target=swap_for_ever, args=(folder, trust, packages, theirs))
        process.start()
        assert ready.recv() == "go"
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.join()
        active = open_active(folder, trust)
        came_back.add("" if active.current is None else show(active))
        assert active.failed_release == ""
    return came_back


@pytest.mark.parametrize("times", [10, pytest.param(200, marks=pytest.mark.soak)])
def test_a_swap_that_is_killed_anywhere_leaves_one_of_the_two_models(
    times: int, make_release: MakeRelease, trust: Path, tmp_path: Path
) -> None:
    packages = [make_release(1), make_release(2)]
    folder = tmp_path / "models"
    first = open_active(folder, trust)
    first.offer(packages[0])
    assert show(first) == "colour@1"
    assert kill_in_swaps(times, folder, trust, packages) <= {"colour@1", "colour@2"}
    last = open_active(folder, trust)
    for package in packages:
        last.offer(package)
        show(last)
    left = {path.name for path in (folder / "colour").iterdir() if path.is_dir()}
    assert left == {"1", "2"}, "no half copies"


def test_a_first_model_that_is_killed_while_it_comes_can_come_again(
    make_release: MakeRelease, trust: Path, tmp_path: Path
) -> None:
    package = make_release(1)
    assert kill_in_swaps(3, tmp_path / "models", trust, [package]) <= {"", "colour@1"}
    active = open_active(tmp_path / "models", trust)
    active.offer(package)
    assert show(active) == "colour@1"
