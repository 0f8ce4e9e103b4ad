"""How the gateway is doing: the figures of a window, by release, for the health message, and of all its time."""

import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np

from edge.cameras.camera import Tally
from edge.loading import LoadedModel
from edge.machine import Condition, Machine
from edge.overview import Overview
from models.detections import Detections
from models.manifest import Manifest
from models.records import SCORE_BINS, CameraHealth, Challenge, Health
from models.tally import AnswerTally

CameraState = Literal["down", "stalled", "frozen", "dark", "ok", "ended"]
_WORST_FIRST: tuple[CameraState, ...] = get_args(CameraState)
_TEXT = 300  # characters of an error
_NOTHING = CameraHealth("", "")
_CLOCK_JUMP_S = 0.25  # between two looks: NTP slews a clock by 0.5 ms a second, and sets it when that won't do


@dataclass(frozen=True, slots=True)
class Standing:
    """What is counted elsewhere; fields as in Health, but `bytes_sent` since the process started."""

    spool_records: int = 0
    spool_bytes: int = 0
    spool_age_s: float = 0.0
    records_dropped: int = 0
    records_held: int = 0
    batches_refused: int = 0
    bytes_sent: int = 0
    messages_ignored: int = 0
    swaps: int = 0
    failed_release: str = ""
    challenge: Challenge | None = None


@dataclass(frozen=True, slots=True)
class _Who:
    """A release that answers; not the model itself, whose session must not be kept from going for a whole window."""

    label: str
    digest: str
    variant: str
    manifest: Manifest = field(compare=False)

    @classmethod
    def of(cls, model: LoadedModel) -> Self:
        return cls(model.label, model.digest, model.variant, model.manifest)


@dataclass(slots=True)
class _Figures:
    """One release's answers within a window; `began` is the clock's and the processor's time."""

    began: float
    began_cpu_s: float
    times_ms: "array[float]" = field(default_factory=lambda: array("f"))
    answers: AnswerTally = field(default_factory=AnswerTally)


@dataclass(slots=True)
class _Totals:
    """What the windows before this one add up to."""

    inferred: int = 0
    inference_s: float = 0.0
    errors: int = 0
    histogram: list[int] = field(default_factory=lambda: [0] * SCORE_BINS)
    classes: Counter[str] = field(default_factory=Counter)

    def add(self, figures: "_Figures", labels: tuple[str, ...]) -> None:
        self.inferred += len(figures.times_ms)
        self.inference_s += sum(figures.times_ms) / 1000
        self.histogram = [a + b for a, b in zip(self.histogram, figures.answers.histogram, strict=True)]
        self.classes.update(figures.answers.mix(labels))

    def copy(self) -> "_Totals":
        return replace(self, classes=Counter(self.classes))


@dataclass(slots=True)
class _Camera:
    """A camera's state and counts; `reported` are those of the windows before."""

    tally: Tally
    state: CameraState = "down"
    inferred: int = 0
    reported: CameraHealth = _NOTHING

    def health(self, name: str) -> CameraHealth:
        """Since the start."""
        tally = self.tally
        return CameraHealth(name, self.state, tally.seen, self.inferred, tally.skipped, tally.missed, tally.still)


