"""Pictures of events: the whole frame or a crop of what it is about, within a budget of bytes."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from edge.analytics.config import AnalyticsConfig, PictureKind
from edge.pictures import PART_BYTES, Corners, jpeg_of, new_picture_id, parts_of
from edge.privacy import conceal
from models.detections import Detections, UInt8
from models.records import MAX_PICTURE_PARTS, Aggregate, Event, PicturePart

log = logging.getLogger(__name__)

_DAY_S = 86_400
_SAVED_S = 3_600  # how much of the budget can be saved up
_AROUND = (0.25, 16.0)  # of a box's size, and at least so many pixels, on each side of a crop


class Snapshots:
    """One camera's. What the budget has no room for is not taken, and counted in `withheld`."""

    def __init__(
        self,
        config: AnalyticsConfig,
        *,
        camera: str,
        blur: tuple[str, ...] = (),
        part_bytes: int = PART_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Things of the classes in `blur` are made unrecognisable. `part_bytes` must fit a message of the uplink."""
        wanted = [(line.name, line.picture) for line in config.lines]
        wanted += [(zone.name, zone.picture) for zone in config.zones]
        self._wanted: dict[str, PictureKind] = {rule: kind for rule, kind in wanted if kind != "none"}
        self._config = config.pictures
        self._camera = camera
        self.blur = frozenset(blur)
        self._part_bytes = part_bytes
        self._clock = clock
        self._rate = config.pictures.daily_bytes / _DAY_S  # bytes a second
        self._saved = self._rate * _SAVED_S
        self._saved_at = clock()
        self._saves = True
        self._taken_at = float("-inf")
        self._last = (-1, "")  # the frame of the last snapshot, and its id
        self.withheld = 0

    def illustrate(
        self,
        image: UInt8,
        records: Sequence[Event | Aggregate],
        found: Detections,
        labels: tuple[str, ...],
        *,
        frame: int,
    ) -> tuple[Event | Aggregate | PicturePart, ...]:
        """The records of a frame, its events with the pictures that go with them, and these pictures behind them.

        `image` is the frame's and `found` all that was found in it, also what nothing is told of.
        """
        if not self._wanted or not records:
            return tuple(records)
        told: list[Event | Aggregate | PicturePart] = []
        pictures: list[PicturePart] = []
        for record in records:
            # who vanished left some frames ago, and is not in this picture
            if isinstance(record, Event) and record.frame == frame:
                record, parts = self.take(image, record, found, labels)
                pictures += parts
            told.append(record)
        return (*told, *pictures)

    def take(
        self, image: UInt8, event: Event, found: Detections, labels: tuple[str, ...]
    ) -> tuple[Event, list[PicturePart]]:
        """The event with the id of its picture, and the picture; or as it was, and nothing, where none is wanted or the
        budget has no room. All snapshots of a frame are one. `image` and `found` are of the event's frame."""
        kind = self._wanted.get(event.rule, "none")
        if kind == "crop" and not any(event.xyxy):
            kind = "snapshot"  # several things at once
        if kind == "none":
            return event, []
        if kind == "snapshot" and self._last[0] == event.frame:
            return replace(event, picture=self._last[1]), []
        if not self._has_room(alarm=event.alarm):
            self.withheld += 1
            return event, []
        height, width = image.shape[:2]
        area = _around(event.xyxy) if kind == "crop" else (0.0, 0.0, float(width), float(height))
        fit_to_leave = conceal(image, found, labels, blur=self.blur)
        quality, longest_px = self._config.quality, self._config.longest_px
        jpeg, xyxy = jpeg_of(fit_to_leave, area, quality=quality, longest_px=longest_px)
        if len(jpeg) > MAX_PICTURE_PARTS * self._part_bytes:  # through an uplink of very small messages
            self.withheld += 1
            return event, []
        self._saved -= len(jpeg)
        self._taken_at = self._saved_at
        picture = new_picture_id()
        if kind == "snapshot":
            self._last = (event.frame, picture)
        parts = parts_of(
            jpeg,
            picture=picture,
            camera=self._camera,
            frame=event.frame,
            at_us=event.at_us,
            kind=kind,
            xyxy=xyxy,
            part_bytes=self._part_bytes,
        )
        return replace(event, picture=picture), parts

    def _has_room(self, *, alarm: bool) -> bool:
        """Whether a picture may be taken now. One that is larger than what is left is paid for by those after it."""
        now = self._clock()
        self._saved = min(self._rate * _SAVED_S, self._saved + self._rate * (now - self._saved_at))
        self._saved_at = now
        if (self._saved > 0) != self._saves:
            self._saves = self._saved > 0
            daily = self._config.daily_bytes
            if self._saves:
                log.info("camera %s: there is room for pictures again", self._camera)
            else:
                log.warning("camera %s: pictures are withheld, its daily_bytes (%d) are used up", self._camera, daily)
        return self._saves and (alarm or now - self._taken_at >= self._config.gap_s)


def _around(xyxy: Corners) -> Corners:
    left, top, right, bottom = xyxy
    part, least = _AROUND
    dx, dy = max(least, (right - left) * part), max(least, (bottom - top) * part)
    return left - dx, top - dy, right + dx, bottom + dy
