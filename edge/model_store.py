"""The gateway's own copies of the releases it took: the one that runs and the one before.

The nucleus deletes an old version's files seconds after an update, and going back must not need the network. What
has to survive a restart (which release runs, the highest floor seen, what failed here) is in `store.json`, and which
release is on trial in `trial.json`: a file of its own, because a gateway of before would read a `store.json` with an
unknown field as an empty one, and forget the floor.
"""

import json
import logging
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from models.configuration import parse
from models.durable import write_atomic
from models.errors import ConfigError, PackageError
from models.manifest import Manifest, read_manifest
from models.trust import accept, recheck

log = logging.getLogger(__name__)

_STATE = "store.json"
_TRIAL = "trial.json"
_STARTS = 5  # a power cut may come at a bad time, but not five times in a row
_FAILURES_KEPT = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A release that was verified: its folder in the store, and what its signed manifest says."""

    folder: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class _State:
    running: int = 0
    previous: int = 0
    floor: int = 0
    failed: dict[str, str] = field(default_factory=dict)  # by release: why


@dataclass(frozen=True, slots=True)
class Trial:
    """`starts`: how often `release` was opened by a process that then died at once. `before_ms` and
    `before_replay_ms`: what a camera's and a golden frame took the model before, 0 where that is not known."""

    release: int = 0
    starts: int = 0
    before_ms: float = 0.0
    before_replay_ms: float = 0.0


_S = TypeVar("_S", _State, Trial)


