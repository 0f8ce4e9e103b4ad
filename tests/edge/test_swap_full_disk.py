"""A disk without room is the disk's fault: the model goes on, and the release comes when there is room again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge import active_model
from edge.active_model import ActiveModel, look_after
from edge.model_store import ModelStore
from tests.disks import small_disk_at, use_up
from tests.edge.odd_models import BLUE, see

MakeRelease = Callable[..., Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    with small_disk_at(tmp_path / "disk", "256k") as place:
        yield place


@pytest.fixture
def active(disk: Path, trust: Path) -> ActiveModel:
    return ActiveModel(ModelStore(disk / "models", model="colour", trust=trust), keep_s=60)


@pytest.mark.parametrize("but", [0, 4096, 8192, 16384, 24576, 32768, 49152])
def test_wherever_the_room_ends_the_model_goes_on_and_the_release_is_not_blamed(
    active: ActiveModel, disk: Path, make_release: MakeRelease, trust: Path, but: int
) -> None:
    active.offer(make_release(1))
    second = make_release(2)
    ballast = use_up(disk, but=but)
    with suppress(OSError):
        active.offer(second)
        active.settle()
    assert active.failed_release == ""
    assert see(active, BLUE)[0].label in ("colour@1", "colour@2")
    ballast.unlink()
    active.offer(second)
    active.settle()
    again = ActiveModel(ModelStore(disk / "models", model="colour", trust=trust), keep_s=60)
    again.resume()
    for gateway in (active, again):
        assert see(gateway, BLUE)[0].label == "colour@2"


def test_a_release_that_found_no_room_comes_by_itself_when_there_is_some(
    active: ActiveModel,
    disk: Path,
    make_release: MakeRelease,
    tmp_path: Path,
    eventually: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(active_model, "DISK_RETRY_S", 0.1)
    active.offer(make_release(1))
    ballast = use_up(disk)
    pointer = tmp_path / "pointer"
    pointer.write_text(str(make_release(2)))
    stop = threading.Event()
    thread = threading.Thread(target=look_after, args=(active, stop), kwargs={"pointer": pointer})
    thread.start()
    try:
        eventually(lambda: "could not be stored" in caplog.text)
        ballast.unlink()
        eventually(lambda: see(active, BLUE)[0].label == "colour@2")
    finally:
        stop.set()
        thread.join()


def test_a_gateway_starts_on_a_full_disk(
    active: ActiveModel, disk: Path, make_release: MakeRelease, trust: Path
) -> None:
    active.offer(make_release(1))
    active.offer(make_release(2))
    use_up(disk)
    again = ActiveModel(ModelStore(disk / "models", model="colour", trust=trust), keep_s=60)
    again.resume()
    assert see(again, BLUE)[0].label == "colour@2"
