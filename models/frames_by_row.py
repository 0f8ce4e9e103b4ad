"""Frames as messages of version 1 hold them, a row after the other: read for ever, written no more."""

import numpy as np

from models import tidegate_pb2 as pb
from models.columns import FrameColumns
from models.detections import Detections, Int64
from models.grouped import Groups, rank_in_runs, undelta_by
from models.quantised import boxes_of, int64, labels_of, scores_of


def read_frames_by_row(message: pb.Batch, first: int) -> FrameColumns:
    """The frames of a batch that begins with record `first`; ValueError when they make no sense."""
    columns = message.frames_by_row
    camera, model, counts = int64(columns.camera), int64(columns.model), int64(columns.detections)
    steps, times = int64(columns.frame), int64(columns.captured_at_us)
    tracks, class_ids = int64(columns.track), int64(columns.class_id)
    parts = [int64(part) for part in (columns.score, columns.x1, columns.y1, columns.width, columns.height)]
    # lengths are compared before anything is repeated `counts` times
    if any(len(column) != len(camera) for column in (columns.seq, model, counts, steps, times)):
        raise ValueError("columns of frames differ in length")
    if any(len(part) != len(tracks) for part in (class_ids, *parts)) or int(counts.sum()) != len(tracks):
        raise ValueError("columns of detections differ in length")
    by_camera = Groups(camera)
    groups = detection_groups(np.repeat(camera, counts), tracks, class_ids, counts)
    rows = undelta_by(np.stack(parts, axis=1), groups)  # score, x1, y1, width, height
    corners = np.concatenate((rows[:, 1:3], rows[:, 1:3] + rows[:, 3:]), axis=1)
    xyxy, scores = boxes_of(corners, message.box_scale), scores_of(rows[:, 0], message.score_scale)
    labels, label = labels_of(message.models, model, np.repeat(model, counts), class_ids)
    frames = FrameColumns(
        seqs=np.cumsum(int64(columns.seq)) + first,
        camera=camera,
        model=model,
        numbers=undelta_by(steps, by_camera),
        captured_at_us=undelta_by(times, by_camera),
        steady_us=np.zeros(len(camera), np.int64),
        counts=counts,
        found=Detections(xyxy, scores, class_ids, tracks),
        label=label,
        cameras=tuple(message.cameras),
        models=tuple((item.name, item.release) for item in message.models),
        labels=labels,
    )
    frames.check()
    return frames


def detection_groups(camera: Int64, tracks: Int64, class_ids: Int64, counts: Int64) -> Groups:
    """Which detections, in order of frames with `counts` each, were written as differences to each other."""
    untracked = tracks == 0
    frame = np.repeat(np.arange(len(counts)), counts)
    # position among the frame's untracked detections of the same class: rank within (frame, class)
    ordinal = np.zeros(len(tracks), np.int64)
    within = Groups(frame, np.where(untracked, class_ids, -1 - np.arange(len(tracks))))
    ordinal[within.order] = rank_in_runs(within.starts)
    return Groups(camera, tracks, np.where(untracked, class_ids, 0), np.where(untracked, ordinal, 0))
