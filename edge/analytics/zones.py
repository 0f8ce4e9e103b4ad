"""Being in a zone: entering, leaving, dwelling, and how many at once."""

import math
from dataclasses import dataclass

from edge.analytics.config import Point, ZoneConfig
from edge.analytics.lines import MARGIN
from edge.analytics.sight import Moment, Place, Sight, Thing, tell
from models.records import Event


class Area:
    """A polygon in a picture of a certain size."""

    def __init__(self, polygon: tuple[Place, ...]) -> None:
        """Corners in pixels."""
        xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
        self._box = min(xs), min(ys), max(xs), max(ys)
        self._edges = list(zip(polygon, (*polygon[1:], polygon[0]), strict=True))

    def depth(self, point: Place) -> float:
        """How far the point is inside, pixels, by the nearest edge; negative outside. Where the polygon crosses itself,
        the even-odd rule says what is inside."""
        x, y = point
        nearest = math.inf
        inside = False
        for (x1, y1), (x2, y2) in self._edges:
            along, down = x2 - x1, y2 - y1
            squared = along * along + down * down
            part = ((x - x1) * along + (y - y1) * down) / squared if squared else 0.0
            part = min(max(part, 0.0), 1.0)
            nearest = min(nearest, math.hypot(x - x1 - part * along, y - y1 - part * down))
            if (y1 > y) != (y2 > y) and x < x1 + along * (y - y1) / down:
                inside = not inside
        return nearest if inside else -nearest

    def holds(self, point: Place, *, slack: float = 0.0) -> bool:
        """Whether the point is inside, or outside by no more than `slack` pixels."""
        x, y = point
        left, top, right, bottom = self._box
        if not (left - slack <= x <= right + slack and top - slack <= y <= bottom + slack):
            return False  # for most, that settles it
        return self.depth(point) >= -slack


@dataclass(slots=True)
class _Guest:
    """A track inside: since when (steady seconds), when and where it was found last, whether its dwelling was told."""

    since_s: float
    moment: Moment
    thing: Thing
    told: bool = False


class Zone:
    """Tells "enter", "leave", "dwell" and "count" of a polygon, as configured."""

    def __init__(self, config: ZoneConfig) -> None:
        self._config = config
        self._labels = frozenset(config.labels)
        self._size = (1, 1)
        self._area = Area(_points(config.polygon, self._size))
        self._guests: dict[int, _Guest] = {}
        self._full = False

    def see(self, sight: Sight) -> list[Event]:
        """What happened by a frame."""
        self._fit(sight.moment.size)
        events = []
        for thing in sight.things:
            events += self._meet(sight.camera, sight.moment, thing)
        for track in sight.ended:
            if guest := self._guests.pop(track, None):
                events += self._part(sight.camera, guest)
        return events + self._count(sight)

    def holds(self, thing: Thing, size: tuple[int, int]) -> bool:
        """Whether a thing in a picture of `size` (width, height) is inside."""
        self._fit(size)
        return self._area.holds(thing.anchor(self._config.anchor))

    def _fit(self, size: tuple[int, int]) -> None:
        if size != self._size:
            self._size = size
            self._area = Area(_points(self._config.polygon, size))

    def _meet(self, camera: str, moment: Moment, thing: Thing) -> list[Event]:
        guest = self._guests.get(thing.track)
        wanted = not self._labels or thing.label in self._labels
        # out is farther out than in: boxes tremble, and who stands on the edge would come and go with each frame
        slack = MARGIN * min(moment.size) if guest else 0.0
        if not (wanted and self._area.holds(thing.anchor(self._config.anchor), slack=slack)):
            if guest is None:
                return []
            del self._guests[thing.track]
            guest.moment, guest.thing = moment, thing
            return self._part(camera, guest)
        if guest is None:
            self._guests[thing.track] = _Guest(moment.steady_s, moment, thing)
            return self._tell(camera, moment, "enter", thing, 0.0) if self._config.enter else []
        guest.moment, guest.thing = moment, thing
        stayed_s = moment.steady_s - guest.since_s
        if self._config.dwell_s is None or guest.told or stayed_s < self._config.dwell_s:
            return []
        guest.told = True
        return self._tell(camera, moment, "dwell", thing, stayed_s)

    def _part(self, camera: str, guest: _Guest) -> list[Event]:
        stayed_s = guest.moment.steady_s - guest.since_s
        return self._tell(camera, guest.moment, "leave", guest.thing, stayed_s) if self._config.leave else []

    def _count(self, sight: Sight) -> list[Event]:
        if self._config.count is None:
            return []
        was, self._full = self._full, len(self._guests) >= self._config.count
        if was or not self._full:
            return []
        return self._tell(sight.camera, sight.moment, "count", None, float(len(self._guests)))

    def _tell(self, camera: str, moment: Moment, kind: str, thing: Thing | None, value: float) -> list[Event]:
        alarm = kind in self._config.alarms
        return [tell(camera, moment, kind, self._config.name, thing, value=value, alarm=alarm)]


def _points(polygon: tuple[Point, ...], size: tuple[int, int]) -> tuple[Place, ...]:
    return tuple((x * size[0], y * size[1]) for x, y in polygon)
