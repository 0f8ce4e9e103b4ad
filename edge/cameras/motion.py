"""Whether a picture shows anything that the last one that was looked at did not."""

import cv2

from edge.cameras.glance import SIZE, glance
from edge.polygons import Polygon, cover
from models.detections import UInt8


class MotionGate:
    """Compares each picture with the last one that had moved, so that what moves slowly is seen too, once it has gone
    far enough. Arguments as in MotionConfig and CameraConfig; about 0.1 ms of CPU for a picture of 480p."""

    def __init__(self, *, threshold: float, area: float, regions: tuple[Polygon, ...] = ()) -> None:
        self._threshold = threshold
        self._mask = cover(regions, SIZE) if regions else None
        self._least = max(1, round(area * SIZE[0] * SIZE[1]))
        self._reference: UInt8 | None = None

    def moved(self, image: UInt8) -> bool:
        """Whether this picture (H, W, 3) is worth a look; the first one is."""
        now = glance(image)
        before = self._reference
        if before is not None and self._differing(before, now) < self._least:
            return False
        self._reference = now
        return True

    def _differing(self, before: UInt8, now: UInt8) -> int:
        # a lamp or an exposure changes all cells alike; saturated cells don't follow, and count if there are many
        lighter = cv2.mean(now)[0] - cv2.mean(before)[0]
        difference = cv2.absdiff(now, cv2.addWeighted(before, 1, before, 0, lighter))
        _, changed = cv2.threshold(difference, self._threshold, 255, cv2.THRESH_BINARY)
        if self._mask is not None:
            changed = cv2.bitwise_and(changed, self._mask)
        return int(cv2.countNonZero(changed))


class Stillness:
    """Which pictures to hold back: those that did not move, but never for longer than `every_s`."""

    def __init__(self, gate: MotionGate, *, every_s: float) -> None:
        self._gate = gate
        self._every_ns = int(every_s * 1e9)
        self._looked_ns: int | None = None

    def holds_back(self, image: UInt8, steady_ns: int) -> bool:
        """Whether this picture, taken at `steady_ns`, can go unlooked at."""
        moved = self._gate.moved(image)
        if not moved and self._looked_ns is not None and steady_ns - self._looked_ns < self._every_ns:
            return True
        self._looked_ns = steady_ns
        return False
