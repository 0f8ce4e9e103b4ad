"""How much was seen in a window, by zone and class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge.analytics.sight import Moment, Thing
from edge.analytics.zones import Zone
from models.records import Aggregate

EVERYWHERE = ""
ALL_CLASSES = ""


@dataclass(slots=True)
class _Sum:
    detections: int = 0
    most: int = 0
    tracks: set[int] = field(default_factory=set)

    def add(self, things: Sequence[Thing]) -> None:
        self.detections += len(things)
        self.most = max(self.most, len(things))
        self.tracks.update(thing.track for thing in things if thing.sure)


class Aggregates:
    """Adds up the frames of a window; windows begin at whole multiples of their length in UTC.

    The first row of a window is of the whole picture and all classes, and comes whenever frames were looked at; the
    others, of a class in the whole picture or in a zone, come where something was found.
    """

    def __init__(self, length_s: float, *, camera: str) -> None:
        self._length_us = round(length_s * 1_000_000)
        self._camera = camera
        self._window = (0, "", 0)  # start in us, model, release
        self._frames = 0
        self._sums: dict[tuple[str, str], _Sum] = {}

    def see(self, moment: Moment, things: Sequence[Thing], zones: Mapping[str, Zone]) -> list[Aggregate]:
        """Add a frame that the zones have seen; the window before, if it is over.

        A window is over too when the clock jumps out of it or another release answers: two windows may begin at the
        same time, and are to be added up.
        """
        start_us = moment.captured_at_us // self._length_us * self._length_us
        window = (start_us, moment.model, moment.release)
        over = self.close() if window != self._window else []
        self._window = window
        self._frames += 1
        self._sum(EVERYWHERE, ALL_CLASSES).add(things)
        self._add(EVERYWHERE, things)
        for name, zone in zones.items():
            self._add(name, zone.there)
        return over

    def close(self) -> list[Aggregate]:
        """End the window now."""
        start_us, model, release = self._window
        frames, self._frames = self._frames, 0
        sums, self._sums = self._sums, {}
        return [
            Aggregate(
                camera=self._camera,
                start_us=start_us,
                length_s=self._length_us / 1_000_000,
                zone=zone,
                label=label,
                frames=frames,
                detections=total.detections,
                tracks=len(total.tracks),
                most=total.most,
                model=model,
                release=release,
            )
            for (zone, label), total in sorted(sums.items())
        ]

    def _add(self, zone: str, things: Sequence[Thing]) -> None:
        labels = {thing.label for thing in things}
        if len(labels) == 1:
            self._sum(zone, things[0].label).add(things)
            return
        for label in labels:
            self._sum(zone, label).add([thing for thing in things if thing.label == label])

    def _sum(self, zone: str, label: str) -> _Sum:
        total = self._sums.get((zone, label))
        if total is None:
            total = self._sums[zone, label] = _Sum()
        return total
