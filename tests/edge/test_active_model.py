"""Changing the model between two frames, and back at once when the new one fails."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.sign import Keys, sign_files, sign_release
from edge.active_model import ActiveModel, look_after
from edge.budget import Budget
from edge.memory import measure
from edge.model_store import ModelStore
from models.errors import ModelError, PackageError
from models.hardware import hardware_class
from models.manifest import read_manifest, write_manifest
from tests.edge.odd_models import BLUE, WHITE, moody_graph, run_of, see, slow_copy

MakeRelease = Callable[..., Path]
Restart = Callable[[], ActiveModel]


@pytest.fixture
def new_active(tmp_path: Path, trust: Path) -> Callable[..., ActiveModel]:
    """As after a start of the gateway, in the same state folder each time."""

    def make(*, keep_s: float = 60, budget: Budget | None = None) -> ActiveModel:
        return ActiveModel(ModelStore(tmp_path / "models", model="colour", trust=trust), keep_s=keep_s, budget=budget)

    return make


@pytest.fixture
def active(new_active: Callable[..., ActiveModel]) -> ActiveModel:
    return new_active()


@pytest.fixture
def restart(new_active: Callable[..., ActiveModel]) -> Restart:
    """What the gateway runs after another start."""

    def start() -> ActiveModel:
        again = new_active()
        again.resume()
        return again

    return start


@pytest.fixture
def make_odd(colour_run: Path, keys: Keys, tmp_path: Path) -> MakeRelease:
    """`make_odd(2, moody_graph)`: a signed release of the colour model with that graph."""

    def make(release: int, make_graph: Callable[[Path, Path], None]) -> Path:
        run = run_of(colour_run, tmp_path / f"odd-{release}", make_graph)
        until = datetime.now(UTC) + timedelta(days=1)
        return sign_release(
            run, keys, release=release, floor=0, expires=until, out=tmp_path / "packages" / f"odd-{release}"
        )

    return make


@pytest.fixture
def make_moody(make_odd: MakeRelease) -> MakeRelease:
    return lambda release: make_odd(release, moody_graph)


@pytest.fixture
def moody(active: ActiveModel, make_release: MakeRelease, make_moody: MakeRelease) -> Path:
    """Release 2, which raises on white; it runs, after release 1."""
    package = make_moody(2)
    active.offer(make_release(1))
    active.offer(package)
    return package


def test_the_model_of_the_package_answers(active: ActiveModel, make_release: MakeRelease) -> None:
    active.offer(make_release(1))
    model, found = see(active, BLUE)
    assert model.label == "colour@1"
    assert [model.manifest.labels[index] for index in found.class_ids] == ["blue"]


def test_another_release_takes_over_and_going_back_is_possible_without_the_package(
    active: ActiveModel, make_release: MakeRelease
) -> None:
    first = make_release(1)
    for package in (first, make_release(2), first):
        active.offer(package)
    assert see(active, BLUE)[0].label == "colour@1"
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
    assert see(active, BLUE)[0].label == "colour@1"
    assert active.failed_release.startswith("colour@2: ")
    active.offer(make_release(3))
    assert active.failed_release == "", "it is past"


@pytest.mark.usefixtures("moody")
def test_what_was_given_up_is_past_once_a_later_release_runs(active: ActiveModel, make_release: MakeRelease) -> None:
    see(active, WHITE)
    active.offer(make_release(3))
    active.settle()
    assert (active.failed_release, label(active)) == ("", "colour@3")


def test_a_release_that_disagrees_with_its_golden_frames_is_given_up_for_good(
    active: ActiveModel, new_active: Callable[..., ActiveModel], colour_run: Path, keys: Keys, tmp_path: Path
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
    active: ActiveModel, restart: Restart, moody: Path
) -> None:
    assert see(active, BLUE)[0].label == "colour@2"
    assert see(active, WHITE)[0].label == "colour@1", "this very frame is answered by the model before"
    assert active.failed_release.startswith("colour@2: ")
    active.settle()
    assert active.swaps == 2
    after_restart = restart()
    assert see(after_restart, BLUE)[0].label == "colour@1"
    with pytest.raises(PackageError, match="has failed on this gateway before"):
        after_restart.offer(moody)


def test_a_model_that_raises_with_none_before_it_is_an_error_of_that_frame(
    active: ActiveModel, make_moody: MakeRelease
) -> None:
    active.offer(make_moody(2))
    with pytest.raises(ModelError):
        see(active, WHITE)
    assert see(active, BLUE)[0].label == "colour@2"


def test_a_restart_goes_on_with_the_model_that_ran(
    active: ActiveModel, make_release: MakeRelease, restart: Restart
) -> None:
    active.offer(make_release(1))
    package = make_release(2)
    active.offer(package)
    shutil.rmtree(package)
    again = restart()
    assert see(again, BLUE)[0].label == "colour@2"


def test_a_restart_with_a_damaged_copy_goes_on_with_the_model_before(
    active: ActiveModel, make_release: MakeRelease, tmp_path: Path, restart: Restart
) -> None:
    active.offer(make_release(1))
    active.offer(make_release(2))
    (tmp_path / "models" / "colour" / "2" / "model.onnx").write_bytes(b"rot")
    again = restart()
    assert see(again, BLUE)[0].label == "colour@1"


def test_an_unsigned_run_folder_runs_where_that_is_asked_for(active: ActiveModel, colour_run: Path) -> None:
    active.offer_unsigned(colour_run)
    assert see(active, BLUE)[0].label == "colour@0"


def test_a_release_on_trial_that_raises_after_a_restart_hands_back_to_the_copy_in_the_store(
    new_active: Callable[..., ActiveModel], restart: Restart, moody: Path
) -> None:
    again = restart()
    assert see(again, BLUE)[0].label == "colour@2"
    assert see(again, WHITE)[0].label == "colour@1"
    again.settle()
    with pytest.raises(PackageError, match="has failed on this gateway before"):
        new_active().offer(moody)


@pytest.mark.usefixtures("moody")
def test_while_a_slow_disk_gives_the_model_before_others_do_not_wait(
    make_release: MakeRelease, tmp_path: Path, restart: Restart
) -> None:
    again = restart()
    choice = tmp_path / "models" / "colour" / "1" / "choice.json"
    content = choice.read_bytes()
    choice.unlink()
    os.mkfifo(choice)  # whoever reads it waits for what is written
    looking = threading.Thread(target=see, args=(again, WHITE))
    looking.start()
    with choice.open("wb") as disk:
        others = [threading.Thread(target=work) for work in (again.wake, again.settle, lambda: again.wait(stopped()))]
        for thread in others:
            thread.start()
            thread.join(20)
            assert not thread.is_alive()
        again.offer(make_release(3))
        assert looking.is_alive()
        disk.write(content)
    looking.join(20)
    assert not looking.is_alive()
    assert (label(again), again.failed_release) == ("colour@3", ""), "what came meanwhile stays"


def stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def test_a_release_that_stood_its_trial_stays_though_a_frame_fails(
    new_active: Callable[..., ActiveModel], make_release: MakeRelease, make_moody: MakeRelease, restart: Restart
) -> None:
    active = new_active(keep_s=0)
    for package in (make_release(1), make_moody(2)):
        active.offer(package)
        take_long(active, 1.0)
    again = restart()
    for gateway in (active, again):
        with pytest.raises(ModelError):
            see(gateway, WHITE)
        assert see(gateway, BLUE)[0].label == "colour@2"


def test_a_release_given_as_a_package_is_on_trial_after_a_restart_too(
    new_active: Callable[..., ActiveModel], moody: Path
) -> None:
    again = new_active()
    again.offer(moody)
    assert see(again, WHITE)[0].label == "colour@1"


def test_a_release_that_takes_the_process_with_it_is_given_up_after_five_starts(
    active: ActiveModel, make_release: MakeRelease, make_moody: MakeRelease, restart: Restart
) -> None:
    active.offer(make_release(1))
    see(active, BLUE)
    active.offer(make_moody(2))  # and is killed before a frame was answered
    for _ in range(4):
        again = restart()
        assert again.current is not None
        assert again.current.label == "colour@2"
    last = restart()
    assert see(last, BLUE)[0].label == "colour@1"
    with pytest.raises(PackageError, match="died 5 times in a row as soon as it was opened"):
        last.offer(make_moody(3).with_name("odd-2"))


def test_a_release_that_answers_may_start_as_often_as_it_likes(
    active: ActiveModel, make_release: MakeRelease, restart: Restart
) -> None:
    active.offer(make_release(1))
    active.offer(make_release(2))
    for _ in range(8):
        again = restart()
        model, _ = see(again, BLUE)
        assert model.label == "colour@2"
        again.answered(model, 1.0)
        again.settle()


def test_a_gateway_that_ends_in_order_before_it_saw_anything_blames_nobody(
    active: ActiveModel, make_release: MakeRelease, restart: Restart
) -> None:
    active.offer(make_release(1))
    active.offer(make_release(2))
    active.close()
    for _ in range(8):
        again = restart()
        assert label(again) == "colour@2"
        again.close()


def test_a_release_many_times_slower_than_the_one_before_never_sees_a_frame(
    active: ActiveModel, make_release: MakeRelease, make_odd: MakeRelease
) -> None:
    active.offer(make_release(1))
    with pytest.raises(ModelError, match=r"colour@2 is over its budget: it takes .* ms of the model before"):
        active.offer(make_odd(2, slow_copy))
    assert see(active, BLUE)[0].label == "colour@1"
    assert "set latency_budget_ms if that is meant to be" in active.failed_release


def test_a_slower_release_whose_signed_figures_say_so_runs_and_stays(
    active: ActiveModel, colour_run: Path, keys: Keys, tmp_path: Path, restart: Restart
) -> None:
    until = datetime.now(UTC) + timedelta(days=1)
    slow = run_of(colour_run, tmp_path / "slow", slow_copy)
    for release, run, ms in ((1, colour_run, 0.01), (2, slow, 1000.0)):
        manifest = read_manifest(run)
        timed = replace(manifest.variant("fp32"), latency_ms={hardware_class(): ms})
        write_manifest(run, manifest.with_variants(timed))
        out = tmp_path / "packages" / str(release)
        active.offer(sign_release(run, keys, release=release, floor=0, expires=until, out=out))
    assert see(active, BLUE)[0].label == "colour@2"
    take_long(active, 100.0)
    again = restart()
    take_long(again, 100.0)
    assert (label(active), label(again)) == ("colour@2", "colour@2")


def test_a_slower_release_within_the_budget_that_was_set_runs(
    new_active: Callable[..., ActiveModel], make_release: MakeRelease, make_odd: MakeRelease
) -> None:
    active = new_active(budget=Budget(latency_ms=5000))
    active.offer(make_release(1))
    active.offer(make_odd(2, slow_copy))
    assert see(active, BLUE)[0].label == "colour@2"


@pytest.fixture
def replaced(active: ActiveModel, make_release: MakeRelease) -> ActiveModel:
    """A gateway whose cameras' frames took release 1 ten milliseconds, and which has just switched to release 2."""
    active.offer(make_release(1))
    assert active.current is not None
    for _ in range(100):
        active.answered(active.current, 10.0)
    active.offer(make_release(2))
    return active


