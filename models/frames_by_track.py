"""Frames as messages of version 2 hold them: detections by line (FramesByTrack in tidegate.proto).

A detector's boxes tremble by a pixel or two from frame to frame, a score by some hundredths: differences along a track
are small numbers, one byte each, of which zstd's entropy coder leaves about half. Corners tremble less than width and
height, and no prediction from more than the row before did better on videos (docs/adr/0021 has the figures).
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from models import tidegate_pb2 as pb
from models.detections import Int64
from models.frames_in_bulk import largest
from models.grouped import Groups, delta_by, rank_in_runs
from models.quantised import boxes_to_int, scores_to_int
from models.records import BOX_SCALE, SCORE_SCALE, FrameResult

_MAX_PRODUCT = 2**62


def write_frames_by_track(message: pb.Batch, seqs: Int64, results: Sequence[FrameResult], first: int) -> None:
    """Put n frames with their seqs (n,) into a batch that begins with record `first`."""
    cameras = sorted({result.camera for result in results})
    models = sorted({(result.model, result.release) for result in results})
    camera_index = {camera: index for index, camera in enumerate(cameras)}
    model_index = {model: index for index, model in enumerate(models)}
    camera = np.array([camera_index[result.camera] for result in results], np.int64)
    model = np.array([model_index[result.model, result.release] for result in results], np.int64)
    by_camera = Groups(camera)
    steps = delta_by(np.array([result.frame for result in results], np.int64), by_camera)
    captured_at_us = np.array([result.captured_at_us for result in results], np.int64)
    times = delta_by(captured_at_us, by_camera)
    following = _following(by_camera)
    period_us = _periods(times, steps, camera, following, len(cameras))
    steady_us = np.array([result.steady_us for result in results], np.int64)
    frames = message.frames
    frames.seq.extend(np.diff(seqs, prepend=first).tolist())
    frames.camera.extend(camera.tolist())
    frames.model.extend(model.tolist())
    frames.frame.extend(steps.tolist())
    frames.captured_at_us.extend((times - np.where(following, period_us[camera] * steps, 0)).tolist())
    if steady_us.any():
        frames.clock_offset_us.extend(delta_by(captured_at_us - steady_us, by_camera).tolist())
    frames.period_us.extend(period_us.tolist())
    found = [result.detections for result in results]
    counts = np.array([len(seen.class_ids) for seen in found], np.int64)
    class_ids = np.concatenate([seen.class_ids for seen in found])
    if len(class_ids):
        tracks = np.concatenate([seen.tracks for seen in found])
        positions = _positions(by_camera)
        order, starts = _line_up(np.repeat(camera, counts), tracks, class_ids, np.repeat(positions, counts))
        _write_lines(
            frames,
            np.repeat(camera, counts)[order],
            tracks[order],
            class_ids[order],
            np.repeat(positions, counts)[order],
            starts,
        )
        scores = scores_to_int(np.concatenate([seen.scores for seen in found]))
        corners = boxes_to_int(np.concatenate([seen.xyxy for seen in found]))
        rows = _row_steps(np.column_stack((scores, corners))[order], starts)
        for column, values in zip((frames.score, frames.x1, frames.y1, frames.x2, frames.y2), rows.T, strict=True):
            column.extend(values.tolist())
    labels = _labels(results, np.repeat(model, counts), class_ids)
    message.box_scale, message.score_scale = BOX_SCALE, SCORE_SCALE
    message.cameras.extend(cameras)
    for index, (name, release) in enumerate(models):
        message.models.add(name=name, release=release, labels=labels.get(index, {}))


def _line_up(camera: Int64, tracks: Int64, class_ids: Int64, position: Int64) -> tuple[Int64, npt.NDArray[np.bool_]]:
    """In which order rows, given in order of frames, form lines, and where lines start.

    `position` (m,): of a row's frame among its camera's."""
    keys: tuple[Int64, ...] = (camera, tracks, class_ids)
    order, starts = _sorted(keys)
    again = ~starts
    again[1:] &= position[order][1:] == position[order][:-1]
    if again.any():
        ordinal = np.empty_like(camera)
        ordinal[order] = rank_in_runs(~again)
        order, starts = _sorted((*keys, ordinal))
    return order, starts


def _sorted(keys: tuple[Int64, ...]) -> tuple[Int64, npt.NDArray[np.bool_]]:
    groups = Groups(*keys)
    return groups.order, groups.starts


def _write_lines(
    frames: pb.FramesByTrack,
    camera: Int64,
    tracks: Int64,
    class_ids: Int64,
    position: Int64,
    starts: npt.NDArray[np.bool_],
) -> None:
    run_starts = starts.copy()
    run_starts[1:] |= np.diff(position) != 1
    runs = np.flatnonzero(run_starts)
    first_runs = np.flatnonzero(starts[runs])
    begins = position[runs]
    between = begins - np.concatenate(([0], position[runs[1:] - 1])) - 1
    between[first_runs] = np.diff(begins[first_runs], prepend=0)
    frames.line_camera.extend(camera[starts].tolist())
    frames.track.extend(np.diff(tracks[starts], prepend=0).tolist())
    frames.class_id.extend(class_ids[starts].tolist())
    frames.runs.extend(np.diff(first_runs, append=len(runs)).tolist())
    frames.start.extend(between.tolist())
    frames.length.extend((np.diff(runs, append=len(starts)) - 1).tolist())


def _row_steps(rows: Int64, starts: npt.NDArray[np.bool_]) -> Int64:
    """(m, k) rows less the line's row before, a line's first less the first of the line before."""
    steps = np.diff(rows, axis=0, prepend=0)
    steps[starts] = np.diff(rows[starts], axis=0, prepend=0)
    return steps


def _positions(by_camera: Groups) -> Int64:
    """Of each frame among its camera's."""
    positions = np.empty_like(by_camera.order)
    positions[by_camera.order] = rank_in_runs(by_camera.starts)
    return positions


def _following(by_camera: Groups) -> npt.NDArray[np.bool_]:
    """Which frames are not their camera's first."""
    following = np.empty_like(by_camera.starts)
    following[by_camera.order] = ~by_camera.starts
    return following


def _periods(times: Int64, steps: Int64, camera: Int64, following: npt.NDArray[np.bool_], cameras: int) -> Int64:
    """(cameras,) the usual time from one number to the next, 0 where none can be said."""
    periods = np.zeros(cameras, np.int64)
    for index in range(cameras):
        mine = following & (camera == index) & (steps > 0)
        period = int(np.median(times[mine] // steps[mine])) if mine.any() else 0
        if period > 0 and period * largest(steps[following]) < _MAX_PRODUCT:
            periods[index] = period
    return periods


def _labels(results: Sequence[FrameResult], model: Int64, class_ids: Int64) -> dict[int, dict[int, str]]:
    """By index of the model: the labels of its classes that occur."""
    pairs, where = np.unique(model << 32 | class_ids, return_index=True)
    texts = list(chain.from_iterable([result.labels for result in results]))
    labels: dict[int, dict[int, str]] = {}
    for pair, index in zip(pairs.tolist(), where.tolist(), strict=True):
        labels.setdefault(pair >> 32, {})[pair & 0xFFFFFFFF] = texts[index]
    return labels
