"""How the gateway is doing: the figures of a window, by release, for the health message."""

import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from resource import RUSAGE_SELF, getpagesize, getrusage
from typing import Literal, get_args

import numpy as np

from edge.cameras.camera import Tally
from edge.loading import LoadedModel
from models.detections import Detections
from models.records import Health
from models.tally import AnswerTally

CameraState = Literal["down", "stalled", "frozen", "dark", "ok", "ended"]
_WORST_FIRST: tuple[CameraState, ...] = get_args(CameraState)
_TEXT = 300  # characters of an error


@dataclass(frozen=True, slots=True)
class Standing:
    """What is counted elsewhere; fields as in Health."""

    spool_records: int = 0
    spool_bytes: int = 0
    records_dropped: int = 0
    batches_refused: int = 0
    swaps: int = 0
    failed_release: str = ""


@dataclass(slots=True)
class _Figures:
    """One release's answers within a window."""

    began: float
    times_ms: "array[float]" = field(default_factory=lambda: array("f"))
    answers: AnswerTally = field(default_factory=AnswerTally)


class Vitals:
    """Collects from all cameras' threads; `cut` ends a window."""

    def __init__(self, model: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._figures: dict[LoadedModel, _Figures] = {}
        self._tallies: dict[str, Tally] = {}
        self._cameras: dict[str, CameraState] = {}
        self._reported = Tally()
        self._errors = 0
        self._last_error = ""

    def add_camera(self, name: str) -> Tally:
        """A new camera's frame counts, for the camera to keep."""
        with self._lock:
            self._cameras[name] = "down"
            self._tallies[name] = Tally()
            return self._tallies[name]

    def camera_is(self, name: str, state: CameraState) -> None:
        with self._lock:
            self._cameras[name] = state

    @property
    def camera_state(self) -> CameraState:
        """The worst of all cameras'."""
        with self._lock:
            return min(self._cameras.values(), key=_WORST_FIRST.index, default="down")

    def answered(self, model: LoadedModel, found: Detections, ms: float) -> None:
        """A frame was inferred, in `ms` milliseconds."""
        with self._lock:
            figures = self._figures.get(model)
            if figures is None:
                figures = self._figures[model] = _Figures(self._clock())
            figures.times_ms.append(ms)
            figures.answers.add(found)

    def error(self, what: str) -> None:
        """Something went wrong that health should tell."""
        with self._lock:
            self._errors += 1
            self._last_error = what[:_TEXT]

    def cut(self, current: LoadedModel | None, standing: Standing, *, at_us: int) -> list[Health]:
        """End the window: a message for each release that answered in it, for the time in which it did; if none did,
        one for the current one. What is no release's own (cameras, errors) goes with the last."""
        whole = self._overall(standing, at_us)
        with self._lock:
            began, self._began = self._began, self._clock()
            ended = self._began
            figures, self._figures = self._figures, {}
            errors, self._errors = self._errors, 0
            last_error, self._last_error = self._last_error, ""
            frames = self._frames_since_last_cut()
        if not figures and current is not None:
            figures[current] = _Figures(began)
        # a release answers until the next one does
        ends = [*[its.began for its in figures.values()][1:], ended]
        reports = [_describe(whole, model, its) for model, its in figures.items()] or [whole]
        reports = [
            replace(report, window_s=end - start)
            for report, start, end in zip(reports, [began, *ends[:-1]], ends, strict=True)
        ]
        last = replace(
            reports[-1],
            frames_seen=max(0, frames.seen - sum(report.frames_inferred for report in reports[:-1])),
            frames_skipped=frames.skipped,
            frames_missed=frames.missed,
            errors=errors,
            last_error=last_error,
        )
        return [*(replace(report, frames_seen=report.frames_inferred) for report in reports[:-1]), last]

    def _overall(self, standing: Standing, at_us: int) -> Health:
        return Health(
            at_us=at_us,
            window_s=0.0,
            model=self._model,
            release=0,
            digest="",
            variant="",
            memory_bytes=resident_bytes(),
            camera_state=self.camera_state,
            spool_records=standing.spool_records,
            spool_bytes=standing.spool_bytes,
            swaps=standing.swaps,
            failed_release=standing.failed_release[:_TEXT],
            records_dropped=standing.records_dropped,
            batches_refused=standing.batches_refused,
        )

    def _frames_since_last_cut(self) -> Tally:
        tallies = self._tallies.values()
        total = Tally(
            seen=sum(tally.seen for tally in tallies),
            skipped=sum(tally.skipped for tally in tallies),
            missed=sum(tally.missed for tally in tallies),
        )
        before, self._reported = self._reported, total
        return Tally(
            seen=total.seen - before.seen,
            skipped=total.skipped - before.skipped,
            missed=total.missed - before.missed,
        )


def _describe(whole: Health, model: LoadedModel, figures: _Figures) -> Health:
    p50, p95 = np.percentile(figures.times_ms, (50, 95)) if figures.times_ms else (0.0, 0.0)
    return replace(
        whole,
        model=model.manifest.name,
        release=model.manifest.release,
        digest=model.digest,
        variant=model.variant,
        frames_inferred=len(figures.times_ms),
        p50_ms=float(p50),
        p95_ms=float(p95),
        score_histogram=tuple(figures.answers.histogram),
        class_mix=figures.answers.mix(model.manifest.labels),
        detections=figures.answers.detections,
    )


def resident_bytes() -> int:
    """Memory of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()
    except OSError:  # not Linux: the peak is what there is
        return getrusage(RUSAGE_SELF).ru_maxrss * 1024