SLOW_MS = 1e6  # by whatever a busy machine may do to the replay of a tiny model meanwhile


def test_a_release_that_is_slow_with_real_pictures_hands_back(replaced: ActiveModel) -> None:
    take_long(replaced, SLOW_MS)
    assert label(replaced) == "colour@1"
    assert "more than 2 times the" in replaced.failed_release


@pytest.mark.usefixtures("replaced")
def test_a_release_that_is_slow_after_a_restart_hands_back_to_the_copy_in_the_store(restart: Restart) -> None:
    again = restart()
    take_long(again, SLOW_MS)
    assert label(again) == "colour@1"


@pytest.mark.usefixtures("replaced")
def test_a_machine_that_became_slower_is_not_held_against_the_release(tmp_path: Path, restart: Restart) -> None:
    # the golden frames of the one before take a million times longer than they did then
    note = tmp_path / "models" / "colour" / "trial.json"
    trial = json.loads(note.read_bytes())
    note.write_text(json.dumps({**trial, "before_replay_ms": trial["before_replay_ms"] * 1e-6}))
    again = restart()
    take_long(again, 1000.0)
    assert label(again) == "colour@2"


def test_golden_frames_that_the_disk_damaged_neither_stop_a_verdict_nor_the_gateway(
    replaced: ActiveModel, tmp_path: Path, make_odd: MakeRelease
) -> None:
    shutil.rmtree(tmp_path / "models" / "colour" / "1" / "golden")
    take_long(replaced, SLOW_MS)
    assert label(replaced) == "colour@1"
    with pytest.raises(ModelError, match="is over its budget"):
        replaced.offer(make_odd(3, slow_copy))
    assert label(replaced) == "colour@1"


