"""The model that answers, and changing it between two frames."""

import contextlib
import logging
import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.background import step_behind, within
from edge.backoff import delays
from edge.budget import Budget, foreseen_slowdown
from edge.loading import LoadedModel, compare, load, replayed_now_ms
from edge.memory import Memory, give_back, measure
from edge.model_store import ModelStore, Stored
from models.errors import ModelError, PackageError, TidegateError
from models.hardware import hardware_class
from models.manifest import Manifest, read_manifest

log = logging.getLogger(__name__)

POLL_S = 0.25  # one stat of the pointer
DISK_RETRY_S = 10.0
_REFUSED_RETRY_S = (5.0, 300.0)
_RECENT = 128  # frames whose times are kept
_ENOUGH = 64  # of them to judge a model by
_JUDGE_S = 2.0
_NOTE_S = 2.0  # for a note on the disk by who leaves
_ALIVE_S = 30.0  # a process that has lived so long with a model was not killed by opening it
_UNKNOWN = Memory()


@dataclass(frozen=True, slots=True, eq=False)
class _Serving:
    """A model and how long its last frames took, in one value: they change together, without a lock for each frame."""

    model: LoadedModel
    since: float = field(default_factory=time.monotonic)
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    @property
    def usual_ms(self) -> float:
        """The median of the last frames; 0 when there were too few."""
        recent = self.recent_ms.copy()
        return statistics.median(recent) if len(recent) >= _ENOUGH else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """What a model is measured by until the clock (monotonic) says `until`: the model `before`, which then still stands
    by, the times it took, and the memory there was without the new one. After a restart `before` is only in the
    store."""

    until: float
    before: LoadedModel | Stored | None
    before_ms: float = 0.0
    before_replay_ms: float = 0.0
    memory: Memory = _UNKNOWN


_NO_TRIAL = _Trial(0.0, None)


