"""A release looks on while the component that brought it lives, and makes room before it is opened to answer."""

import fcntl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from edge.active_model import ActiveModel
from edge.looking_on import ALIVE, LookingOn, is_held
from edge.model_store import ModelStore
from models.manifest import read_manifest

MakeRelease = Callable[..., Path]
Eventually = Callable[..., None]


class Gateway:
    """One that runs release 1, and whose challenger component can come and go."""

    def __init__(self, folder: Path, trust: Path, make_release: MakeRelease) -> None:
        self.store = folder / "looking-on"
        self.running = ActiveModel(ModelStore(folder / "models", model="colour", trust=trust), keep_s=60)
        self.running.offer(make_release(1))
        self.model = ActiveModel(ModelStore(self.store, model="colour", trust=trust), keep_s=0)
        self.pointer = folder / "tidegate.Challenger.colour" / "pointer"
        self.pointer.parent.mkdir()
        self.looking_on = LookingOn(self.model, self.pointer, running=self.running)
        self.leave = threading.Event()
        self.thread = threading.Thread(target=self.looking_on.run, args=(self.leave,))
        self.thread.start()
        self._alive: BinaryIO | None = None

    def deploy(self, package: Path) -> None:
        self.take_away()
        self.pointer.write_text(f"{package}\n")
        self._alive = self.pointer.with_name(ALIVE).open("wb")
        fcntl.flock(self._alive, fcntl.LOCK_EX)

    def take_away(self) -> None:
        if self._alive is not None:
            self._alive.close()
            self._alive = None

    @property
    def looks_on(self) -> int:
        """The release that looks on, 0 for none."""
        current = self.model.current
        return current.manifest.release if current is not None else 0

    def close(self) -> None:
        self.leave.set()
        self.thread.join()
        self.take_away()


@pytest.fixture
def gateway(tmp_path: Path, trust: Path, make_release: MakeRelease) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path, trust, make_release)
    yield gateway
    gateway.close()


def test_a_pointer_that_a_component_left_behind_is_nothing(
    gateway: Gateway, make_release: MakeRelease, eventually: Eventually
) -> None:
    gateway.pointer.write_text(f"{make_release(2)}\n")
    gateway.pointer.with_name(ALIVE).write_bytes(b"")
    gateway.deploy(make_release(3))
    eventually(lambda: gateway.looks_on == 3)

    gateway.take_away()

    eventually(lambda: gateway.looks_on == 0)
    eventually(lambda: not any(path.is_dir() for path in (gateway.store / "colour").iterdir()))
    assert gateway.pointer.exists()


def test_room_is_made_before_a_release_is_opened_to_answer(
    gateway: Gateway, make_release: MakeRelease, eventually: Eventually
) -> None:
    package = make_release(2)
    gateway.deploy(package)
    eventually(lambda: gateway.looks_on == 2)
    looked_on_while_opened = []

    def make_room(manifest: object) -> None:
        gateway.looking_on.make_room(read_manifest(package))
        looked_on_while_opened.append(gateway.looks_on)

    gateway.running.offer(package, make_room)

    assert looked_on_while_opened == [0]
    gateway.deploy(make_release(3))
    eventually(lambda: gateway.looks_on == 3)


def test_who_was_given_up_looks_on_no_more_until_it_is_deployed_to_anew(
    gateway: Gateway, make_release: MakeRelease, eventually: Eventually
) -> None:
    package = make_release(2)
    gateway.deploy(package)
    eventually(lambda: gateway.looks_on == 2)
    gateway.looking_on.make_room(read_manifest(package))  # and then it was refused

    gateway.leave.wait(0.6)
    assert gateway.looks_on == 0

    gateway.take_away()
    gateway.leave.wait(0.6)
    gateway.deploy(package)
    eventually(lambda: gateway.looks_on == 2)


def test_only_a_lock_that_is_held_counts(tmp_path: Path) -> None:
    file = tmp_path / ALIVE
    assert not is_held(file)
    file.touch()
    assert not is_held(file)
    with file.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert is_held(file)
    assert not is_held(file)
