"""What a gateway keeps in its spool and sends: a frame's result, a window's health, or a tombstone.

`Record`s are numbered 1, 2, 3 ... within a stream; a `Batch` is a contiguous run of them.
"""

import re
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from models.detections import Detections

BOX_SCALE = 4  # quarter pixels
SCORE_SCALE = 255
SCORE_BINS = 10
MAX_NUMBER = 2**63  # what int64 columns hold is below
MAX_TIME_US = 253_402_300_799_999_999  # the end of the year 9999: what every reader of the lake can show
_STREAM = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class FrameResult:
    """One frame's detections, also when there are none. `labels` has one entry per detection; boxes in pixels of
    the original frame. `of` rounds to what the wire keeps (1/4 px, 1/255, microseconds), so that what is recorded
    is what arrives."""

    camera: str
    frame: int
    captured_at_us: int
    model: str
    release: int
    detections: Detections
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.detections):
            raise ValueError(f"{len(self.detections)} detections have {len(self.labels)} labels")
        if not (0 <= self.frame < MAX_NUMBER and 0 <= self.captured_at_us <= MAX_TIME_US):
            raise ValueError(
                f"frame and captured_at_us must be in 0..{MAX_NUMBER - 1} and 0..{MAX_TIME_US}, "
                f"got {self.frame} and {self.captured_at_us}"
            )

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
    ) -> Self:
        """A result rounded to the wire's precision."""
        rounded = Detections(
            (np.rint(found.xyxy * BOX_SCALE) / BOX_SCALE).astype(np.float32),
            (np.rint(np.clip(found.scores, 0, 1) * SCORE_SCALE) / SCORE_SCALE).astype(np.float32),
            found.class_ids,
            found.tracks,
        )
        return cls(camera, frame, captured_at_ns // 1000, model, release, rounded, labels)


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

    def __post_init__(self) -> None:
        if not 0 <= self.at_us <= MAX_TIME_US:
            raise ValueError(f"at_us must be in 0..{MAX_TIME_US}, got {self.at_us}")
        for name in Health.__dataclass_fields__:
            value = getattr(self, name)
            # nan too: whoever judges a roll-out by it would compare it with everything in vain
            if isinstance(value, int | float) and not 0 <= value < MAX_NUMBER:
                raise ValueError(f"{name} must be in 0..{MAX_NUMBER - 1}, got {value}")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Records first..last of a stream are gone, and why."""

    first: int
    last: int
    reason: str


Record = FrameResult | Health | Tombstone


@dataclass(frozen=True, slots=True)
class Batch:
    """Records first..last of a stream, without a gap: each is a frame, a health message, or under a tombstone.

    `stream` is 16 hex digits. `frames` and `health` go with their seqs, in order.
    """

    stream: str
    first: int
    last: int
    frames: tuple[tuple[int, FrameResult], ...] = ()
    health: tuple[tuple[int, Health], ...] = ()
    tombstones: tuple[Tombstone, ...] = ()

    def __post_init__(self) -> None:
        if not _STREAM.fullmatch(self.stream):
            raise ValueError(f"stream must be 16 hex digits, got {self.stream!r}")
        spans = [(seq, seq) for seq, _ in self.frames] + [(seq, seq) for seq, _ in self.health]
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
        )


def batch_of(stream: str, first: int, records: list[Record]) -> Batch:
    """A batch of records in order; a tombstone takes as many numbers as it covers."""
    frames: list[tuple[int, FrameResult]] = []
    health: list[tuple[int, Health]] = []
    stones: list[Tombstone] = []
    seq = first
    for record in records:
        match record:
            case FrameResult():
                frames.append((seq, record))
            case Health():
                health.append((seq, record))
            case Tombstone():
                stones.append(record)
                seq = record.last
        seq += 1
    return Batch(stream, first, seq - 1, tuple(frames), tuple(health), tuple(stones))