class ActiveModel:
    """The current model and, while it is on trial, the one before.

    A model is on trial for `keep_s`. If it raises, or outgrows its `budget`, the one before takes over between two
    frames, and the release is not tried again here. One thread calls `resume`, `offer` and `settle`, which take their
    time; the others may be called from anywhere.
    """

    def __init__(self, store: ModelStore, *, keep_s: float, budget: Budget | None = None) -> None:
        self._store = store
        self._keep_s = keep_s
        self._budget = budget or Budget()
        self._changes = threading.Condition()
        self._opening = threading.Lock()  # the model before: a second thread for which a model failed waits for it
        self._serving: _Serving | None = None
        self._trial = _NO_TRIAL
        self._judge_at = 0.0
        self._given_up: list[tuple[Manifest, str]] = []
        self.swaps = 0
        self.failed_release = ""

    @property
    def current(self) -> LoadedModel | None:
        serving = self._serving
        return serving.model if serving else None

    def judge_by(self, budget: Budget, *, keep_s: float) -> None:
        """From the next look on; a model that is on trial is so for as long as it was to be."""
        self._budget, self._keep_s = budget, keep_s

    def resume(self) -> None:
        """Run again what ran when the gateway stopped, if it is there and works; a trial begins anew."""
        stored = self._store.last_running()
        for index, one in enumerate(stored):
            release = one.manifest.release
            try:
                with contextlib.suppress(OSError):  # a full disk is no reason not to start
                    self._store.try_out(release)
                loaded = _load(one)
            except (TidegateError, OSError) as exc:
                log.error("%s@%d does not start: %s", one.manifest.name, release, exc)
                continue
            before = next(iter(stored[index + 1 :]), None) if release == self._store.trial.release else None
            self._switch(loaded, before)
            return

    def offer(self, package: Path, make_room: Callable[[Manifest], None] = lambda manifest: None) -> None:
        """Take a signed package: verify it, get it ready beside the current model, weigh it, switch. `make_room` is
        told of it before it is opened.

        PackageError or ModelError when it is not fit to run; the current model then goes on.
        """
        try:
            stored = self._store.take(package)
        except PackageError as exc:
            self.failed_release = _named(package, str(exc))
            raise
        manifest = stored.manifest
        serving = self._serving
        if serving is not None and serving.model.manifest.release == manifest.release:
            return
        make_room(manifest)
        memory = measure()
        try:
            self._store.try_out(
                manifest.release,
                before_ms=serving.usual_ms if serving else 0.0,
                before_replay_ms=serving.model.replay_ms if serving else 0.0,
            )
            loaded = _load(stored)
            self._weigh(loaded, memory)
        except TidegateError as exc:
            self._remember_failure(manifest, str(exc))
            raise
        self._switch(loaded, self._store.before(manifest.release) if serving is None else None, memory)
        self._store.now_runs(manifest.release)

    def offer_named(self, pointer: Path, make_room: Callable[[Manifest], None] = lambda manifest: None) -> None:
        """`offer` the package that a pointer file names; OSError when the file cannot be read."""
        # a power cut may leave zeros in the file; the rest is a package that is not there, like any other wrong name
        named = pointer.read_bytes().replace(b"\0", b"").decode(errors="replace").strip()
        if not named:
            self.failed_release = f"the pointer {pointer} is empty; restart {pointer.parent.name}, which writes it"
            raise PackageError(self.failed_release)
        self.offer(Path(named), make_room)

    def offer_unsigned(self, run: Path) -> None:
        """Run a run folder as it is, without asking who made it: for trying things out."""
        manifest = read_manifest(run)
        self._switch(load(run, manifest))

    def withdraw(self) -> None:
        """Run nothing any more, and keep nothing of it but what failed here; OSError is for the next release."""
        with self._changes:
            self._serving, self._trial, self.failed_release = None, _NO_TRIAL, ""
        with contextlib.suppress(OSError):
            self._store.clear()
        give_back()

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
        """A frame took `model` so long, by the clock."""
        serving = self._serving
        if serving is not None and serving.model is model:
            serving.recent_ms.append(ms)

    def failed(self, model: LoadedModel, why: ModelError) -> LoadedModel:
        """The model to use instead for the frame on which `model` failed: the one before, while that stands by, and it
        stays; else `why` is raised again, and the frame could not be looked at."""
        back = self._stand_in() if self.current is model else None
        with self._changes:
            current = self.current
            if current is not None and current is not model:
                return current  # another thread was faster, or a new model has come meanwhile
            if back is None:
                raise why
            self._go_back(model, back, str(why))
            return back

    def settle(self) -> None:
        """Judge the model that is on trial, let go of the one before when it was kept long enough, and write down what
        became of them since the last call; OSError when the disk does not take that, and then the next call does it."""
        self._judge()
        with self._changes:
            given_up = list(self._given_up)
            serving = self._serving
            over = time.monotonic() >= self._trial.until
            let_go = bool(given_up) or (over and self._trial.before is not None)
            if over:
                self._trial = _NO_TRIAL
        for manifest, why in given_up:
            self._store.has_failed(manifest.release, why)
        if serving is not None:
            release = serving.model.manifest.release
            self._store.now_runs(release)
            if serving.recent_ms or time.monotonic() - serving.since > _ALIVE_S:
                if over:
                    self._store.has_passed(release)
                else:
                    self._store.has_lived(release)
        with self._changes:
            del self._given_up[: len(given_up)]
        if let_go:
            give_back()

    def close(self) -> None:
        """The process ends in order: it is not the model on trial that ends it."""
        if not within(_NOTE_S, self._note_life):
            log.error("the disk has not taken in %g s that the gateway ends in order; left without it", _NOTE_S)

    def _note_life(self) -> None:
        with contextlib.suppress(OSError):
            self._store.has_lived(self._store.trial.release)

    def _weigh(self, loaded: LoadedModel, memory: Memory) -> None:
        """ModelError when it is over budget, beside the current one, before it has seen a frame."""
        before = self.current
        why = self._budget.too_large(measure(), memory)
        if not why and before is not None:
            foreseen = _foreseen(loaded, before)
            why = self._budget.too_slow(loaded.took_ms, before.took_ms, foreseen=foreseen)
            if why:
                # they were timed at different times; where the old frames cannot be read any more, that must do
                with contextlib.suppress(PackageError):
                    why = self._budget.too_slow(*compare(loaded, before), foreseen=foreseen)
        if why:
            raise ModelError(f"{loaded.label} is over its budget: {why}")

    def _judge(self) -> None:
        """Go back if the model on trial is over budget with real pictures."""
        serving, trial, now = self._serving, self._trial, time.monotonic()
        if serving is None or trial.before is None or now < self._judge_at:
            return
        self._judge_at = now + _JUDGE_S
        why = self._budget.too_large(measure(), trial.memory) if trial.memory.total else ""
        if not why and trial.before_ms and (usual_ms := serving.usual_ms):
            foreseen = _foreseen(serving.model, trial.before)
            why = self._budget.too_slow(usual_ms, trial.before_ms, foreseen=foreseen)
            if why:
                # has the machine become slower, and not the model?
                why = self._budget.too_slow(usual_ms, trial.before_ms * self._weather(), foreseen=foreseen)
        if not why:
            return
        back = self._stand_in()
        with self._changes:
            if back is not None and self._serving is serving:
                self._go_back(serving.model, back, why)

    def _weather(self) -> float:
        """How many times slower this machine is than when the model before was opened; at least 1."""
        before, then_ms = self._stand_in(), self._trial.before_replay_ms
        if before is None or not then_ms:
            return 1.0
        try:
            return max(1.0, replayed_now_ms(before) / then_ms)
        except TidegateError as exc:
            log.error("the model before cannot be timed again: %s", exc)
            return 1.0

    def _switch(self, loaded: LoadedModel, stored: Stored | None = None, memory: Memory = _UNKNOWN) -> None:
        """From now on frames are for `loaded`; `stored` holds the one before where that does not run."""
        with self._changes:
            before, self._serving = self._serving, _Serving(loaded)
            self.failed_release = ""  # of an earlier one
            until = time.monotonic() + self._keep_s
            if before is not None:
                self.swaps += 1
                self._trial = _Trial(until, before.model, before.usual_ms, before.model.replay_ms, memory)
            else:
                noted = self._store.trial
                self._trial = _Trial(until, stored, noted.before_ms, noted.before_replay_ms)
            self._changes.notify_all()
        after = f", after {before.model.label}" if before else ""
        give_back()
        log.info("%s runs (%s%s)", loaded.label, loaded.variant, after)

    def _stand_in(self) -> LoadedModel | None:
        """The model before, while it stands by; opened first where it is only in the store, which may take a slow disk
        seconds: so never under the lock that cameras, swaps and whoever stops the gateway need."""
        with self._opening:
            trial = self._trial
            if time.monotonic() >= trial.until:
                return None
            if not isinstance(trial.before, Stored):
                return trial.before
            try:
                before = _load(trial.before)
            except (TidegateError, OSError) as exc:  # the latter: a later release took its place in the store
                log.error("the model before does not start: %s", exc)
                before = None
            with self._changes:
                if self._trial is trial:
                    self._trial = replace(trial, before=before)
            return before

    def _go_back(self, model: LoadedModel, back: LoadedModel, why: str) -> None:
        self._serving = _Serving(back)
        self._trial = _NO_TRIAL
        self.swaps += 1
        self.failed_release = f"{model.label}: {why}"
        # the disk can wait, a camera can't
        self._given_up.append((model.manifest, why))
        log.error("%s is given up, back to %s: %s", model.label, back.label, why)

    def _remember_failure(self, manifest: Manifest, why: str) -> None:
        self.failed_release = f"{manifest.name}@{manifest.release}: {why}"
        self._store.has_failed(manifest.release, why)


