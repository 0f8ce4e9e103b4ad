"""Being in a zone: entering, leaving, dwelling, and how many at once."""

import math
from dataclasses import dataclass

from edge.analytics.config import ZoneConfig
from edge.analytics.lines import MARGIN
from edge.analytics.sight import Moment, Place, Sight, Thing, tell
from edge.polygons import Polygon
from models.records import Event

_EDGE_PX = 0.5


class Area:
    """A polygon in a picture of a certain size. Where it crosses itself, the even-odd rule says what is inside."""

    def __init__(self, polygon: Polygon, size: tuple[int, int]) -> None:
        """`polygon` in parts of a picture of `size` (width, height)."""
        width, height = size
        corners = [(x * width, y * height) for x, y in polygon]
        self._edges = list(zip(corners, (*corners[1:], corners[0]), strict=True))

    def holds(self, point: Place) -> bool:
        """Whether a point, in pixels, is inside."""
        x, y = point
        inside = False
        for (x1, y1), (x2, y2) in self._edges:
            if (y1 > y) != (y2 > y) and x < x1 + (x2 - x1) * (y - y1) / (y2 - y1):
                inside = not inside
        return inside

    def distance(self, point: Place) -> float:
        """How far the point is from the nearest edge, pixels."""
        x, y = point
        nearest = math.inf
        for (x1, y1), (x2, y2) in self._edges:
            along, down = x2 - x1, y2 - y1
            squared = along * along + down * down
            part = ((x - x1) * along + (y - y1) * down) / squared if squared else 0.0
            part = min(max(part, 0.0), 1.0)
            nearest = min(nearest, math.hypot(x - x1 - part * along, y - y1 - part * down))
        return nearest


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
        self._area = Area(config.polygon, self._size)
        self._guests: dict[int, _Guest] = {}
        self._full = False
        self.there: list[Thing] = []  # all things that the frame seen last shows inside

    def see(self, sight: Sight) -> list[Event]:
        """What happened by a frame."""
        if sight.moment.size != self._size:
            self._size = sight.moment.size
            self._area = Area(self._config.polygon, self._size)
        self.there = []
        events = []
        for thing in sight.things:
            x, y = thing.anchor(self._config.anchor)
            # boxes that the picture cuts off end on its edge, and a zone that reaches there means them too
            point = (min(x, self._size[0] - _EDGE_PX), min(y, self._size[1] - _EDGE_PX))
            inside = self._area.holds(point)
            if inside:
                self.there.append(thing)
            if thing.sure:
                events += self._meet(sight.camera, sight.moment, thing, point, inside=inside)
        for track in sight.ended:
            if guest := self._guests.pop(track, None):
                events += self._part(sight.camera, guest)
        return events + self._count(sight)

    def _meet(self, camera: str, moment: Moment, thing: Thing, point: Place, *, inside: bool) -> list[Event]:
        guest = self._guests.get(thing.track)
        if guest is None:
            if not (inside and self._wants(thing)):
                return []
            self._guests[thing.track] = _Guest(moment.steady_s, moment, thing)
            return self._tell(camera, moment, "enter", thing, 0.0) if self._config.enter else []
        guest.moment, guest.thing = moment, thing
        # out is farther out than in: boxes tremble, and who stands on the edge would come and go with each frame
        inside = inside or self._area.distance(point) <= MARGIN * min(moment.size)
        if not (inside and self._wants(thing)):
            del self._guests[thing.track]
            return self._part(camera, guest)
        stayed_s = moment.steady_s - guest.since_s
        if self._config.dwell_s is None or guest.told or stayed_s < self._config.dwell_s:
            return []
        guest.told = True
        return self._tell(camera, moment, "dwell", thing, stayed_s)

    def _wants(self, thing: Thing) -> bool:
        return not self._labels or thing.label in self._labels

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
