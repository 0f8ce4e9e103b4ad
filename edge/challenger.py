"""A second model in shadow: it sees every k-th frame that the running one saw, and what it says goes nowhere but into
the comparison of the two.

k follows from a budget: the challenger takes at most `cpu_share` of a core, whatever it costs on this device.
"""

import logging
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from edge.active_model import ActiveModel
from edge.analytics.analytics import Moment
from edge.background import step_behind
from edge.candidates import Candidates, Disagreement
from edge.loading import LoadedModel
from models.agreement import Agreement, Sight, compare, sight
from models.detections import Detections, UInt8
from models.errors import ModelError
from models.health import Challenge
from models.records import PicturePart
from models.tally import AnswerTally

log = logging.getLogger(__name__)

_TIMES = 512


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    camera: str
    moment: Moment
    image: UInt8
    ours: Sight
    classes: Sequence[str]  # that the running model knows
    followed: Sight


@dataclass(slots=True)
class _Figures:
    """Of one window and one challenger, which must be free to go meanwhile."""

    model: str
    release: int
    digest: str
    frames: int = 0
    agreed: int = 0
    matched: int = 0
    iou_sum: float = 0.0
    ours: AnswerTally = field(default_factory=AnswerTally)
    theirs: AnswerTally = field(default_factory=AnswerTally)
    times_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_TIMES))

    @classmethod
    def of(cls, model: LoadedModel) -> Self:
        return cls(model.manifest.name, model.manifest.release, model.digest)

    def is_of(self, model: LoadedModel) -> bool:
        return (self.release, self.digest) == (model.manifest.release, model.digest)

    def add(self, ours: Sight, theirs: Sight, agreement: Agreement, ms: float) -> None:
        self.frames += 1
        self.agreed += agreement.left_over is None
        self.matched += len(agreement.ious)
        self.iou_sum += sum(agreement.ious)
        self.ours.add(ours.found)
        self.theirs.add(theirs.found)
        self.times_ms.append(ms)

    def challenge(self) -> Challenge:
        return Challenge(
            model=self.model,
            release=self.release,
            digest=self.digest,
            frames=self.frames,
            agreed=self.agreed,
            matched=self.matched,
            ours=self.ours.detections,
            theirs=self.theirs.detections,
            mean_iou=self.iou_sum / self.matched if self.matched else 0.0,
            our_scores=tuple(self.ours.histogram),
            their_scores=tuple(self.theirs.histogram),
            p50_ms=statistics.median(self.times_ms) if self.times_ms else 0.0,
        )


class Challenger:
    """Looks with `model`, of which somebody takes care. `consider` is for the thread that finishes frames, `run` for
    one of its own, the rest for anybody."""

    def __init__(
        self,
        model: ActiveModel,
        *,
        cpu_share: float,
        candidates: Candidates | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model = model
        self._cpu_share = cpu_share
        self._candidates = candidates
        self._clock = clock
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._task: _Task | None = None
        self._closed = False
        self._rests_until = 0.0
        self._image: UInt8 = np.empty((0, 0, 3), np.uint8)
        self._figures: _Figures | None = None
        self._worst: Disagreement | None = None
        self._unfit: tuple[int, str] | None = None  # release and digest
        self._trouble = ""

    @property
    def idle(self) -> bool:
        """Whether no frame is being looked at."""
        return self._task is None

    def consider(
        self,
        moment: Moment,
        image: UInt8,
        found: Detections,
        labels: Sequence[str],
        *,
        camera: str,
        followed: Callable[[], tuple[Detections, tuple[str, ...]]] = lambda: (Detections.empty(), ()),
    ) -> None:
        """Let the challenger look at a frame too, if it has nothing to do and its budget allows; the picture is copied.

        `found` is all that the running model saw, whose classes are called `labels`; `followed` gives what is followed
        there, also where it was overlooked in just this frame, and its labels.
        """
        # read without the lock: a frame sooner or later does not matter
        if self._task is not None or self._clock() < self._rests_until or self._closed:
            return
        model = self.model.current
        if model is None or self._unfit == (model.manifest.release, model.digest):
            return
        if self._image.shape != image.shape:
            self._image = np.empty_like(image)
        np.copyto(self._image, image)
        with self._work:
            self._task = _Task(camera, moment, self._image, sight(found, labels), labels, Sight(*followed()))
            self._work.notify()

    def run(self) -> None:
        """Compare what was considered, until `close`."""
        step_behind()
        while True:
            with self._work:
                self._work.wait_for(lambda: self._task is not None or self._closed)
                task = self._task
            if task is None or self._closed:
                return
            started = time.thread_time()
            self._look(task)
            self._rests_until = self._clock() + (time.thread_time() - started) / self._cpu_share
            self._task = None

    def close(self) -> None:
        """Let `run` return, in a process that ends in order."""
        with self._work:
            self._closed = True
            self._work.notify()
        self.model.close()

    def report(self) -> Challenge | None:
        """How the two compared since the last call; None while there is no challenger."""
        model = self.model.current
        with self._lock:
            figures, self._figures = self._figures, None
        if figures is not None:
            return figures.challenge()
        return _Figures.of(model).challenge() if model is not None else None

    def candidate(self) -> list[PicturePart]:
        """A picture of the frame on which the two differed most since the last call, if they did, and if pictures are
        wanted."""
        with self._lock:
            worst, self._worst = self._worst, None
        return self._candidates.picture(worst) if worst is not None and self._candidates is not None else []

    def trouble(self) -> str:
        """What broke it since the last call, or ""."""
        trouble, self._trouble = self._trouble, ""
        return trouble

    def _look(self, task: _Task) -> None:
        model = self.model.current
        if model is None:
            return
        started = time.thread_time()
        try:
            found = model.runner.run(task.image)
        except ModelError as exc:
            # what is only watched is not worth trying again
            self._unfit = model.manifest.release, model.digest
            self._trouble = f"challenger {model.label} failed: {exc}"
            self.model.failed_release = f"{model.label}: {exc}"
            log.error("%s", self._trouble)
            return
        ms = (time.thread_time() - started) * 1000
        self.model.answered(model, ms)
        theirs = sight(found, model.manifest.labels)
        agreement = compare(task.ours, theirs)
        doubt = agreement.left_over
        with self._lock:
            if self._figures is None or not self._figures.is_of(model):
                self._figures = _Figures.of(model)
            self._figures.add(task.ours, theirs, agreement, ms)
            if (
                doubt is not None
                and self._candidates is not None
                and self._candidates.may_leave(task.camera, {*task.classes, *model.manifest.labels})
                and (self._worst is None or doubt > self._worst.doubt)
            ):
                self._worst = Disagreement(
                    task.camera,
                    task.moment,
                    task.image.copy(),  # the next frame goes where this one is
                    task.ours,
                    theirs,
                    (model.manifest.name, model.manifest.release),
                    task.followed,
                    doubt,
                )
