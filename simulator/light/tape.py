"""The minute that light gateways replay: what a real gateway recorded of a real video (benchmarks/light_tape.py).

It is varied, so that gateways differ: each variation begins elsewhere in the minute, its boxes lie elsewhere, and its
scores are a little higher or lower. Each time that it comes round, its boxes and scores tremble anew: else a backlog of
many minutes would compress to a sixth of what real minutes take. Gateways of one variation record the same at the same
moment, and share it.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.detections import Detections
from models.errors import DataError, WireError
from models.health import SCORE_BINS
from models.records import BOX_SCALE, SCORE_SCALE, Aggregate, Event, FrameResult
from models.wire import decode_batch
from simulator.light.clock import START_US
from simulator.light.spool import spooled_bytes

MINUTE_S = 60.0
_TAPE = Path(__file__).with_name("minute.tg")
_SHIFT_PX = 24
_TREMBLING = 0.3  # of corners and scores; then ten minutes in one message take 2.4 B a detection, and one 3.1
_SINCE_BOOT_US = 86_400_000_000
_KEPT_ALARMS = 16
_KEPT_MINUTES = 3  # of each variation; older ones are held by whoever has them in its spool


@dataclass(frozen=True, slots=True)
class Tape:
    """Frames and events of a minute with their times in it, in seconds."""

    frames: tuple[tuple[float, FrameResult], ...]
    events: tuple[tuple[float, Event], ...]
    aggregates: tuple[Aggregate, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A stretch of a camera's results.

    `numbers` (n,) of its frames, and `times_s` (n,), when each was really captured, in simulated time, whatever the
    gateway's clock said. `scores` (SCORE_BINS,) and `labels` count their detections. `skipped` frames were not looked
    at.
    """

    frames: tuple[FrameResult, ...]
    numbers: npt.NDArray[np.int64]
    times_s: npt.NDArray[np.float64]
    events: tuple[tuple[float, Event], ...]
    aggregates: tuple[Aggregate, ...]
    detections: int
    scores: tuple[int, ...]
    labels: dict[str, int]
    spooled_bytes: int
    skipped: int = 0


@cache
def read_tape(path: Path = _TAPE) -> Tape:
    """The minute that ships with tidegate; DataError when the file is not what it should be."""
    try:
        batch = decode_batch(path.read_bytes())
    except (OSError, WireError) as exc:
        raise DataError(f"{path} cannot be read: {exc}; make it anew with `python -m benchmarks.light_tape`") from exc
    began_us = batch.frames[0][1].captured_at_us
    return Tape(
        tuple(((frame.captured_at_us - began_us) / 1e6, frame) for _, frame in batch.frames),
        tuple(((event.at_us - began_us) / 1e6, event) for _, event in batch.events),
        tuple(aggregate for _, aggregate in batch.aggregates),
    )


