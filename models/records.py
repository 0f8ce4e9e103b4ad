"""What a gateway keeps in its spool and sends: a frame's result, a window's health, or a tombstone.

`Record`s are numbered 1, 2, 3 ... within a stream; a `Batch` is a contiguous run of them.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self, get_type_hints

import numpy as np

from models.detections import Detections

BOX_SCALE = 4  # quarter pixels
SCORE_SCALE = 255
SCORE_BINS = 10
MAX_PICTURE_PARTS = 4096
MAX_NUMBER = 2**63  # what int64 columns hold is below
MAX_TIME_US = 253_402_300_799_999_999  # the end of the year 9999: what every reader of the lake can show
_STREAM = re.compile(r"[0-9a-f]{16}")


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
        _check_moment(self.frame, self.captured_at_us)

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
        _check_moment(self.frame, self.at_us)
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
        _check_moment(0, self.start_us)
        _check_counts(self, ("length_s", "frames", "detections", "tracks", "most", "release"))


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
        _check_moment(self.frame, self.at_us)
        if not _STREAM.fullmatch(self.picture):
            raise ValueError(f"picture must be 16 hex digits, got {self.picture!r}")
        if not 0 <= self.part < self.parts <= MAX_PICTURE_PARTS:
            raise ValueError(f"need 0 <= part < parts <= {MAX_PICTURE_PARTS}, got {self.part} of {self.parts}")
        if not all(math.isfinite(edge) for edge in self.xyxy):
            raise ValueError(f"xyxy must be finite, got {self.xyxy}")


CAMERA_COUNTS = ("seen", "inferred", "skipped", "missed", "still", "failed", "pictures_withheld")


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """One camera within a window: its state ("ok", "down", "stalled", "frozen", "dark", "waiting" for the first model,
    "ended") and what became of its frames: each that was `seen` is `inferred`, `skipped` for want of time, `still`
    (held back, because nothing moved), `failed` (the model raised), or still under way. `missed` ones were never seen.
    `pictures_withheld`: of events, for which its budget had no room."""

    name: str
    state: str
    seen: int = 0
    inferred: int = 0
    skipped: int = 0
    missed: int = 0
    still: int = 0
    failed: int = 0
    pictures_withheld: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, CAMERA_COUNTS)


@dataclass(frozen=True, slots=True)
class Challenge:
    """How a second model, in shadow, compares with the running one in a window: `frames` seen by both, of which
    `agreed` (same classes, boxes at IoU >= 0.5), the detections of both, those that match, and both score
    histograms (SCORE_BINS bins over 0..1)."""

    model: str
    release: int
    digest: str
    frames: int = 0
    agreed: int = 0
    matched: int = 0
    ours: int = 0
    theirs: int = 0
    mean_iou: float = 0.0
    our_scores: tuple[int, ...] = (0,) * SCORE_BINS
    their_scores: tuple[int, ...] = (0,) * SCORE_BINS
    p50_ms: float = 0.0

    def __post_init__(self) -> None:
        _check_counts(self, ("release", "frames", "agreed", "matched", "ours", "theirs", "mean_iou", "p50_ms"))


@dataclass(frozen=True, slots=True)
class Health:
    """The gateway's account of one window with one release; fields and units as in tidegate.proto."""

    at_us: int
    window_s: float
    model: str
    release: int
    digest: str
    variant: str
    frames_seen: int = 0
    frames_inferred: int = 0
    frames_skipped: int = 0
    frames_missed: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    memory_bytes: int = 0
    errors: int = 0
    last_error: str = ""
    score_histogram: tuple[int, ...] = (0,) * SCORE_BINS
    class_mix: dict[str, int] = field(default_factory=dict)
    detections: int = 0
    camera_state: str = "ok"
    spool_records: int = 0
    spool_bytes: int = 0
    swaps: int = 0
    failed_release: str = ""
    records_dropped: int = 0
    batches_refused: int = 0
    frames_still: int = 0
    cpu_s: float = 0.0
    temperature_c: float = 0.0
    throttled: str = ""
    disk_free_bytes: int = 0
    spool_age_s: float = 0.0
    bytes_sent: int = 0
    records_held: int = 0
    messages_ignored: int = 0
    clock_jumps: int = 0
    cameras: tuple[CameraHealth, ...] = ()
    challenge: Challenge | None = None
    frames_failed: int = 0
    picture_parts_held: int = 0
    configuration_refused: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.at_us <= MAX_TIME_US:
            raise ValueError(f"at_us must be in 0..{MAX_TIME_US}, got {self.at_us}")
        _check_counts(self, _HEALTH_COUNTS)
        if not math.isfinite(self.temperature_c):
            raise ValueError(f"temperature_c must be finite, got {self.temperature_c}")


