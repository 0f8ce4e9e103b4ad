"""What a gateway keeps in its spool and sends: a frame's result, an event, a window's health, or a tombstone.

`Record`s are numbered 1, 2, 3 ... within a stream.
"""

import math
import re
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.bounds import MAX_NUMBER, check_counts, check_moment
from models.detections import Detections
from models.health import Health

BOX_SCALE = 4  # quarter pixels
SCORE_SCALE = 255
MAX_PICTURE_PARTS = 4096
STREAM = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame's detections, also when there are none. `labels` has one entry per detection; boxes in pixels of
    the original frame. `steady_us` is the capture time on a clock that never jumps: only differences within a stream
    mean something; 0 where there is none. `of` rounds to what the wire keeps (1/4 px, 1/255, microseconds; best score
    first, of one score by track and class), so that what is recorded is what arrives."""

    camera: str
    frame: int
    captured_at_us: int
    model: str
    release: int
    detections: Detections
    labels: tuple[str, ...]
    steady_us: int = 0

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.detections):
            raise ValueError(f"{len(self.detections)} detections have {len(self.labels)} labels")
        check_moment(self.frame, self.captured_at_us)

    @classmethod
    def of(
        cls,
        camera: str,
        frame: int,
        captured_at_ns: int,
        model: str,
        release: int,
        found: Detections,
        labels: tuple[str, ...],
        *,
        steady_ns: int = 0,
    ) -> Self:
        """A result rounded to the wire's precision, in the wire's order."""
        scores = np.rint(np.minimum(np.maximum(found.scores, 0), 1) * SCORE_SCALE)
        order = np.lexsort((found.class_ids, found.tracks, -scores)).tolist()
        rounded = Detections(
            (np.rint(found.xyxy * BOX_SCALE) / BOX_SCALE).astype(np.float32, copy=False),
            (scores / SCORE_SCALE).astype(np.float32, copy=False),
            found.class_ids,
            found.tracks,
        )
        if order != list(range(len(order))):
            rounded = rounded.where(np.array(order))
            labels = tuple(labels[row] for row in order)
        captured_at_us = captured_at_ns // 1000
        # rounded together: two clocks in step stay in step, and their distance costs nothing on the wire
        steady_us = captured_at_us - (captured_at_ns - steady_ns) // 1000 if steady_ns else 0
        return cls(camera, frame, captured_at_us, model, release, rounded, labels, steady_us)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened before a camera, or to it, at frame `frame`.

    `kind`: "line" (a track crossed it; `value` is 1 from the line's left to its right, looking along it, else -1),
    "enter" and "leave" (of a zone; `value` of "leave" is the seconds spent in it), "dwell" (a track has been in a zone
    for `value` seconds), "count" (`value` things are in a zone at once), "camera" (`label` is its new state). `rule`
    names the line or zone in the configuration. `xyxy` in pixels of the original frame, all 0 where there is no box.
    An `alarm` is sent at once. `picture` is the id of the snapshot or crop that goes with it, else empty.
    """

    camera: str
    frame: int
    at_us: int
    kind: str
    rule: str
    label: str = ""
    track: int = 0
    value: float = 0.0
    alarm: bool = False
    score: float = 0.0
    xyxy: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    model: str = ""
    release: int = 0
    picture: str = ""

    def __post_init__(self) -> None:
        check_moment(self.frame, self.at_us)
        if not (0 <= self.track < MAX_NUMBER and 0 <= self.release < MAX_NUMBER):
            raise ValueError(f"track and release must be in 0..{MAX_NUMBER - 1}, got {self.track} and {self.release}")
        if not all(map(math.isfinite, (self.value, self.score, *self.xyxy))):
            raise ValueError(f"value, score and xyxy must be finite, got {self.value}, {self.score}, {self.xyxy}")


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What a camera showed of one class in one zone from `start_us` on for `length_s`; zone "" is the whole picture.

    Of `frames` frames looked at, all `detections` together, `tracks` different ones, and at most `most` in one frame.
    """

    camera: str
    start_us: int
    length_s: float
    zone: str
    label: str
    frames: int
    detections: int
    tracks: int
    most: int
    model: str = ""
    release: int = 0

    def __post_init__(self) -> None:
        check_moment(0, self.start_us)
        check_counts(self, ("length_s", "frames", "detections", "tracks", "most", "release"))


@dataclass(frozen=True, slots=True)
class PicturePart:
    """Part `part` of `parts` (0, 1 ...) of a JPEG that shows frame `frame` of a camera, or a crop of it.

    `picture` is its id, 16 hex digits; the parts of a picture follow one another in their stream. `kind`: "snapshot",
    "crop", or "disagreement" between the model and its challenger. `xyxy`: which pixels of the original frame it shows.
    """

    picture: str
    part: int
    parts: int
    camera: str
    frame: int
    at_us: int
    kind: str
    xyxy: tuple[float, float, float, float]
    data: bytes

    def __post_init__(self) -> None:
        check_moment(self.frame, self.at_us)
        if not STREAM.fullmatch(self.picture):
            raise ValueError(f"picture must be 16 hex digits, got {self.picture!r}")
        if not 0 <= self.part < self.parts <= MAX_PICTURE_PARTS:
            raise ValueError(f"need 0 <= part < parts <= {MAX_PICTURE_PARTS}, got {self.part} of {self.parts}")
        if not all(math.isfinite(edge) for edge in self.xyxy):
            raise ValueError(f"xyxy must be finite, got {self.xyxy}")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Records first..last of a stream are gone, and why."""

    first: int
    last: int
    reason: str


Record = FrameResult | Health | Event | Aggregate | PicturePart | Tombstone
