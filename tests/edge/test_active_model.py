"""Changing the model between two frames, and back at once when the new one fails."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save_model

from cloud.run_folder import add_variant
from cloud.sign import Keys, sign_files, sign_release
from edge.active_model import ActiveModel, look_after
from edge.model_store import ModelStore
from models.errors import ModelError, PackageError
from models.golden import record_golden, write_golden
from models.manifest import read_manifest, write_manifest
from models.runner import open_runner

MakeRelease = Callable[..., Path]
BLUE = np.full((48, 64, 3), (200, 0, 0), np.uint8)


@pytest.fixture
def new_active(tmp_path: Path, trust: Path) -> Callable[[], ActiveModel]:
    """As after a start of the gateway, in the same state folder each time."""

    def make() -> ActiveModel:
        return ActiveModel(ModelStore(tmp_path / "models", model="colour", trust=trust), keep_s=60)

    return make


@pytest.fixture
def active(new_active: Callable[[], ActiveModel]) -> ActiveModel:
    return new_active()


@pytest.fixture
def make_moody(colour_run: Path, keys: Keys, tmp_path: Path) -> MakeRelease:
    """A release that answers golden frames well, but raises on a picture without any red, blue or green, like night."""

    def make(release: int) -> Path:
        run = tmp_path / f"moody-{release}"
        shutil.copytree(colour_run, run)
        graph = helper.make_graph(
            [
                helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
                helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2], keepdims=0),
                helper.make_node("ReduceMax", ["means"], ["brightest"], keepdims=0),
                helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
                # only an all-255 picture points outside the table of 255 rows
                helper.make_node("Gather", ["table", "index"], ["nothing"], axis=0),
                helper.make_node("Add", ["means", "nothing"], ["same"]),
                helper.make_node("Softmax", ["same"], ["scores"], axis=1),
            ],
            "moody",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 8, 8, 3])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
            [helper.make_tensor("table", TensorProto.FLOAT, [255, 1], [0.0] * 255)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=10)
        save_model(model, str(run / "model.onnx"))
        manifest = add_variant(run, "fp32", "model.onnx")
        frames = [np.full((8, 8, 3), np.eye(3)[channel] * 200, np.uint8) for channel in range(3)]
        write_golden(run, record_golden(frames, {"fp32": open_runner(run, manifest)}))
        until = datetime.now(UTC) + timedelta(days=1)
        return sign_release(run, keys, release=release, floor=0, expires=until, out=tmp_path / "packages" / "moody")

    return make


WHITE = np.full((48, 64, 3), 255, np.uint8)


def test_the_model_answers_and_says_how_long_it_took(active: ActiveModel, make_release: MakeRelease) -> None:
    active.offer(make_release(1))
    answer = active.answer(BLUE)
    assert answer.model.label == "colour@1"
    assert [answer.model.manifest.labels[index] for index in answer.found.class_ids] == ["blue"]
    assert answer.ms > 0


def test_another_release_takes_over_and_going_back_is_possible_without_the_package(
    active: ActiveModel, make_release: MakeRelease
) -> None:
    first = make_release(1)
    for package in (first, make_release(2), first):
        active.offer(package)
    assert active.answer(BLUE).model.label == "colour@1"
    assert active.swaps == 2


def test_the_release_that_runs_already_is_no_swap(active: ActiveModel, make_release: MakeRelease) -> None:
    package = make_release(1)
    active.offer(package)
    before = active.current
    active.offer(package)
    assert active.current is before
    assert active.swaps == 0


def test_a_refused_package_leaves_the_current_model_running(active: ActiveModel, make_release: MakeRelease) -> None:
    active.offer(make_release(1))
    bad = make_release(2)
    (bad / "model.onnx").write_bytes(b"")
    with pytest.raises(PackageError):
        active.offer(bad)
    assert active.answer(BLUE).model.label == "colour@1"
    assert active.failed_release.startswith("colour@2: ")


def test_a_release_that_disagrees_with_its_golden_frames_is_given_up_for_good(
    active: ActiveModel, new_active: Callable[[], ActiveModel], colour_run: Path, keys: Keys, tmp_path: Path
) -> None:
    # sign_release would refuse it: what differs is the gateway's hardware, for which edited answers stand in
    until = datetime.now(UTC) + timedelta(days=1)
    package = tmp_path / "packages" / "wrong"
    shutil.copytree(colour_run, package)
    answers = package / "golden" / "golden.json"
    document = json.loads(answers.read_bytes())
    document["fp32"]["000.png"]["classes"] = [2]
    answers.write_text(json.dumps(document))
    write_manifest(package, replace(read_manifest(package), release=2))
    sign_files(package, keys, version=2, expires=until)
    with pytest.raises(ModelError, match="does not answer here as it did"):
        active.offer(package)
    assert active.current is None
    with pytest.raises(PackageError, match="has failed on this gateway before"):
        new_active().offer(package)


def test_a_model_that_raises_while_it_runs_hands_back_at_once_and_loses_no_frame(
    active: ActiveModel, new_active: Callable[[], ActiveModel], make_release: MakeRelease, make_moody: MakeRelease
) -> None:
    active.offer(make_release(1))
    moody = make_moody(2)
    active.offer(moody)
    assert active.answer(BLUE).model.label == "colour@2"
    assert active.answer(WHITE).model.label == "colour@1", "this very frame is answered by the model before"
    assert active.failed_release.startswith("colour@2: ")
    active.settle()
    assert active.swaps == 2
    after_restart = new_active()
    after_restart.resume()
    assert after_restart.answer(BLUE).model.label == "colour@1"
    with pytest.raises(PackageError, match="has failed on this gateway before"):
        after_restart.offer(moody)


def test_a_model_that_raises_with_none_before_it_is_an_error_of_that_frame(
    active: ActiveModel, make_moody: MakeRelease
) -> None:
    active.offer(make_moody(2))
    with pytest.raises(ModelError):
        active.answer(WHITE)
    assert active.answer(BLUE).model.label == "colour@2"


def test_a_restart_goes_on_with_the_model_that_ran(
    active: ActiveModel, new_active: Callable[[], ActiveModel], make_release: MakeRelease
) -> None:
    active.offer(make_release(1))
    package = make_release(2)
    active.offer(package)
    shutil.rmtree(package)
    again = new_active()
    again.resume()
    assert again.answer(BLUE).model.label == "colour@2"


def test_a_restart_with_a_damaged_copy_goes_on_with_the_model_before(
    active: ActiveModel, new_active: Callable[[], ActiveModel], make_release: MakeRelease, tmp_path: Path
) -> None:
    active.offer(make_release(1))
    active.offer(make_release(2))
    (tmp_path / "models" / "colour" / "2" / "model.onnx").write_bytes(b"rot")
    again = new_active()
    again.resume()
    assert again.answer(BLUE).model.label == "colour@1"


def test_an_unsigned_run_folder_runs_where_that_is_asked_for(active: ActiveModel, colour_run: Path) -> None:
    active.offer_unsigned(colour_run)
    assert active.answer(BLUE).model.label == "colour@0"


@pytest.fixture
def looked_after(active: ActiveModel, tmp_path: Path) -> Iterator[Path]:
    """The pointer file of a gateway that watches it; there is none at first."""
    pointer = tmp_path / "tidegate.Model.colour" / "pointer"
    pointer.parent.mkdir()
    stop = threading.Event()
    thread = threading.Thread(target=look_after, args=(active, stop), kwargs={"pointer": pointer})
    thread.start()
    yield pointer
    stop.set()
    thread.join()


def point(pointer: Path, package: Path) -> None:
    draft = pointer.with_suffix(".draft")
    draft.write_text(f"{package}\n")
    draft.rename(pointer)


def test_the_pointer_is_followed_as_it_changes(
    looked_after: Path, active: ActiveModel, make_release: MakeRelease, eventually: Callable[..., None]
) -> None:
    for release in (1, 2):
        point(looked_after, make_release(release))
        eventually(lambda wanted=release: active.current is not None and active.current.manifest.release == wanted)


def test_a_pointer_to_nothing_is_reported_and_the_next_one_followed(
    looked_after: Path, active: ActiveModel, make_release: MakeRelease, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    point(looked_after, tmp_path / "gone")
    eventually(lambda: "gone" in active.failed_release)
    point(looked_after, make_release(1))
    eventually(lambda: active.current is not None)


@pytest.mark.parametrize("content", [b"\0" * 40, b"", b"/nowhere/\xff\0\xfe"])
def test_a_pointer_that_a_power_cut_left_is_a_package_that_is_not_there(
    looked_after: Path, active: ActiveModel, make_release: MakeRelease, content: bytes, eventually: Callable[..., None]
) -> None:
    looked_after.write_bytes(content)
    eventually(lambda: "holds no manifest.json" in active.failed_release)
    active.failed_release.encode()
    point(looked_after, make_release(1))
    eventually(lambda: active.current is not None)


def test_a_disk_that_takes_no_note_of_a_failure_is_asked_again(
    active: ActiveModel,
    new_active: Callable[[], ActiveModel],
    make_release: MakeRelease,
    make_moody: MakeRelease,
    tmp_path: Path,
) -> None:
    active.offer(make_release(1))
    moody = make_moody(2)
    active.offer(moody)
    active.answer(WHITE)
    state = tmp_path / "models" / "colour" / "store.json"
    state.unlink()
    state.mkdir()
    with pytest.raises(OSError, match="directory"):
        active.settle()
    state.rmdir()
    active.settle()
    with pytest.raises(PackageError, match="has failed on this gateway before"):
        new_active().offer(moody)


def test_no_frame_is_lost_or_doubled_while_models_change(active: ActiveModel, make_release: MakeRelease) -> None:
    packages = [make_release(release) for release in range(1, 6)]
    active.offer(packages[0])
    stop = threading.Event()
    answered: list[int] = []

    def look() -> None:
        number = 0
        while not stop.is_set():
            active.answer(BLUE)
            answered.append(number)
            number += 1

    thread = threading.Thread(target=look)
    thread.start()
    started = time.monotonic()
    for package in packages[1:]:
        active.offer(package)
    swap_s = (time.monotonic() - started) / 4
    stop.set()
    thread.join()
    assert answered == list(range(len(answered)))
    assert active.swaps == 4
    assert swap_s < 2
