"""A release of the running model that looks on: for as long as the component that brought it lives, and until it
answers itself."""

import fcntl
import logging
import threading
from pathlib import Path

from edge.active_model import POLL_S, ActiveModel, PointerWatch, stamp_of
from edge.background import step_behind
from models.errors import PackageError
from models.manifest import Manifest, read_manifest

log = logging.getLogger(__name__)

ALIVE = "alive"  # beside the pointer: locked by the component that wrote it, while that lives


class LookingOn:
    """Keeps `model`, of which it takes care alone, at the release that `pointer` names.

    The folder of a component that was taken away stays, with its pointer; what is held only while the component's
    process lives is a lock, so that decides, whatever the clocks say and however the process ended.
    """

    def __init__(self, model: ActiveModel, pointer: Path, *, running: ActiveModel) -> None:
        self._model = model
        self._pointer = pointer
        self._running = running
        self._watch = PointerWatch(model, pointer)
        self._turn = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._claimed = 0
        self._answers = 0  # the release that was about to answer when it was told to make room

    def run(self, leave: threading.Event) -> None:
        """Follow the component until told to `leave`."""
        step_behind()
        while not leave.is_set():
            with self._turn:
                self._look(leave)
            leave.wait(POLL_S)

    def make_room(self, manifest: Manifest) -> None:
        """The release is about to be opened, to answer: if it looks on, it does no more, so that no device has to
        hold it twice."""
        with self._turn:
            self._answers = manifest.release
            current = self._model.current
            if current is not None and current.manifest.release == manifest.release:
                self._withdraw("is about to answer")

    def _look(self, leave: threading.Event) -> None:
        if not is_held(self._pointer.with_name(ALIVE)):
            self._answers = 0
            self._withdraw("was taken away")
            return
        named = self._named()
        if named and named in (self._answers, self._release_that_answers()):
            self._withdraw("answers")
            return
        self._answers = 0
        self._watch.look(leave)

    def _named(self) -> int:
        """The release that the pointer names, which nobody has verified yet; 0 where it cannot be told."""
        stamp = stamp_of(self._pointer)
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._claimed = read_manifest(Path(self._pointer.read_text(errors="replace").strip())).release
            except (OSError, ValueError, PackageError):
                self._claimed = 0
        return self._claimed

    def _release_that_answers(self) -> int:
        current = self._running.current
        return current.manifest.release if current is not None else 0

    def _withdraw(self, why: str) -> None:
        current = self._model.current
        self._watch.forget()
        if current is not None:
            log.info("%s %s, and looks on no more", current.label, why)
        if current is not None or self._model.failed_release:
            self._model.withdraw()


def is_held(file: Path) -> bool:
    """Whether some process holds a lock on the file."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
