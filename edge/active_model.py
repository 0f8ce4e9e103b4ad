"""The model that answers, and changing it between two frames."""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from edge.loading import CHOICE, LoadedModel, load
from edge.model_store import ModelStore, Stored
from models.detections import Detections, UInt8
from models.errors import ModelError, PackageError, TidegateError
from models.manifest import Manifest, read_manifest

log = logging.getLogger(__name__)

POLL_S = 0.25  # one stat of the pointer
DISK_RETRY_S = 10.0
_RECENT = 128  # frames whose times are kept


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model saw in one picture, in `ms` milliseconds."""

    model: LoadedModel
    found: Detections
    ms: float


@dataclass(frozen=True, slots=True, eq=False)
class _Serving:
    """A model and how long its last frames took, in one value: they change together, without a lock for each frame."""

    model: LoadedModel
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))


class ActiveModel:
    """The current model and, for a while after a change, the one before.

    One thread calls `resume`, `offer` and `settle`, which take their time; the others may be called from anywhere.
    """

    def __init__(self, store: ModelStore, *, keep_s: float) -> None:
        self._store = store
        self._keep_s = keep_s
        self._changes = threading.Condition()
        self._serving: _Serving | None = None
        self._previous: LoadedModel | None = None
        self._previous_until = 0.0
        self._given_up: list[tuple[Manifest, str]] = []
        self.swaps = 0
        self.failed_release = ""

    @property
    def current(self) -> LoadedModel | None:
        serving = self._serving
        return serving.model if serving else None

    def resume(self) -> None:
        """Run again what ran when the gateway stopped, if it is there and works."""
        for stored in self._store.last_running():
            try:
                self._switch(_load(stored))
                return
            except TidegateError as exc:
                log.error("%s@%d does not start: %s", stored.manifest.name, stored.manifest.release, exc)

    def offer(self, package: Path) -> None:
        """Take a signed package: verify it, get it ready beside the current model, switch.

        PackageError or ModelError when it is not fit to run; the current model then goes on.
        """
        try:
            stored = self._store.take(package)
        except PackageError as exc:
            self.failed_release = f"{_name(package)}: {exc}"
            raise
        manifest = stored.manifest
        current = self.current
        if current is not None and current.manifest.release == manifest.release:
            return
        try:
            loaded = _load(stored)
        except TidegateError as exc:
            self._remember_failure(manifest, str(exc))
            raise
        self._switch(loaded)

    def offer_unsigned(self, run: Path) -> None:
        """Run a run folder as it is, without asking who made it: for trying things out."""
        manifest = read_manifest(run)
        self._switch(load(run, manifest))

    def wait(self, stop: threading.Event) -> LoadedModel | None:
        """The current model, once there is one; None when told to stop before."""
        with self._changes:
            self._changes.wait_for(lambda: self._serving is not None or stop.is_set())
            return self.current

    def wake(self) -> None:
        """Let whoever waits look at its stop event."""
        with self._changes:
            self._changes.notify_all()

    def answered(self, model: LoadedModel, ms: float) -> None:
        """A frame took `model` so long."""
        serving = self._serving
        if serving is not None and serving.model is model:
            serving.recent_ms.append(ms)

    def failed(self, model: LoadedModel, why: ModelError) -> LoadedModel:
        """The model to use instead for the frame on which `model` failed: the one before, while that stands by, and it
        stays; else `why` is raised again, and the frame could not be looked at."""
        with self._changes:
            current = self._serving
            if current is not None and current.model is not model:
                return current.model  # another thread was faster
            if self._previous is None or time.monotonic() >= self._previous_until:
                raise why
            back, self._previous = self._previous, None
            self._serving = _Serving(back)
            self.swaps += 1
            self.failed_release = f"{model.label}: {why}"
            # the disk can wait, a camera can't
            self._given_up.append((model.manifest, str(why)))
        log.error("%s failed while it ran, back to %s: %s", model.label, back.label, why)
        return back

    def answer(self, image: UInt8) -> Answer:
        """What the current model, or the one that steps in for it, sees; ModelError when there is none."""
        model = self.current
        assert model is not None, "wait() comes first"
        while True:
            started = time.perf_counter()
            try:
                found = model.runner.run(image)
            except ModelError as exc:
                model = self.failed(model, exc)
            else:
                ms = (time.perf_counter() - started) * 1000
                self.answered(model, ms)
                return Answer(model, found, ms)

    def settle(self) -> None:
        """Let go of a model that was kept long enough, and write down which ones failed since the last call; OSError
        when the disk does not take that, and then the next call does it."""
        with self._changes:
            given_up = list(self._given_up)
            if self._previous is not None and time.monotonic() >= self._previous_until:
                self._previous = None
        for manifest, why in given_up:
            self._remember_failure(manifest, why)
        if given_up and (current := self.current) is not None:
            self._store.now_runs(current.manifest.release)
        with self._changes:
            del self._given_up[: len(given_up)]

    def _switch(self, loaded: LoadedModel) -> None:
        with self._changes:
            before, self._serving = self.current, _Serving(loaded)
            self._previous, self._previous_until = before, time.monotonic() + self._keep_s
            if before is not None:
                self.swaps += 1
            self._changes.notify_all()
        if loaded.manifest.release:
            self._store.now_runs(loaded.manifest.release)
        log.info("%s runs (%s%s)", loaded.label, loaded.variant, f", after {before.label}" if before else "")

    def _remember_failure(self, manifest: Manifest, why: str) -> None:
        self.failed_release = f"{manifest.name}@{manifest.release}: {why}"
        self._store.has_failed(manifest.release, why)


def look_after(active: ActiveModel, stop: threading.Event, *, pointer: Path | None) -> None:
    """Offer the package that the pointer file names, now and whenever the file changes, and keep the store's books."""
    seen: tuple[int, int] | None = None
    while not stop.is_set():
        stamp = _stamp(pointer) if pointer else None
        if pointer and stamp and stamp != seen:
            seen = stamp
            try:
                active.offer(_package(pointer))
            except TidegateError as exc:
                log.error("a model was refused: %s", exc)
            except OSError as exc:
                # a full disk, most likely: nothing is wrong with the model, so try again
                log.error("a model could not be stored, trying again in %g s: %s", DISK_RETRY_S, exc)
                seen = None
                stop.wait(DISK_RETRY_S)
        try:
            active.settle()
        except OSError as exc:
            log.error("which model failed could not be written down, trying again in %g s: %s", DISK_RETRY_S, exc)
            stop.wait(DISK_RETRY_S)
        stop.wait(POLL_S)


def _load(stored: Stored) -> LoadedModel:
    # beside the release, so that it goes when the release goes
    return load(stored.folder, stored.manifest, memory=stored.folder / CHOICE)


def _package(pointer: Path) -> Path:
    # a power cut may leave zeros in the file; that is a package which is not there, like any other wrong name
    return Path(pointer.read_bytes().replace(b"\0", b"").decode(errors="replace").strip())


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _name(package: Path) -> str:
    try:
        manifest = read_manifest(package)
    except PackageError:
        return str(package)
    return f"{manifest.name}@{manifest.release}"
