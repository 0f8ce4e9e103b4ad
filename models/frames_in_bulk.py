"""Frames of many messages of version 2 (frames_by_track.py), read together: a message has a few hundred numbers in each
column, so that numpy's calls would cost more than its work.

The messages' columns are laid end to end; whatever begins anew with a message (differences, indices) is counted on from
where the message's own begin.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models import tidegate_pb2 as pb
from models.bounds import MAX_NUMBER
from models.columns import FrameColumns
from models.detections import Detections, Int64
from models.grouped import Groups, undelta_by
from models.quantised import boxes_of, label_of, scores_of

_MAX_PRODUCT = 2**62


def read_frames_in_bulk(batches: Sequence[tuple[pb.Batch, int]]) -> list[FrameColumns]:
    """The frames of each batch, given with the record it begins with; ValueError when any makes no sense, or their
    scales differ: read fewer together, or one.

    The detections of a frame come best score first; of one score by track, then class.
    """
    if not batches:
        return []
    messages = [message for message, _ in batches]
    parts = [message.frames for message in messages]
    cameras, models = _Laid([len(x.cameras) for x in messages]), _Laid([len(x.models) for x in messages])
    frames = _Laid([len(part.camera) for part in parts])
    steps, captured, seqs = (_column(parts, name, frames) for name in ("frame", "captured_at_us", "seq"))
    camera, model = (_column(parts, name, frames) for name in ("camera", "model"))
    _check_index("camera", camera, cameras.sizes[frames.part])
    _check_index("model", model, models.sizes[frames.part])
    camera_at, model_at = camera + cameras.begins[frames.part], model + models.begins[frames.part]
    period_us = _column(parts, "period_us", cameras)  # every camera has one
    by_camera = Groups(camera_at)
    following = np.empty_like(by_camera.starts)
    following[by_camera.order] = ~by_camera.starts
    if int(period_us.max(initial=0)) * largest(steps[following]) >= _MAX_PRODUCT:
        raise ValueError(f"a period times a difference of frames must be below {_MAX_PRODUCT} us")
    captured_at_us = undelta_by(captured + np.where(following, period_us[camera_at] * steps, 0), by_camera)
    lines = _lines(parts, cameras, camera_at, by_camera)
    found, frame, class_ids = _detections(messages, parts, lines)
    labels, label, label_begins = _labels(messages, models, model_at[frame], class_ids)
    whole = FrameColumns(
        seqs=_cumsum(seqs, frames) + np.repeat(np.array([first for _, first in batches], np.int64), frames.sizes),
        camera=camera_at,
        model=model_at,
        numbers=undelta_by(steps, by_camera),
        captured_at_us=captured_at_us,
        steady_us=_steady(parts, frames, captured_at_us, by_camera),
        counts=np.bincount(frame, minlength=len(camera)),
        found=found,
        label=label,
        cameras=tuple(name for message in messages for name in message.cameras),
        models=tuple((item.name, item.release) for message in messages for item in message.models),
        labels=labels,
    )
    whole.check()
    rows = np.concatenate(([0], np.cumsum(whole.counts)))[frames.bounds]
    return whole.split(frames.bounds, rows, cameras.bounds, models.bounds, label_begins)


def largest(values: Int64) -> int:
    """Without a sign; numpy's own overflows for the smallest of all."""
    return max(-int(values.min(initial=0)), int(values.max(initial=0)))


class _Laid:
    """Columns of these lengths laid end to end: where each begins, and of which one an entry is."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = np.array(sizes, np.int64)
        self.bounds = np.concatenate(([0], np.cumsum(self.sizes)))
        self.begins = self.bounds[:-1]
        self.part = np.repeat(np.arange(len(sizes)), self.sizes)


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Of m rows, a line's after each other: which frame, track and class; `starts`: each line's first row, `lengths`
    how many it has; `part` (lines,): whose they are."""

    frame: Int64
    tracks: Int64
    class_ids: Int64
    starts: Int64
    lengths: Int64
    laid: _Laid


