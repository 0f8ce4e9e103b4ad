"""What a camera's frames mean together: tracks, and what is told of them."""

from dataclasses import dataclass

import numpy as np

from edge.analytics.config import AnalyticsConfig
from edge.analytics.tracker import Tracker
from models.detections import Detections, Int64
from models.records import Aggregate, Event


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was taken and who looked at it: its number, UTC microseconds, seconds on a clock that never jumps,
    the picture's (width, height), the model and its release. `whole`: the model judges the picture as a whole (a
    classifier), so that there is nothing to follow."""

    number: int
    captured_at_us: int
    steady_s: float
    size: tuple[int, int]
    model: str
    release: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """All of a frame's detections, now with their tracks, in the order in which they came; their labels; and what is to
    be told beside them."""

    found: Detections
    labels: tuple[str, ...]
    records: tuple[Event | Aggregate, ...] = ()


class Analytics:
    """One camera's; sees its frames in order."""

    def __init__(self, config: AnalyticsConfig, *, camera: str) -> None:
        self._camera = camera
        self._tracker = Tracker(config.tracker) if config.track else None
        self._kinds: dict[str, int] = {}
        self._last: Moment | None = None

    def see(self, moment: Moment, found: Detections, labels: tuple[str, ...]) -> Seen:
        """Follow what was found, with one label for each, from the frame before to this one."""
        last, self._last = self._last or moment, moment
        if self._tracker is None or moment.whole:
            return Seen(found, labels)
        followed = self._tracker.follow(
            found,
            self._number(labels),
            frames=max(1, moment.number - last.number),
            seconds=max(0.0, moment.steady_s - last.steady_s),
        )
        tracked = Detections(found.xyxy, found.scores, found.class_ids, followed.tracks)
        return Seen(tracked, labels)

    def away(self) -> tuple[Event | Aggregate, ...]:
        """The camera ended or was away: nothing is followed from before to after."""
        if self._tracker is not None:
            self._tracker.end()
        self._last = None
        return ()

    def _number(self, labels: tuple[str, ...]) -> Int64:
        kinds = self._kinds
        return np.array([kinds.setdefault(label, len(kinds)) for label in labels], np.int64)