_HEALTH_COUNTS = tuple(
    name
    for name, kind in get_type_hints(Health).items()
    if kind in (int, float) and name not in ("at_us", "temperature_c")
)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Records first..last of a stream are gone, and why."""

    first: int
    last: int
    reason: str


Record = FrameResult | Health | Event | Aggregate | PicturePart | Tombstone


@dataclass(frozen=True, slots=True)
class Batch:
    """Records first..last of a stream, without a gap: each is one of its records or under a tombstone.

    `stream` is 16 hex digits. All but tombstones go with their seqs, in order.
    """

    stream: str
    first: int
    last: int
    frames: tuple[tuple[int, FrameResult], ...] = ()
    health: tuple[tuple[int, Health], ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    events: tuple[tuple[int, Event], ...] = ()
    aggregates: tuple[tuple[int, Aggregate], ...] = ()
    pictures: tuple[tuple[int, PicturePart], ...] = ()

    def __post_init__(self) -> None:
        if not _STREAM.fullmatch(self.stream):
            raise ValueError(f"stream must be 16 hex digits, got {self.stream!r}")
        numbered = (self.frames, self.health, self.events, self.aggregates, self.pictures)
        spans = [(seq, seq) for items in numbered for seq, _ in items]
        spans += [(stone.first, stone.last) for stone in self.tombstones]
        expected = self.first
        for first, last in sorted(spans):
            if first != expected or last < first:
                raise ValueError(
                    f"records {self.first}..{self.last} must follow one another, got {first} for {expected}"
                )
            expected = last + 1
        if not spans or self.first < 1 or expected != self.last + 1:
            raise ValueError(f"records must cover {self.first}..{self.last}, they end at {expected - 1}")

    def __len__(self) -> int:
        return self.last - self.first + 1

    def after(self, seq: int) -> "Batch":
        """The part of the batch that is newer than `seq`, which must be less than `last`."""
        return Batch(
            self.stream,
            max(self.first, seq + 1),
            self.last,
            tuple(item for item in self.frames if item[0] > seq),
            tuple(item for item in self.health if item[0] > seq),
            tuple(
                Tombstone(max(stone.first, seq + 1), stone.last, stone.reason)
                for stone in self.tombstones
                if stone.last > seq
            ),
            tuple(item for item in self.events if item[0] > seq),
            tuple(item for item in self.aggregates if item[0] > seq),
            tuple(item for item in self.pictures if item[0] > seq),
        )


def batch_of(stream: str, first: int, records: list[Record]) -> Batch:
    """A batch of records in order; a tombstone takes as many numbers as it covers."""
    frames: list[tuple[int, FrameResult]] = []
    health: list[tuple[int, Health]] = []
    events: list[tuple[int, Event]] = []
    aggregates: list[tuple[int, Aggregate]] = []
    pictures: list[tuple[int, PicturePart]] = []
    stones: list[Tombstone] = []
    seq = first
    for record in records:
        match record:
            case FrameResult():
                frames.append((seq, record))
            case Health():
                health.append((seq, record))
            case Event():
                events.append((seq, record))
            case Aggregate():
                aggregates.append((seq, record))
            case PicturePart():
                pictures.append((seq, record))
            case Tombstone():
                stones.append(record)
                seq = record.last
        seq += 1
    return Batch(
        stream,
        first,
        seq - 1,
        tuple(frames),
        tuple(health),
        tuple(stones),
        tuple(events),
        tuple(aggregates),
        tuple(pictures),
    )


def _check_moment(frame: int, at_us: int) -> None:
    if not (0 <= frame < MAX_NUMBER and 0 <= at_us <= MAX_TIME_US):
        raise ValueError(
            f"a frame's number and its time in us must be in 0..{MAX_NUMBER - 1} and 0..{MAX_TIME_US}, "
            f"got {frame} and {at_us}"
        )


def _check_counts(record: object, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(record, name)
        # nan too: whoever judges a roll-out by it would compare it with everything in vain
        if not 0 <= value < MAX_NUMBER:
            raise ValueError(f"{name} must be in 0..{MAX_NUMBER - 1}, got {value}")