def _column(parts: Sequence[pb.FramesByTrack], name: str, laid: _Laid) -> Int64:
    """A column of all messages, which must be as long as is said of each."""
    columns = [np.asarray(getattr(part, name)) for part in parts]
    if [len(column) for column in columns] != laid.sizes.tolist():
        raise ValueError(f"column {name} has {[len(column) for column in columns]} numbers, not {laid.sizes.tolist()}")
    # protobuf hands its columns over as arrays; a uint64 is wrapped around without a word
    joined: Int64 = np.concatenate(columns, dtype=np.int64, casting="same_kind")
    if columns[0].dtype == np.uint64 and joined.min(initial=0) < 0:
        raise ValueError(f"numbers must be below {MAX_NUMBER}, got {int(joined.min()) % 2**64}")
    return joined


def _check_index(name: str, index: Int64, sizes: Int64) -> None:
    wrong = np.flatnonzero(index >= sizes)
    if len(wrong):
        raise ValueError(f"{name} {index[wrong[0]]} of {sizes[wrong[0]]}")


def _cumsum(steps: Int64, laid: _Laid) -> Int64:
    """Summed up within each message."""
    total = np.concatenate((np.zeros(1, np.int64), np.cumsum(steps)))
    sums: Int64 = total[1:] - total[laid.begins][laid.part]
    return sums


def _totals(values: Int64, laid: _Laid) -> Int64:
    total = np.concatenate((np.zeros(1, np.int64), np.cumsum(values)))[laid.bounds]
    return np.diff(total)


def _steady(parts: Sequence[pb.FramesByTrack], frames: _Laid, captured_at_us: Int64, by_camera: Groups) -> Int64:
    sizes = [len(part.clock_offset_us) for part in parts]
    if not any(sizes):
        return np.zeros_like(captured_at_us)
    if any(size not in (0, count) for size, count in zip(sizes, frames.sizes.tolist(), strict=True)):
        raise ValueError("clock offsets are for every frame or for none")
    told = np.repeat(np.array(sizes, np.int64) > 0, frames.sizes)
    offsets = np.zeros_like(captured_at_us)
    offsets[told] = np.concatenate([np.asarray(part.clock_offset_us) for part in parts])
    return np.where(told, captured_at_us - undelta_by(offsets, by_camera), 0)


def _lines(parts: Sequence[pb.FramesByTrack], cameras: _Laid, camera: Int64, by_camera: Groups) -> _Lines:
    lines = _Laid([len(part.line_camera) for part in parts])
    runs_of_line, tracks = _column(parts, "runs", lines), _cumsum(_column(parts, "track", lines), lines)
    line_camera, class_ids = _column(parts, "line_camera", lines), _column(parts, "class_id", lines)
    runs = _Laid([len(part.start) for part in parts])
    between, lengths = _column(parts, "start", runs), _column(parts, "length", runs) + 1
    # lengths are compared before anything is repeated so many times
    if runs_of_line.min(initial=1) < 1 or np.any(_totals(runs_of_line, lines) != runs.sizes):
        raise ValueError("a line has at least one run, and every run a start and a length")
    if _totals(lengths, runs).tolist() != [len(part.score) for part in parts]:
        raise ValueError("columns of detections differ in length")
    if np.any(line_camera >= cameras.sizes[lines.part]) or tracks.min(initial=0) < 0:
        raise ValueError("a line has a camera of the batch and a track that is not negative")
    first_runs = np.cumsum(runs_of_line) - runs_of_line
    begins = _cumsum(between[first_runs], lines)
    between[first_runs] = 1
    if between.min(initial=1) < 1:
        raise ValueError("between two runs of a line there is at least one frame")
    between[first_runs] = 0
    rows_before = np.cumsum(lengths) - lengths
    since_first_run = np.cumsum(between) + rows_before
    line_of_run = np.repeat(np.arange(len(runs_of_line)), runs_of_line)
    begin_of_run = (begins - since_first_run[first_runs])[line_of_run] + since_first_run
    starts = rows_before[first_runs]
    rows = int(lengths.sum())
    position = np.repeat(begin_of_run - rows_before, lengths) + np.arange(rows)
    camera_of_line = line_camera + cameras.begins[lines.part]
    frames_of = np.bincount(camera, minlength=int(cameras.bounds[-1]))
    rows_of_line = np.diff(starts, append=rows)
    if rows and not (position.min() >= 0 and np.all(position < np.repeat(frames_of[camera_of_line], rows_of_line))):
        raise ValueError("a line reaches beyond its camera's frames")
    before = np.cumsum(frames_of) - frames_of
    frame = by_camera.order[np.repeat(before[camera_of_line], rows_of_line) + position]
    tracks, class_ids = np.repeat(tracks, rows_of_line), np.repeat(class_ids, rows_of_line)
    return _Lines(frame, tracks, class_ids, starts, rows_of_line, lines)


