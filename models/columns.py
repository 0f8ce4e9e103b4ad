"""A batch as columns: how records travel, and how the lake takes them. No object per frame, so that one worker can
take in a fleet's results."""

import re
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.detections import Detections, Int64
from models.records import MAX_NUMBER, MAX_TIME_US, Aggregate, Event, Health, PicturePart, Tombstone

_STREAM = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, eq=False)
class FrameColumns:
    """n frames in order of seq with their m detections, those of a frame following one another.

    int64 (n,): `seqs`; `camera` and `model`, indices into `cameras` and `models` (name, release); `numbers` of the
    frames; `captured_at_us`, UTC; `steady_us`, as in models.records.FrameResult; `counts`, the detections of each
    frame. `found`: the m detections; `label` int64 (m,), indices into `labels`.
    """

    seqs: Int64
    camera: Int64
    model: Int64
    numbers: Int64
    captured_at_us: Int64
    steady_us: Int64
    counts: Int64
    found: Detections
    label: Int64
    cameras: tuple[str, ...]
    models: tuple[tuple[str, int], ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        n, m = len(self.seqs), len(self.found)
        columns = (self.camera, self.model, self.numbers, self.captured_at_us, self.steady_us, self.counts)
        if any(len(column) != n for column in columns):
            raise ValueError("columns of frames differ in length")
        if len(self.label) != m or int(self.counts.sum()) != m:
            raise ValueError("columns of detections differ in length")
        _check_range("camera", self.camera, len(self.cameras) - 1)
        _check_range("model", self.model, len(self.models) - 1)
        _check_range("label", self.label, len(self.labels) - 1)
        _check_range("frame number", self.numbers, MAX_NUMBER - 1)
        _check_range("captured_at_us", self.captured_at_us, MAX_TIME_US)

    def __len__(self) -> int:
        return len(self.seqs)

    def where(self, keep: npt.NDArray[np.bool_]) -> "FrameColumns":
        """The frames that the mask (n,) keeps, with their detections."""
        rows = np.repeat(keep, self.counts)
        return replace(
            self,
            seqs=self.seqs[keep],
            camera=self.camera[keep],
            model=self.model[keep],
            numbers=self.numbers[keep],
            captured_at_us=self.captured_at_us[keep],
            steady_us=self.steady_us[keep],
            counts=self.counts[keep],
            found=self.found.where(rows),
            label=self.label[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Records first..last of a stream, without a gap: models.records.Batch, with its frames as columns."""

    stream: str
    first: int
    last: int
    frames: FrameColumns
    health: tuple[tuple[int, Health], ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    events: tuple[tuple[int, Event], ...] = ()
    aggregates: tuple[tuple[int, Aggregate], ...] = ()
    pictures: tuple[tuple[int, PicturePart], ...] = ()

    def __post_init__(self) -> None:
        if not _STREAM.fullmatch(self.stream):
            raise ValueError(f"stream must be 16 hex digits, got {self.stream!r}")
        seqs = [seq for items in (self.health, self.events, self.aggregates, self.pictures) for seq, _ in items]
        firsts = np.concatenate((self.frames.seqs, np.array(seqs + [x.first for x in self.tombstones], np.int64)))
        lasts = np.concatenate((self.frames.seqs, np.array(seqs + [x.last for x in self.tombstones], np.int64)))
        order = np.argsort(firsts, kind="stable")
        firsts, lasts = firsts[order], lasts[order]
        if len(firsts) == 0 or self.first < 1 or firsts[0] != self.first or lasts[-1] != self.last:
            raise ValueError(f"records must cover {self.first}..{self.last}")
        if np.any(lasts < firsts) or np.any(firsts[1:] != lasts[:-1] + 1):
            raise ValueError(f"records {self.first}..{self.last} must follow one another")

    def after(self, seq: int) -> "Columns":
        """The part that is newer than `seq`, which must be less than `last`."""
        if seq < self.first:
            return self
        return replace(
            self,
            first=seq + 1,
            frames=self.frames.where(self.frames.seqs > seq),
            health=tuple(item for item in self.health if item[0] > seq),
            tombstones=tuple(
                replace(stone, first=max(stone.first, seq + 1)) for stone in self.tombstones if stone.last > seq
            ),
            events=tuple(item for item in self.events if item[0] > seq),
            aggregates=tuple(item for item in self.aggregates if item[0] > seq),
            pictures=tuple(item for item in self.pictures if item[0] > seq),
        )


def no_frames() -> FrameColumns:
    """Of a batch that holds no frames."""
    none = np.zeros(0, np.int64)
    return FrameColumns(none, none, none, none, none, none, none, Detections.empty(), none, (), (), ())


def _check_range(name: str, values: Int64, limit: int) -> None:
    if len(values) and not (values.min() >= 0 and values.max() <= limit):
        raise ValueError(f"{name} must be in 0..{limit}, got {values.min()}..{values.max()}")
