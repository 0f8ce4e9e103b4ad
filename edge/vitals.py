"""How the gateway is doing: the figures of a window, by release, for the health message, and of all its time."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from edge.cameras.camera import Tally
from edge.figures import CameraCounts, CameraState, Figures, Mark, Totals, Who, add_up, tell, together
from edge.loading import LoadedModel
from edge.machine import Condition, Machine
from edge.overview import Overview
from models.detections import Detections
from models.errors import ModelError
from models.health import Challenge, Health

_WORST_FIRST: tuple[CameraState, ...] = get_args(CameraState)
_TEXT = 300  # characters of an error
_CLOCK_JUMP_S = 0.25  # between two looks: NTP slews a clock by 0.5 ms a second, and sets it when that won't do


@dataclass(frozen=True, slots=True)
class Standing:
    """What is counted elsewhere; fields as in Health, but `bytes_sent` since the process started."""

    spool_records: int = 0
    spool_bytes: int = 0
    spool_age_s: float = 0.0
    records_dropped: int = 0
    records_held: int = 0
    picture_parts_held: int = 0
    batches_refused: int = 0
    bytes_sent: int = 0
    messages_ignored: int = 0
    swaps: int = 0
    failed_release: str = ""
    challenge: Challenge | None = None


class Vitals:
    """Collects from all cameras' threads; `cut` ends a window."""

    def __init__(
        self, model: str, *, machine: Machine | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model
        self._machine = machine or Machine(Path())
        self._clock = clock
        self._lock = threading.Lock()
        self._cameras: dict[str, CameraCounts] = {}
        self._leaving: set[str] = set()
        self._left = together(())
        self._done = 0
        self._errors = 0
        self._last_error = ""
        self._began = Mark(clock(), time.process_time())
        self._started = self._began.at
        self._figures: dict[Who, Figures] = {}
        self._answering: tuple[Who, Figures] | None = None  # whose answer came last
        self._totals = Totals()
        self._window: tuple[Health, ...] = ()
        self._bytes_reported = 0
        self._configuration_refused = ""
        self._clock_offset_s: float | None = None
        self._clock_jumps = 0

    def add_camera(self, name: str) -> Tally:
        """A camera's frame counts, for the camera to keep; one that was there before goes on with its own."""
        with self._lock:
            self._leaving.discard(name)
            return self._cameras.setdefault(name, CameraCounts(Tally())).tally

    def remove_camera(self, name: str) -> None:
        """The camera is looked through no more, and is told of once more."""
        with self._lock:
            self._cameras[name].state = "ended"
            self._leaving.add(name)

    def camera_is(self, name: str, state: CameraState) -> None:
        with self._lock:
            self._cameras[name].state = state

    @property
    def camera_state(self) -> CameraState:
        """The worst of all cameras'."""
        return min(self.camera_states, key=_WORST_FIRST.index, default="waiting")

    @property
    def camera_states(self) -> tuple[CameraState, ...]:
        """Each camera's, in the order in which they were added."""
        with self._lock:
            return tuple(camera.state for camera in self._cameras.values())

    def answered(self, model: LoadedModel, found: Detections, ms: float, *, camera: str) -> None:
        """A frame of that camera was inferred, in `ms` milliseconds."""
        with self._lock:
            figures = self._figures_of(model)
            figures.times_ms.append(ms)
            figures.answers.add(found)
            figures.inferred[camera] += 1
            self._done += 1

    def failed(self, model: LoadedModel, why: ModelError, *, camera: str) -> None:
        """A frame of that camera could not be looked at, because the model raised."""
        with self._lock:
            self._figures_of(model).failed[camera] += 1
        self.error(str(why))

    def withheld(self, camera: str, pictures: int) -> None:
        """So many more pictures of that camera's events were withheld."""
        with self._lock:
            self._cameras[camera].pictures_withheld += pictures

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
        one for the current one. What no release can be asked about (bytes, the challenger) goes with the last; a
        challenger that answers by now with the one that it was compared with."""
        condition = self._machine.look()
        with self._lock:
            begin, end = self._began, self._mark(condition.cpu_s)
            figures = self._figures
            self._began, self._figures, self._answering = end, {}, None
            for who, its in figures.items():
                self._totals.add(its, who.manifest.labels)
            for name, camera in self._cameras.items():
                camera.inferred += sum(its.inferred.get(name, 0) for its in figures.values())
                camera.failed += sum(its.failed.get(name, 0) for its in figures.values())
        if not figures and current is not None:
            figures[Who.of(current)] = Figures(begin)
        told = tell(self._overall(condition, standing, at_us), figures, begin, end)
        bytes_sent = max(0, standing.bytes_sent - self._bytes_reported)
        told[-1] = replace(told[-1], bytes_sent=bytes_sent)
        if (challenge := standing.challenge) is not None:
            others = [
                index
                for index, one in enumerate(told)
                if (one.model, one.release) != (challenge.model, challenge.release)
            ]
            if others:
                told[others[-1]] = replace(told[others[-1]], challenge=challenge)
        self._bytes_reported = standing.bytes_sent
        with self._lock:
            self._window = tuple(told)
            self._forget_those_that_left()
        return told

    def overview(self, current: LoadedModel | None, standing: Standing, *, at_us: int) -> Overview:
        """Where it stands now; ends no window."""
        condition = self._machine.glance()
        with self._lock:
            window = self._window
            totals = self._totals.copy()
            for who, its in self._figures.items():
                totals.add(its, who.manifest.labels)
            errors, last_error = self._errors, self._last_error
            cameras = tuple(camera.by_now(name, self._figures.values()) for name, camera in self._cameras.items())
            left = self._left
        total = self._overall(condition, standing, at_us)
        if current is not None:
            total = Who.of(current).named_in(total)
        total = replace(
            add_up(total, (*cameras, left)),
            cameras=cameras,
            window_s=self._clock() - self._started,
            frames_inferred=totals.inferred,
            p50_ms=window[-1].p50_ms if window else 0.0,
            p95_ms=window[-1].p95_ms if window else 0.0,
            cpu_s=condition.cpu_s,
            errors=errors,
            last_error=last_error,
            score_histogram=tuple(totals.histogram),
            class_mix=dict(totals.classes),
            detections=sum(totals.histogram),
            bytes_sent=standing.bytes_sent,
            challenge=window[-1].challenge if window else None,
        )
        return Overview(window, total, totals.inference_s)

    def _forget_those_that_left(self) -> None:
        left = (self._cameras.pop(name).by_now(name) for name in self._leaving)
        self._left = together((self._left, *left))
        # one of the same name that comes later counts from nothing
        stay = tuple(camera for camera in self._began.cameras if camera.name not in self._leaving)
        self._began = replace(self._began, cameras=stay)
        self._leaving.clear()

    def _figures_of(self, model: LoadedModel) -> Figures:
        answering = self._answering
        if answering is not None and answering[0].is_of(model):
            return answering[1]
        who = Who.of(model)
        figures = self._figures.get(who)
        if figures is None:
            figures = self._figures[who] = Figures(self._mark(time.process_time()))
        self._answering = who, figures
        return figures

    def _mark(self, cpu_s: float) -> Mark:
        cameras = tuple(camera.by_now(name) for name, camera in self._cameras.items())
        return Mark(self._clock(), cpu_s, self._errors, self._last_error, cameras)

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
            picture_parts_held=standing.picture_parts_held,
            batches_refused=standing.batches_refused,
            messages_ignored=standing.messages_ignored,
            clock_jumps=self._clock_jumps,
            configuration_refused=self._configuration_refused,
        )