def _detections(
    messages: Sequence[pb.Batch], parts: Sequence[pb.FramesByTrack], lines: _Lines
) -> tuple[Detections, Int64, Int64]:
    """All rows in the order of frames, and which frame and class each is of."""
    (box_scale,), (score_scale,) = _one(x.box_scale for x in messages), _one(x.score_scale for x in messages)
    rows = _Laid([len(part.score) for part in parts])
    steps = np.stack([_column(parts, name, rows) for name in ("score", "x1", "y1", "x2", "y2")])  # (5, m)
    total = np.cumsum(steps, axis=1)
    firsts = np.cumsum(steps[:, lines.starts], axis=1)
    # a line's first is told against the first of the line before in its message
    begins = np.concatenate((np.zeros((5, 1), np.int64), firsts), axis=1)[:, lines.laid.begins][:, lines.laid.part]
    values = total - np.repeat(total[:, lines.starts] - (firsts - begins), lines.lengths, axis=1)
    scores = scores_of(values[0], score_scale)
    order = _best_first(lines.frame, score_scale - values[0], score_scale)
    xyxy = boxes_of(values[1:].T[order], box_scale)
    class_ids = lines.class_ids[order]
    return Detections(xyxy, scores[order], class_ids, lines.tracks[order]), lines.frame[order], class_ids


def _best_first(frame: Int64, worse: Int64, worst: int) -> Int64:
    """By frame, then by what lacks to the best score, then as it is; with the place in the key, numpy sorts ten times
    as fast as it finds a stable order."""
    place_bits, worse_bits = len(frame).bit_length(), worst.bit_length()
    frame_bits = int(frame.max(initial=0)).bit_length()
    if frame_bits + worse_bits + place_bits > 63:
        return np.lexsort((worse, frame))
    keys = (frame << (worse_bits + place_bits)) + (worse << place_bits) + np.arange(len(frame))
    keys.sort()
    return keys & ((1 << place_bits) - 1)


def _one(scales: Iterable[int]) -> set[int]:
    found = set(scales)
    if len(found) > 1:
        raise ValueError(f"messages of several scales are read one by one, got {sorted(found)}")
    return found


def _labels(
    messages: Sequence[pb.Batch], models: _Laid, model: Int64, class_ids: Int64
) -> tuple[tuple[str, ...], Int64, Int64]:
    """The distinct labels of each message, one's after the other's; of each row the index of its own; and where in them
    each message's begin."""
    keys = model << 32 | class_ids
    # rows of a frame are often of one class: only where that changes there is something to be sorted
    changes = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1]))) if len(keys) else np.zeros(0, np.int64)
    pairs, index = np.unique(keys[changes], return_inverse=True)
    label = np.repeat(index, np.diff(changes, append=len(keys)))
    owners = models.part[pairs >> 32]
    labels = tuple(
        label_of(messages[owner].models[(pair >> 32) - begin].labels, pair & 0xFFFFFFFF)
        for pair, owner, begin in zip(pairs.tolist(), owners.tolist(), models.begins[owners].tolist(), strict=True)
    )
    return labels, label, np.searchsorted(owners, np.arange(len(messages) + 1))
