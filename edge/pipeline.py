"""Frames through the model: the inference threads do nothing but infer.

    a reader per camera    picture -> the model's input, in a ring of buffers that are made once
    workers                the input -> the graph's outputs
    one finisher           outputs -> detections -> whoever wants them, in the order of each camera's frames

A frame is bound to the model that is current when it is fitted, so changing the model falls between two frames.
"""

import time
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

import numpy as np

from edge.active_model import ActiveModel
from edge.loading import LoadedModel
from models.detections import Detections, UInt8
from models.errors import ModelError
from models.fitting import Placement, fit, fit_into
from models.frame import Frame
from models.runner import Raw


class Finisher(Protocol):
    """Takes what became of a camera's frames, in their order, on one thread."""

    def answered(self, frame: Frame, model: LoadedModel, found: Detections, ms: float) -> None: ...

    def failed(self, frame: Frame, model: LoadedModel, why: ModelError) -> None: ...


@dataclass(slots=True, eq=False)
class _Job:
    """A frame under way."""

    lane: "Lane"
    ticket: int
    frame: Frame
    model: LoadedModel
    fitted: UInt8
    placement: Placement
    outcome: Raw | ModelError = field(default_factory=list)
    ms: float = 0.0

    def infer(self) -> None:
        started = time.perf_counter()
        try:
            self.outcome = self.model.runner.infer(self.fitted)
        except ModelError as exc:
            self.outcome = exc
        self.ms = (time.perf_counter() - started) * 1000

    def read(self) -> Detections:
        if isinstance(self.outcome, ModelError):
            raise self.outcome
        return self.model.runner.detections(self.outcome, self.placement)


class Pipeline:
    """Runs on threads that its owner starts: `work` on each of `workers`, `finish` on one."""

    def __init__(self, model: ActiveModel, *, workers: int = 1) -> None:
        self._active = model
        self._workers = workers
        self._ready: SimpleQueue[_Job | None] = SimpleQueue()
        self._inferred: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False

    def lane(self, finisher: Finisher) -> "Lane":
        """A camera's way in. Beside the frames that are inferred one waits, so that no worker does and nothing gets
        older than that, and one is finished."""
        return Lane(self._active, self._ready, finisher, fitted=self._workers + 1, depth=self._workers + 2)

    def work(self) -> None:
        """Infer what is ready, until `close`."""
        while (job := self._ready.get()) is not None and not self._closed:
            job.infer()
            job.lane.free(job.fitted)
            self._inferred.put(job)
        self._inferred.put(None)

    def finish(self) -> None:
        """Hand on what was inferred, until all workers have ended."""
        working = self._workers
        while working:
            job = self._inferred.get()
            if job is None:
                working -= 1
                continue
            for due in job.lane.in_order(job):
                self._finish(due)

    def close(self) -> None:
        """Let the threads end as soon as what is being inferred is finished. What still waits for that never is: drain
        the lanes first where it must be. No lane may submit any more."""
        self._closed = True
        for _ in range(self._workers):
            self._ready.put(None)

    def _finish(self, job: _Job) -> None:
        try:
            found = self._read(job)
        except ModelError as exc:
            # this frame could not be looked at; the next one perhaps can
            job.lane.finisher.failed(job.frame, job.model, exc)
        else:
            self._active.answered(job.model, job.ms)
            job.lane.finisher.answered(job.frame, job.model, found, job.ms)
        job.lane.done()

    def _read(self, job: _Job) -> Detections:
        """What the frame's model, or the one that steps in for it, sees; ModelError when there is none."""
        while True:
            try:
                return job.read()
            except ModelError as exc:
                job.model = self._active.failed(job.model, exc)
                job.fitted, job.placement = fit(job.frame.image, job.model.runner.spec)
                job.infer()


class Lane:
    """One camera's frames: submitted by one thread, finished in their order by another. At most `depth` are under way,
    `fitted` of them inferred or waiting for that."""

    def __init__(
        self,
        model: ActiveModel,
        ready: "SimpleQueue[_Job | None]",
        finisher: Finisher,
        *,
        fitted: int,
        depth: int,
    ) -> None:
        self.finisher = finisher
        self._active = model
        self._ready = ready
        self.depth = depth
        self._room: SimpleQueue[bool] = SimpleQueue()  # True: for one more frame; False: closed
        self._buffers: SimpleQueue[UInt8] = SimpleQueue()
        self._tickets = self._done = self._refused = 0
        self._due = 0
        self._closed = False
        self._early: dict[int, _Job] = {}
        for _ in range(depth):
            self._room.put(True)
        for _ in range(fitted):
            self._buffers.put(np.empty((0, 0, 3), np.uint8))

    def submit(self, frame: Frame) -> bool:
        """Fit this frame and let it be inferred, as soon as there is room for it; False once closed. Its picture must
        stay as it is until it is finished, or until `depth` more were submitted."""
        buffer = self._buffers.get() if self._room.get() else None
        if buffer is None or self._closed:
            self._room.put(False)
            self._refused += 1
            return False
        model = self._active.current
        assert model is not None, "ActiveModel.wait() comes first"
        spec = model.runner.spec
        if buffer.shape[:2] != (spec.height, spec.width):
            buffer = np.empty((spec.height, spec.width, 3), np.uint8)
        placement = fit_into(buffer, frame.image, spec)
        self._ready.put(_Job(self, self._tickets, frame, model, buffer, placement))
        self._tickets += 1
        return True

    def drain(self) -> bool:
        """Return when all that was submitted is finished, or False when the lane is closed before."""
        free = 0
        while free < self.depth and self._room.get():
            free += 1
        for _ in range(free):
            self._room.put(True)
        if free < self.depth:
            self._room.put(False)
        return free == self.depth

    def close(self) -> None:
        """Take no more frames; whoever waits to submit one is let go."""
        self._closed = True
        self._room.put(False)
        self._buffers.put(np.empty((0, 0, 3), np.uint8))

    @property
    def unfinished(self) -> int:
        """Frames that were offered and are not finished, or were not taken."""
        return self._tickets - self._done + self._refused

    def free(self, buffer: UInt8) -> None:
        """This picture was inferred."""
        self._buffers.put(buffer)

    def done(self) -> None:
        """A frame is finished."""
        self._done += 1
        self._room.put(True)

    def in_order(self, job: _Job) -> list[_Job]:
        """The frames that are due now that this one is inferred."""
        self._early[job.ticket] = job
        due = []
        while (first := self._early.pop(self._due, None)) is not None:
            due.append(first)
            self._due += 1
        return due