class Vitals:
    """Collects from all cameras' threads; `cut` ends a window."""

    def __init__(
        self, model: str, *, machine: Machine | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model
        self._machine = machine or Machine(Path())
        self._clock = clock
        self._started = self._began = clock()
        self._began_cpu_s = time.process_time()
        self._lock = threading.Lock()
        self._figures: dict[_Who, _Figures] = {}
        self._cameras: dict[str, _Camera] = {}
        self._done = 0
        self._errors = 0
        self._last_error = ""
        self._totals = _Totals()
        self._window: tuple[Health, ...] = ()
        self._bytes_reported = 0
        self._configuration_refused = ""
        self._clock_offset_s: float | None = None
        self._clock_jumps = 0

    def add_camera(self, name: str) -> Tally:
        """A new camera's frame counts, for the camera to keep."""
        with self._lock:
            camera = self._cameras[name] = _Camera(Tally())
            return camera.tally

    def camera_is(self, name: str, state: CameraState) -> None:
        with self._lock:
            self._cameras[name].state = state

    @property
    def camera_state(self) -> CameraState:
        """The worst of all cameras'."""
        return min(self.camera_states, key=_WORST_FIRST.index, default="down")

    @property
    def camera_states(self) -> tuple[CameraState, ...]:
        """Each camera's, in the order in which they were added."""
        with self._lock:
            return tuple(camera.state for camera in self._cameras.values())

    def answered(self, model: LoadedModel, found: Detections, ms: float, *, camera: str = "") -> None:
        """A frame of that camera was inferred, in `ms` milliseconds."""
        with self._lock:
            who = _Who.of(model)
            figures = self._figures.get(who)
            if figures is None:
                figures = self._figures[who] = _Figures(self._clock(), time.process_time())
            figures.times_ms.append(ms)
            figures.answers.add(found)
            self._done += 1
            if camera:
                self._cameras[camera].inferred += 1

    def error(self, what: str) -> None:
        """Something went wrong that health should tell."""
        with self._lock:
            self._done += 1
            self._errors += 1
            self._last_error = what[:_TEXT]

    @property
    def configuration_refused(self) -> str:
        """Why the configuration given last is not the one in force; empty where it is."""
        return self._configuration_refused

    @configuration_refused.setter
    def configuration_refused(self, why: str) -> None:
        self._configuration_refused = why[:_TEXT]

    @property
    def done(self) -> int:
        """A number that changes while frames come to an end, whatever that is."""
        with self._lock:
            return self._done + sum(camera.tally.still for camera in self._cameras.values())

    def clocks(self, wall_s: float, steady_s: float) -> None:
        """What both clocks say now; to be told every few seconds, so that jumps of the wall clock are counted."""
        offset_s = wall_s - steady_s
        if self._clock_offset_s is not None and abs(offset_s - self._clock_offset_s) > _CLOCK_JUMP_S:
            self._clock_jumps += 1
        self._clock_offset_s = offset_s

    def cut(self, current: LoadedModel | None, standing: Standing, *, at_us: int) -> list[Health]:
        """End the window: a message for each release that answered in it, for the time in which it did; if none did,
        one for the current one. What is no release's own (cameras, errors, bytes) goes with the last."""
        condition = self._machine.look()
        with self._lock:
            began, self._began = self._began, self._clock()
            began_cpu_s, self._began_cpu_s = self._began_cpu_s, condition.cpu_s
            ended = self._began
            figures, self._figures = self._figures, {}
            errors, self._errors = self._errors, 0
            last_error, self._last_error = self._last_error, ""
            cameras = self._cameras_since_last_cut()
            for model, its in figures.items():
                self._totals.add(its, model.manifest.labels)
            self._totals.errors += errors
        if not figures and current is not None:
            figures[_Who.of(current)] = _Figures(began, began_cpu_s)
        whole = self._overall(condition, standing, at_us)
        # a release answers until the next one does
        starts = [(began, began_cpu_s), *((its.began, its.began_cpu_s) for its in list(figures.values())[1:])]
        ends = [*starts[1:], (ended, condition.cpu_s)]
        reports = [_describe(whole, model, its) for model, its in figures.items()] or [whole]
        reports = [
            replace(report, window_s=end - start, cpu_s=max(0.0, end_cpu_s - start_cpu_s))
            for report, (start, start_cpu_s), (end, end_cpu_s) in zip(reports, starts, ends, strict=True)
        ]
        seen = sum(camera.seen for camera in cameras)
        last = replace(
            reports[-1],
            frames_seen=max(0, seen - sum(report.frames_inferred for report in reports[:-1])),
            frames_skipped=sum(camera.skipped for camera in cameras),
            frames_missed=sum(camera.missed for camera in cameras),
            frames_still=sum(camera.still for camera in cameras),
            errors=errors,
            last_error=last_error,
            bytes_sent=max(0, standing.bytes_sent - self._bytes_reported),
            cameras=cameras,
            challenge=standing.challenge,
        )
        self._bytes_reported = standing.bytes_sent
        found = [*(replace(report, frames_seen=report.frames_inferred) for report in reports[:-1]), last]
        with self._lock:
            self._window = tuple(found)
        return found

    def overview(self, current: LoadedModel | None, standing: Standing, *, at_us: int) -> Overview:
        """Where it stands now; ends no window."""
        condition = self._machine.glance()
        with self._lock:
            window = self._window
            totals = self._totals.copy()
            for model, its in self._figures.items():
                totals.add(its, model.manifest.labels)
            totals.errors += self._errors
            last_error = self._last_error or (window[-1].last_error if window else "")
            cameras = tuple(camera.health(name) for name, camera in self._cameras.items())
        total = self._overall(condition, standing, at_us)
        if current is not None:
            total = _of(total, _Who.of(current))
        total = replace(
            total,
            window_s=self._clock() - self._started,
            frames_seen=sum(camera.seen for camera in cameras),
            frames_inferred=totals.inferred,
            frames_skipped=sum(camera.skipped for camera in cameras),
            frames_missed=sum(camera.missed for camera in cameras),
            frames_still=sum(camera.still for camera in cameras),
            p50_ms=window[-1].p50_ms if window else 0.0,
            p95_ms=window[-1].p95_ms if window else 0.0,
            cpu_s=condition.cpu_s,
            errors=totals.errors,
            last_error=last_error,
            score_histogram=tuple(totals.histogram),
            class_mix=dict(totals.classes),
            detections=sum(totals.histogram),
            bytes_sent=standing.bytes_sent,
            cameras=cameras,
            challenge=window[-1].challenge if window else None,
        )
        return Overview(window, total, totals.inference_s)

    def _overall(self, condition: Condition, standing: Standing, at_us: int) -> Health:
        return Health(
            at_us=at_us,
            window_s=0.0,
            model=self._model,
            release=0,
            digest="",
            variant="",
            memory_bytes=condition.memory_bytes,
            temperature_c=condition.temperature_c,
            throttled=condition.throttled,
            disk_free_bytes=condition.disk_free_bytes,
            camera_state=self.camera_state,
            spool_records=standing.spool_records,
            spool_bytes=standing.spool_bytes,
            spool_age_s=standing.spool_age_s,
            swaps=standing.swaps,
            failed_release=standing.failed_release[:_TEXT],
            records_dropped=standing.records_dropped,
            records_held=standing.records_held,
            batches_refused=standing.batches_refused,
            messages_ignored=standing.messages_ignored,
            clock_jumps=self._clock_jumps,
            configuration_refused=self._configuration_refused,
        )

    def _cameras_since_last_cut(self) -> tuple[CameraHealth, ...]:
        found = []
        for name, camera in self._cameras.items():
            before, now = camera.reported, camera.health(name)
            camera.reported = now
            found.append(
                CameraHealth(
                    name,
                    now.state,
                    seen=now.seen - before.seen,
                    inferred=now.inferred - before.inferred,
                    skipped=now.skipped - before.skipped,
                    missed=now.missed - before.missed,
                    still=now.still - before.still,
                )
            )
        return tuple(found)


def _describe(whole: Health, model: _Who, figures: _Figures) -> Health:
    p50, p95 = np.percentile(figures.times_ms, (50, 95)) if figures.times_ms else (0.0, 0.0)
    return replace(
        _of(whole, model),
        frames_inferred=len(figures.times_ms),
        p50_ms=float(p50),
        p95_ms=float(p95),
        score_histogram=tuple(figures.answers.histogram),
        class_mix=figures.answers.mix(model.manifest.labels),
        detections=figures.answers.detections,
    )


def _of(health: Health, model: _Who) -> Health:
    manifest = model.manifest
    return replace(health, model=manifest.name, release=manifest.release, digest=model.digest, variant=model.variant)
