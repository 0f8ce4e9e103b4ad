"""What a camera's frames mean together: tracks, events and aggregates."""

from dataclasses import dataclass

from edge.analytics.aggregates import Aggregates
from edge.analytics.config import AnalyticsConfig
from edge.analytics.lines import Line
from edge.analytics.sight import Moment, Sight, Thing
from edge.analytics.tracker import Followed, Tracker
from edge.analytics.zones import Zone
from models.detections import Detections
from models.records import Aggregate, Event

_MOST_DETECTIONS = 300  # of a canonical graph in one frame

__all__ = ["Analytics", "Moment", "Seen"]


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
        self._config = config
        self._camera = camera
        self._tracker: Tracker | None = None
        self._lines = [Line(line) for line in config.lines]
        self._zones = {zone.name: Zone(zone) for zone in config.zones}
        self._aggregates = Aggregates(config.aggregate_s, camera=camera)
        self._kinds: dict[str, int] = {}
        self._labels: list[str] = []  # by kind
        self._last: Moment | None = None

    @property
    def named(self) -> frozenset[str]:
        """The classes that lines and zones name."""
        named = [line.labels for line in self._config.lines] + [zone.labels for zone in self._config.zones]
        return frozenset().union(*named)

    def see(self, moment: Moment, found: Detections, labels: tuple[str, ...]) -> Seen:
        """Follow what was found, with one label for each, from the frame before to this one, and tell what happened."""
        last, self._last = self._last or moment, moment
        kinds = self._number(labels)
        if moment.whole or not self._config.track:
            followed = Followed(found.tracks, (False,) * len(found), kinds)
        else:
            # no frame's number was there before, in no run of this gateway, and no frame starts more tracks than this
            tracker = self._tracker = self._tracker or Tracker(
                self._config.tracker, after=moment.number * _MOST_DETECTIONS % 2**62
            )
            followed = tracker.follow(
                found,
                kinds,
                frames=max(1, moment.number - last.number),
                seconds=max(0.0, moment.steady_s - last.steady_s),
            )
        tracked = Detections(found.xyxy, found.scores, found.class_ids, followed.tracks)
        return Seen(tracked, labels, self._tell(moment, tracked, followed))

    def followed(self) -> tuple[Detections, tuple[str, ...]]:
        """All that is followed, where it is believed to be in the frame that was seen last, also what the model has
        overlooked in it; and what it is by majority."""
        if self._tracker is None:
            return Detections.empty(), ()
        boxes, kinds = self._tracker.believed()
        found = Detections.of(boxes, [0.0] * len(boxes), kinds)
        return found, tuple(self._labels[kind] for kind in kinds)

    def away(self) -> tuple[Event | Aggregate, ...]:
        """The camera ended or was away: nothing is followed from before to after, and what was inside has left when it
        was seen last."""
        last, self._last = self._last, None
        if last is None:
            return ()
        ended = self._tracker.end() if self._tracker is not None else ()
        events = self._happened(Sight(self._camera, last, (), ended))
        return (*events, *self._aggregates.close())

    def _tell(self, moment: Moment, found: Detections, followed: Followed) -> tuple[Event | Aggregate, ...]:
        if not (self._lines or self._zones or self._config.aggregate_s):
            return ()
        things = tuple(
            Thing(track, self._labels[kind], score, (left, top, right, bottom), sure)
            for track, kind, score, (left, top, right, bottom), sure in zip(
                followed.tracks.tolist(),
                followed.kinds,
                found.scores.tolist(),
                found.xyxy.tolist(),
                followed.sure,
                strict=True,
            )
        )
        events = self._happened(Sight(self._camera, moment, things, followed.ended))
        if not self._config.aggregate_s:
            return tuple(events)
        return (*self._aggregates.see(moment, things, self._zones), *events)

    def _happened(self, sight: Sight) -> list[Event]:
        rules: tuple[Line | Zone, ...] = (*self._lines, *self._zones.values())
        return [event for rule in rules for event in rule.see(sight)]

    def _number(self, labels: tuple[str, ...]) -> tuple[int, ...]:
        for label in labels:
            if label not in self._kinds:
                self._kinds[label] = len(self._kinds)
                self._labels.append(label)
        return tuple(self._kinds[label] for label in labels)