def take_long(active: ActiveModel, ms: float) -> None:
    """A hundred frames that took the current model so long, and a look at them."""
    assert active.current is not None
    for _ in range(100):
        active.answered(active.current, ms)
    active.settle()


def label(active: ActiveModel) -> str:
    assert active.current is not None
    return active.current.label


def test_a_release_that_is_as_fast_as_the_one_before_stays(replaced: ActiveModel) -> None:
    take_long(replaced, 11.0)
    assert label(replaced) == "colour@2"


def test_a_few_slow_frames_are_no_verdict(replaced: ActiveModel) -> None:
    model = replaced.current
    assert model is not None
    for _ in range(20):
        replaced.answered(model, SLOW_MS)
    replaced.settle()
    assert replaced.current is model


def test_a_release_that_takes_more_memory_than_the_gateway_may_have_hands_back(
    new_active: Callable[..., ActiveModel], make_release: MakeRelease
) -> None:
    active = new_active(budget=Budget(memory_bytes=measure().resident + (64 << 20)))
    active.offer(make_release(1))
    active.offer(make_release(2))
    hoard = bytearray(128 << 20)  # what the release does with its first pictures
    hoard[::4096] = b"x" * len(hoard[::4096])
    active.settle()
    assert label(active) == "colour@1"
    assert "the budget is" in active.failed_release


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