class ModelStore:
    """One model's releases under `folder`, for one thread of the process that owns the gateway's state."""

    def __init__(self, folder: Path, *, model: str, trust: Path) -> None:
        self._folder = folder / model
        self._model = model
        self._root = trust / f"{model}.root.json"
        self._state = self._read(_State, _STATE)
        self._trial = self._read(Trial, _TRIAL)
        for leftover in self._folder.glob(".*"):  # of a copy that a power cut interrupted
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)

    def take(self, package: Path) -> Stored:
        """Verify a package and copy it here, or find the copy of when it came first; PackageError for one that is not
        to be run: not signed by whom we trust, of another model, below the floor, or failed here before."""
        # read unverified only to refuse it or to look for our copy; nothing is believed until the signatures were
        # checked. Another model's release of this number is not that copy
        claimed = read_manifest(package)
        self._check(package, claimed)
        stored = self._find(claimed.release) or self._accept(package, claimed.release)
        try:
            self._check(package, stored.manifest)
        except PackageError:
            self._prune()
            raise
        if stored.manifest.floor > self._state.floor:
            self._write_state(replace(self._state, floor=stored.manifest.floor))
        return stored

    def last_running(self) -> list[Stored]:
        """What ran when the gateway stopped, and what ran before that, as far as they are here undamaged and did not
        fail."""
        releases = (self._state.running, self._state.previous)
        return [
            stored
            for release in releases
            if release and str(release) not in self._state.failed and (stored := self._find(release))
        ]

    def now_runs(self, release: int) -> None:
        """Remember it, and keep no other release but the one before."""
        if release in (0, self._state.running):
            return  # 0: unsigned, and not from here
        self._write_state(replace(self._state, running=release, previous=self._state.running))
        self._prune()

    def has_failed(self, release: int, why: str) -> None:
        """Remember not to try this release again."""
        failed = {**self._state.failed, str(release): why}
        while len(failed) > _FAILURES_KEPT:
            failed.pop(next(iter(failed)))
        self._write_state(replace(self._state, failed=failed))
        self.has_passed(release)  # it is over
        self._prune()

    def clear(self) -> None:
        """Keep no release; what failed here, and the floor, stay known."""
        self._write_state(replace(self._state, running=0, previous=0))
        self._write_trial(Trial())
        self._prune()

    @property
    def trial(self) -> Trial:
        """Of the release that has not stood its trial yet, also when it began before a restart; release 0: none."""
        return self._trial

    def before(self, release: int) -> Stored | None:
        """What ran before this release, while that is on trial."""
        if release != self._trial.release:
            return None
        return next((stored for stored in self.last_running() if stored.manifest.release != release), None)

    def try_out(self, release: int, *, before_ms: float = 0.0, before_replay_ms: float = 0.0) -> None:
        """Remember that this release is about to be opened, unless it has stood its trial: one that takes the whole
        process with it leaves no other trace. PackageError, and never again, when it did that too often."""
        going_on = release == self._trial.release
        if release in (0, self._state.running) and not going_on:
            return
        trial = self._trial if going_on else Trial(release, 0, before_ms, before_replay_ms)
        if trial.starts >= _STARTS:
            why = f"the gateway died {trial.starts} times in a row as soon as it was opened"
            self.has_failed(release, why)
            raise PackageError(f"{self._model}@{release} is given up: {why}")
        self._write_trial(replace(trial, starts=trial.starts + 1))

    def has_lived(self, release: int) -> None:
        """Remember that opening it did not end the process, if it is the one on trial."""
        if release == self._trial.release:
            self._write_trial(replace(self._trial, starts=0))

    def has_passed(self, release: int) -> None:
        """Remember that it has stood its trial."""
        if release == self._trial.release:
            self._write_trial(Trial())

    def _check(self, package: Path, manifest: Manifest) -> None:
        if manifest.name != self._model:
            raise PackageError(f"{package} holds model {manifest.name!r}, this gateway runs {self._model!r}")
        if manifest.release < self._state.floor:
            raise PackageError(
                f"{package} is release {manifest.release}, below the floor of {self._state.floor} that a later release "
                f"set; it may not be gone back to"
            )
        if why := self._state.failed.get(str(manifest.release)):
            raise PackageError(f"{self._model}@{manifest.release} has failed on this gateway before: {why}")

    def _find(self, release: int) -> Stored | None:
        folder = self._folder / str(release)
        if not folder.is_dir():
            return None
        try:
            return Stored(folder, recheck(folder))
        except PackageError as exc:
            log.error("%s; removed from the model store", exc)
            self._remove(release)
            return None

    def _accept(self, package: Path, claimed: int) -> Stored:
        try:
            root = self._root.read_bytes()
        except OSError as exc:
            raise PackageError(
                f"no root of trust for model {self._model!r}: {self._root} cannot be read ({exc.strerror}); "
                f"`tidegate release` says where it put it"
            ) from exc
        folder = self._folder / str(claimed)
        manifest = accept(package, root=root, into=folder)
        if manifest.release != claimed:
            self._remove(claimed)
            raise PackageError(f"{package} was changed while it was verified")
        return Stored(folder, manifest)

    def _prune(self) -> None:
        """Keep the running release and the one before: a row of bad ones must not fill the disk."""
        for folder in self._folder.iterdir():
            if folder.is_dir() and folder.name not in (str(self._state.running), str(self._state.previous)):
                shutil.rmtree(folder, ignore_errors=True)

    def _remove(self, release: int) -> None:
        shutil.rmtree(self._folder / str(release), ignore_errors=True)

    def _read(self, cls: type[_S], name: str) -> _S:
        path = self._folder / name
        try:
            return parse(cls, json.loads(path.read_bytes()), where=str(path))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, RecursionError, ConfigError) as exc:
            # written atomically, so this is the disk's doing; the floor is learned again from the next release
            log.error("%s cannot be read (%s); starting with an empty one", path, exc)
            return cls()

    def _write_state(self, state: _State) -> None:
        self._write(_STATE, state)
        self._state = state

    def _write_trial(self, trial: Trial) -> None:
        if trial != self._trial:
            self._write(_TRIAL, trial)
            self._trial = trial

    def _write(self, name: str, content: _State | Trial) -> None:
        write_atomic(self._folder / name, (json.dumps(asdict(content), indent=1) + "\n").encode())
