"""The graph that onnxruntime optimised for this device is used again, and only if it is what it should be."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.loading import load
from edge.optimised import open_kept
from models.errors import ModelError
from models.manifest import read_manifest
from models.runner import Runner

BLUE = np.full((8, 8, 3), (200, 0, 0), np.uint8)
DIGEST, HERE = "a" * 64, "this machine"


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    folder = tmp_path / "keep"
    folder.mkdir()
    return folder


@pytest.fixture
def open_here(colour_run: Path, keep: Path) -> Callable[..., Runner]:
    def open_it(*, digest: str = DIGEST, on: str = HERE) -> Runner:
        return open_kept(colour_run, read_manifest(colour_run), "fp32", digest=digest, on=on, keep=keep)

    return open_it


def answers(runner: Runner) -> list[float]:
    return [float(score) for score in runner.probabilities(BLUE)]


def test_the_kept_graph_alone_is_enough_the_next_time_and_answers_the_same(
    open_here: Callable[..., Runner], colour_run: Path
) -> None:
    first = answers(open_here())
    (colour_run / "model.onnx").write_bytes(b"not needed any more")
    assert answers(open_here()) == first


@pytest.mark.parametrize("damage", [b"", b"rot", None], ids=["empty", "garbage", "cut short"])
@pytest.mark.parametrize("file", ["optimised-fp32.onnx", "optimised-fp32.json"])
def test_a_damaged_graph_is_made_anew(
    open_here: Callable[..., Runner], keep: Path, file: str, damage: bytes | None
) -> None:
    expected = answers(open_here())
    whole = (keep / file).read_bytes()
    (keep / file).write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert answers(open_here()) == expected
    assert (keep / file).read_bytes() == whole


@pytest.mark.parametrize("change", [{"digest": "b" * 64}, {"on": "another machine, onnxruntime 9"}])
def test_a_graph_of_another_file_runtime_or_machine_is_not_used(
    open_here: Callable[..., Runner], colour_run: Path, change: dict[str, str]
) -> None:
    open_here()
    (colour_run / "model.onnx").write_bytes(b"rot")
    with pytest.raises(ModelError):
        open_here(**change)


def test_a_graph_that_the_runtime_refuses_is_made_anew(open_here: Callable[..., Runner], keep: Path) -> None:
    expected = answers(open_here())
    note, graph = keep / "optimised-fp32.json", keep / "optimised-fp32.onnx"
    # as if another runtime of the same version number had written it
    digest = hashlib.sha256(graph.read_bytes()).hexdigest()
    graph.write_bytes(b"no graph")
    note.write_text(note.read_text().replace(digest, hashlib.sha256(b"no graph").hexdigest()))
    assert answers(open_here()) == expected


def test_without_room_on_the_disk_the_model_runs_all_the_same(colour_run: Path, keep: Path) -> None:
    keep.rmdir()
    runner = open_kept(colour_run, read_manifest(colour_run), "fp32", digest=DIGEST, on=HERE, keep=keep)
    assert len(answers(runner)) == 3


def test_a_disk_that_is_full_while_the_graph_is_written_keeps_nothing(
    open_here: Callable[..., Runner], keep: Path
) -> None:
    (keep / ".optimised-fp32.onnx").symlink_to("/dev/full")
    assert len(answers(open_here())) == 3
    assert list(keep.iterdir()) == []


def test_files_that_are_cut_short_while_the_model_runs_do_not_disturb_it(
    open_here: Callable[..., Runner], colour_run: Path, keep: Path
) -> None:
    from_the_variant, from_the_kept = open_here(), open_here()
    expected = answers(from_the_variant)
    for file in (colour_run / "model.onnx", keep / "optimised-fp32.onnx"):
        os.truncate(file, 10)
    # a mapped file would end the process here, by SIGBUS
    assert answers(from_the_variant) == answers(from_the_kept) == expected


def test_what_is_kept_lies_beside_the_release_and_a_run_folder_stays_clean(colour_run: Path, keep: Path) -> None:
    before = sorted(colour_run.iterdir())
    load(colour_run, read_manifest(colour_run))
    assert sorted(colour_run.iterdir()) == before
    load(colour_run, read_manifest(colour_run), keep=keep)
    assert sorted(path.name for path in keep.iterdir()) == ["choice.json", "optimised-fp32.json", "optimised-fp32.onnx"]