def test_a_model_that_was_refused_for_want_of_a_file_runs_once_the_file_is_there(
    active: ActiveModel,
    trust: Path,
    tmp_path: Path,
    make_release: MakeRelease,
    eventually: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr("edge.active_model._REFUSED_RETRY_S", (0.01, 0.01))
    monkeypatch.setattr("edge.active_model.POLL_S", 0.01)
    root = trust / "colour.root.json"
    away = root.rename(tmp_path / "away.json")
    point(request.getfixturevalue("looked_after"), make_release(1))
    eventually(lambda: "no root of trust" in active.failed_release)
    active.failed_release = ""
    eventually(lambda: "no root of trust" in active.failed_release)
    away.rename(root)
    eventually(lambda: active.current is not None)
    assert caplog.text.count("a model was refused") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0" * 40, "colour/pointer is empty; restart tidegate.Model.colour, which writes it"),
        (b"", "colour/pointer is empty; restart tidegate.Model.colour, which writes it"),
        (b"/nowhere/\xff\0\xfe", "holds no manifest.json"),
    ],
)
def test_a_pointer_that_a_power_cut_left_is_a_package_that_is_not_there(
    looked_after: Path,
    active: ActiveModel,
    make_release: MakeRelease,
    content: bytes,
    said: str,
    eventually: Callable[..., None],
) -> None:
    looked_after.write_bytes(content)
    eventually(lambda: said in active.failed_release)
    active.failed_release.encode()
    point(looked_after, make_release(1))
    eventually(lambda: active.current is not None)


def test_a_disk_that_takes_no_note_of_a_failure_is_asked_again(
    active: ActiveModel, new_active: Callable[..., ActiveModel], tmp_path: Path, moody: Path
) -> None:
    see(active, WHITE)
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
            see(active, BLUE)
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