class PointerWatch:
    """Offers `active` the package that a pointer file names, at first and whenever the file changes, and keeps the
    store's books. As long as there is no model at all, what was refused is tried again: it may be that only a file was
    missing."""

    def __init__(self, active: ActiveModel, pointer: Path | None) -> None:
        self._active = active
        self._pointer = pointer
        self.forget()

    def forget(self) -> None:
        """Take what it names for new."""
        self._seen: tuple[int, int] | None = None
        self._refused = ""
        self._retries = delays(*_REFUSED_RETRY_S)
        self._retry_at = math.inf

    def look(self, stop: threading.Event, make_room: Callable[[Manifest], None] = lambda manifest: None) -> None:
        """Offer what is new. `make_room` is told of a release before it is opened. After trouble with a disk it takes
        its time, unless it is to `stop`."""
        stamp = stamp_of(self._pointer) if self._pointer else None
        again = self._active.current is None and time.monotonic() >= self._retry_at
        if self._pointer and stamp and (stamp != self._seen or again):
            if stamp != self._seen:
                self._refused, self._retries = "", delays(*_REFUSED_RETRY_S)
            self._seen = stamp
            try:
                self._active.offer_named(self._pointer, make_room)
            except TidegateError as exc:
                if str(exc) != self._refused:
                    log.error("a model was refused: %s", exc)
                self._refused = str(exc)
                self._retry_at = time.monotonic() + next(self._retries)
            except OSError as exc:
                # a full disk, most likely: nothing is wrong with the model, so try again
                log.error("a model could not be stored, trying again in %g s: %s", DISK_RETRY_S, exc)
                self._seen = None
                stop.wait(DISK_RETRY_S)
        try:
            self._active.settle()
        except OSError as exc:
            log.error("which model failed could not be written down, trying again in %g s: %s", DISK_RETRY_S, exc)
            stop.wait(DISK_RETRY_S)


def look_after(
    active: ActiveModel,
    stop: threading.Event,
    *,
    pointer: Path | None,
    make_room: Callable[[Manifest], None] = lambda manifest: None,
) -> None:
    """Follow a pointer file until told to `stop`."""
    step_behind()
    watch = PointerWatch(active, pointer)
    while not stop.is_set():
        watch.look(stop, make_room)
        stop.wait(POLL_S)


def _load(stored: Stored) -> LoadedModel:
    # what is found out about it lies beside it, so that it goes when the release goes
    return load(stored.folder, stored.manifest, keep=stored.folder)


def _foreseen(model: LoadedModel, before: LoadedModel | Stored) -> float:
    """How many times slower than the one before the releases' signed figures say that this one is here."""
    ran = before.variant if isinstance(before, LoadedModel) else before.manifest.chosen
    signed_ms = model.manifest.variant(model.variant).latency_ms
    return foreseen_slowdown(signed_ms, before.manifest.variant(ran).latency_ms, on=hardware_class())


def stamp_of(path: Path) -> tuple[int, int] | None:
    """What differs once a file was replaced or written; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _named(package: Path, why: str) -> str:
    """With the release that was refused, as far as the package says which."""
    try:
        manifest = read_manifest(package)
    except PackageError:
        return why  # which names the folder
    return f"{manifest.name}@{manifest.release}: {why}"
