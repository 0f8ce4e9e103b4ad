"""Crossing a line."""

import math

from edge.analytics.config import LineConfig
from edge.analytics.sight import Place, Sight, tell
from models.records import Event

MARGIN = 0.02  # of the picture's shorter side: who is nearer to a line is on neither side, for boxes tremble


def side_of(start: Place, end: Place, point: Place) -> float:
    """How far the point is from the line through both, pixels: positive on its right, looking from start to end."""
    # y grows downwards, which turns the sign of the usual cross product
    along, down = end[0] - start[0], end[1] - start[1]
    return (along * (point[1] - start[1]) - down * (point[0] - start[0])) / math.hypot(along, down)


def meets(start: Place, end: Place, before: Place, after: Place) -> bool:
    """Whether the way from before to after, which lie on different sides of the line, leads through between start and
    end and not past them."""
    far, near = side_of(start, end, before), side_of(start, end, after)
    part = far / (far - near)
    x, y = before[0] + part * (after[0] - before[0]), before[1] + part * (after[1] - before[1])
    along, down = end[0] - start[0], end[1] - start[1]
    return 0 <= (x - start[0]) * along + (y - start[1]) * down <= along * along + down * down


class Line:
    """Tells "line" for each track that crosses."""

    def __init__(self, config: LineConfig) -> None:
        self._config = config
        self._labels = frozenset(config.labels)
        self._last: dict[int, Place] = {}  # where a track was when it was clearly on one side

    def see(self, sight: Sight) -> list[Event]:
        """The crossings by a frame."""
        width, height = sight.moment.size
        margin = MARGIN * min(width, height)
        start = (self._config.start[0] * width, self._config.start[1] * height)
        end = (self._config.end[0] * width, self._config.end[1] * height)
        events = []
        for thing in sight.things:
            if not thing.track or (self._labels and thing.label not in self._labels):
                continue
            point = thing.anchor(self._config.anchor)
            side = side_of(start, end, point)
            if abs(side) < margin:
                continue
            before = self._last.get(thing.track)
            if before is not None and not thing.sure:
                continue  # once it is sure, it is told where it came from
            self._last[thing.track] = point
            if before is None or (side_of(start, end, before) > 0) == (side > 0):
                continue
            if meets(start, end, before, point):
                value, alarm = math.copysign(1.0, side), self._config.alarm
                events.append(
                    tell(sight.camera, sight.moment, "line", self._config.name, thing, value=value, alarm=alarm)
                )
        for track in sight.ended:
            self._last.pop(track, None)
        return events