class Variation:
    """One way of replaying the tape, over and over: what is recorded in any stretch of simulated time.

    `fps`: frames a second, at most the tape's. Frames are numbered by the time since the start, so that a frame that
    was not recorded is a number that is missing.
    """

    def __init__(self, tape: Tape, number: int, *, fps: float, seed: int) -> None:
        rng = np.random.default_rng((seed, number))
        self.number, self._seed = number, seed
        self._tape_fps = len(tape.frames) / MINUTE_S
        every = max(1, round(self._tape_fps / fps))
        offset_s = float(rng.uniform(0, MINUTE_S)) if number else 0.0
        dx, dy = (rng.integers(-_SHIFT_PX, _SHIFT_PX + 1, 2) * BOX_SCALE / BOX_SCALE).tolist()
        brighter = float(rng.normal(0, 0.02))
        kept = sorted(((at - offset_s) % MINUTE_S, frame) for at, frame in _by_time(tape.frames[::every]))
        self._times = [at for at, _ in kept]
        self._frames = [_varied(frame, dx, dy, brighter) for _, frame in kept]
        self._events = sorted(
            (((at - offset_s) % MINUTE_S, event) for at, event in tape.events), key=lambda item: item[0]
        )
        self._aggregates = tape.aggregates
        self._minutes: dict[tuple[int, int, int], tuple[FrameResult, ...]] = {}
        self._stretches: dict[tuple[float, float, int, int, int], Recorded] = {}
        self._alarms: dict[tuple[float, int, int], tuple[Event, ...]] = {}
        self.frames_per_minute = len(kept)
        self.detections_per_minute = sum(len(frame.detections) for frame in self._frames)

    def alarms(self, after_s: float) -> float:
        """When the next alarm after a moment is, in simulated time."""
        alarms = [at for at, event in self._events if event.alarm]
        if not alarms:
            return float("inf")
        minute, within = divmod(after_s, MINUTE_S)
        index = bisect_right(alarms, within)
        return (minute + 1) * MINUTE_S + alarms[0] if index == len(alarms) else minute * MINUTE_S + alarms[index]

    def alarms_at(self, at_s: float, clock_us: int, release: int) -> Sequence[Event]:
        """The alarms of a moment that `alarms` named."""
        key = at_s, clock_us, release
        if key not in self._alarms:
            if len(self._alarms) >= _KEPT_ALARMS:
                del self._alarms[next(iter(self._alarms))]
            within = at_s % MINUTE_S
            self._alarms[key] = tuple(
                self._event(event, at_s, clock_us, release)
                for at, event in self._events
                if event.alarm and abs(at - within) < 1e-6
            )
        return self._alarms[key]

    def count(self, begin_s: float, end_s: float) -> int:
        """How many frames pass before the camera in (begin, end]."""
        return self._passed(end_s) - self._passed(begin_s)

    def _passed(self, at_s: float) -> int:
        minute, within = divmod(at_s, MINUTE_S)
        return int(minute) * len(self._times) + bisect_right(self._times, within)

    def stretch(self, begin_s: float, end_s: float, *, clock_us: int = 0, release: int = 1, every: int = 1) -> Recorded:
        """What is recorded in (begin, end], by a gateway whose clock is `clock_us` ahead, and which manages to look at
        one frame in `every`."""
        key = begin_s, end_s, clock_us, release, every
        if key not in self._stretches:
            if len(self._stretches) >= 2 * _KEPT_MINUTES:
                del self._stretches[next(iter(self._stretches))]
            self._stretches[key] = self._stretch(*key)
        return self._stretches[key]

    def _stretch(self, begin_s: float, end_s: float, clock_us: int, release: int, every: int) -> Recorded:
        frames: list[FrameResult] = []
        times: list[float] = []
        events: list[tuple[float, Event]] = []
        for minute in range(int(begin_s // MINUTE_S), int(end_s // MINUTE_S) + 1):
            start = minute * MINUTE_S
            first, last = (bisect_right(self._times, edge - start) for edge in (begin_s, end_s))
            frames += self._minute(minute, clock_us, release)[first:last]
            times += [start + at for at in self._times[first:last]]
            events += [
                (start + at, self._event(event, start + at, clock_us, release))
                for at, event in self._events
                if begin_s < start + at <= end_s
            ]
        passed = len(frames)
        frames, times = frames[::every], times[::every]
        scores = np.zeros(SCORE_BINS, np.int64)
        for frame in frames:
            bins = np.minimum((frame.detections.scores * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
            scores += np.bincount(bins, minlength=SCORE_BINS)
        labels: dict[str, int] = {}
        for label in chain.from_iterable(frame.labels for frame in frames):
            labels[label] = labels.get(label, 0) + 1
        return Recorded(
            tuple(frames),
            np.array([frame.frame for frame in frames], np.int64),
            np.array(times),
            tuple(events),
            self._aggregates_of(begin_s, end_s, clock_us, release),
            int(scores.sum()),
            tuple(scores.tolist()),
            labels,
            spooled_bytes(frames),
            passed - len(frames),
        )

    def _minute(self, minute: int, clock_us: int, release: int) -> tuple[FrameResult, ...]:
        key = minute, clock_us, release
        if key not in self._minutes:
            if len(self._minutes) >= _KEPT_MINUTES:
                del self._minutes[next(iter(self._minutes))]
            trembling = self._trembling(minute)
            self._minutes[key] = tuple(
                self._frame(frame, found, minute * MINUTE_S + at, clock_us, release)
                for at, frame, found in zip(self._times, self._frames, trembling, strict=True)
            )
        return self._minutes[key]

    def _trembling(self, minute: int) -> Iterator[Detections]:
        """Each frame's detections as they are in that minute: some corners a quarter pixel off, some scores by 1/255,
        in the order that the wire keeps, which is by score."""
        rng = np.random.default_rng((self._seed, self.number, minute))
        total = sum(len(frame.detections) for frame in self._frames)
        steps = rng.choice([-1, 0, 1], (total, 5), p=[_TREMBLING / 2, 1 - _TREMBLING, _TREMBLING / 2])
        begin = 0
        for frame in self._frames:
            found = frame.detections
            off = steps[begin : begin + len(found)].astype(np.float32)
            begin += len(found)
            scores = np.clip(found.scores + off[:, 4] / SCORE_SCALE, 0, 1)
            # what would overtake another stays: labels are in the same order
            scores = np.minimum.accumulate(scores) if len(scores) else scores
            xyxy = np.maximum(found.xyxy + off[:, :4] / BOX_SCALE, 0)
            yield Detections(xyxy, scores.astype(np.float32), found.class_ids, found.tracks)

    def _frame(self, frame: FrameResult, found: Detections, at_s: float, clock_us: int, release: int) -> FrameResult:
        at_us = int(at_s * 1e6)
        return FrameResult(
            frame.camera,
            round(at_s * self._tape_fps),
            START_US + at_us + clock_us,
            frame.model,
            release,
            found,
            frame.labels,
            _SINCE_BOOT_US + at_us,
        )

    def _event(self, event: Event, at_s: float, clock_us: int, release: int) -> Event:
        at_us = START_US + int(at_s * 1e6) + clock_us
        return replace(event, frame=round(at_s * self._tape_fps), at_us=at_us, release=release)

    def _aggregates_of(self, begin_s: float, end_s: float, clock_us: int, release: int) -> tuple[Aggregate, ...]:
        """Of each whole minute that ends in this stretch."""
        ended = range(int(begin_s // MINUTE_S), int(end_s // MINUTE_S))
        return tuple(
            replace(aggregate, start_us=START_US + int(minute * MINUTE_S * 1e6) + clock_us, release=release)
            for minute in ended
            for aggregate in self._aggregates
        )


def _by_time(frames: Sequence[tuple[float, FrameResult]]) -> list[tuple[float, FrameResult]]:
    return sorted(frames, key=lambda item: item[0])


def _varied(frame: FrameResult, dx: float, dy: float, brighter: float) -> FrameResult:
    found = frame.detections
    moved = np.maximum(found.xyxy + np.array([dx, dy, dx, dy], np.float32), 0)
    scores = np.clip(found.scores + brighter, 0.05, 0.995)
    varied = Detections(moved, scores.astype(np.float32), found.class_ids, found.tracks)
    return FrameResult.of(
        frame.camera, frame.frame, frame.captured_at_us * 1000, frame.model, frame.release, varied, frame.labels
    )
