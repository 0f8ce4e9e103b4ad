"""A batch as columns: how records travel, and how the lake takes them. No object per frame, so that one worker can
take in a fleet's results."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import compress, pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from models.bounds import MAX_NUMBER, MAX_TIME_US
from models.detections import Detections, Int64
from models.health import Health
from models.records import PicturePart, Tombstone

_STREAM = re.compile(r"[0-9a-f]{16}")
Kind = TypeVar("Kind")


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

    def check(self) -> None:
        """For whoever reads them from a stranger: ValueError when lengths differ or a number is out of its range."""
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

    def split(self, frames: Int64, rows: Int64, cameras: Int64, models: Int64, labels: Int64) -> "list[FrameColumns]":
        """k batches that were laid end to end, each (k + 1,) array telling where theirs begin and the last ends."""
        bounds = [list(pairwise(bound.tolist())) for bound in (frames, rows, cameras, models, labels)]
        return [
            FrameColumns(
                seqs=self.seqs[first:end],
                camera=self.camera[first:end] - camera,
                model=self.model[first:end] - model,
                numbers=self.numbers[first:end],
                captured_at_us=self.captured_at_us[first:end],
                steady_us=self.steady_us[first:end],
                counts=self.counts[first:end],
                found=Detections(
                    self.found.xyxy[row:row_end],
                    self.found.scores[row:row_end],
                    self.found.class_ids[row:row_end],
                    self.found.tracks[row:row_end],
                ),
                label=self.label[row:row_end] - label,
                cameras=self.cameras[camera:camera_end],
                models=self.models[model:model_end],
                labels=self.labels[label:label_end],
            )
            for (first, end), (row, row_end), (camera, camera_end), (model, model_end), (label, label_end) in zip(
                *bounds, strict=True
            )
        ]


@dataclass(frozen=True, slots=True)
class Rows:
    """n records of one kind: their `seqs`, and by the name of a field, in the record's own order, its n values."""

    seqs: tuple[int, ...] = ()
    fields: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seqs)

    def where(self, keep: Callable[[int], bool]) -> "Rows":
        """The records whose seqs are to be kept."""
        kept = list(map(keep, self.seqs))
        if all(kept):
            return self
        return Rows(
            tuple(compress(self.seqs, kept)),
            {name: list(compress(values, kept)) for name, values in self.fields.items()},
        )

    def records(self, kind: Callable[..., Kind]) -> Iterator[tuple[int, Kind]]:
        """The records themselves, with their seqs."""
        values = zip(*self.fields.values(), strict=True)
        return ((seq, kind(*fields)) for seq, fields in zip(self.seqs, values, strict=True))


_NO_ROWS = Rows()


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Records first..last of a stream, without a gap: models.batch.Batch, of which what comes by the thousand is in
    columns. `events` and `aggregates` have the fields of models.records.Event and Aggregate."""

    stream: str
    first: int
    last: int
    frames: FrameColumns
    health: tuple[tuple[int, Health], ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    events: Rows = _NO_ROWS
    aggregates: Rows = _NO_ROWS
    pictures: tuple[tuple[int, PicturePart], ...] = ()

    def __post_init__(self) -> None:
        if not _STREAM.fullmatch(self.stream):
            raise ValueError(f"stream must be 16 hex digits, got {self.stream!r}")
        spans = [(seq, seq) for items in (self.health, self.pictures) for seq, _ in items]
        spans += [(seq, seq) for rows in (self.events, self.aggregates) for seq in rows.seqs]
        spans += [(stone.first, stone.last) for stone in self.tombstones]
        if spans and len(self.frames):
            spans += [(seq, seq) for seq in self.frames.seqs.tolist()]
        expected = self.first
        if spans:
            for first, last in sorted(spans):
                if first != expected or last < first:
                    raise ValueError(f"records {self.first}..{self.last} must follow one another, got {first}")
                expected = last + 1
        elif len(self.frames):
            seqs = self.frames.seqs  # in whatever order, as above
            ordered = seqs if np.all(seqs[1:] >= seqs[:-1]) else np.sort(seqs)
            if not np.array_equal(ordered, np.arange(self.first, self.first + len(seqs))):
                raise ValueError(f"records {self.first}..{self.last} must follow one another")
            expected += len(seqs)
        if self.first < 1 or expected != self.last + 1 or expected == self.first:
            raise ValueError(f"records must cover {self.first}..{self.last}")

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
            events=self.events.where(seq.__lt__),
            aggregates=self.aggregates.where(seq.__lt__),
            pictures=tuple(item for item in self.pictures if item[0] > seq),
        )


def no_frames() -> FrameColumns:
    """Of a batch that holds no frames."""
    return _NO_FRAMES


def _check_range(name: str, values: Int64, limit: int) -> None:
    if len(values) and not (values.min() >= 0 and values.max() <= limit):
        raise ValueError(f"{name} must be in 0..{limit}, got {values.min()}..{values.max()}")


_NONE = np.zeros(0, np.int64)
_NO_FRAMES = FrameColumns(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE, _NONE, Detections.empty(), _NONE, (), (), ())
