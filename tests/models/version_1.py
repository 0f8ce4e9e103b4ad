"""Messages as gateways of version 1 wrote them, which are read for ever."""

import numpy as np
import zstandard

from models import tidegate_pb2 as pb
from models.batch import Batch
from models.detections import Detections, Int64
from models.frames_by_row import detection_groups
from models.grouped import Groups, delta_by
from models.messages import health_to_pb, tombstone_to_pb
from models.records import BOX_SCALE, SCORE_SCALE
from models.wire import seal


def encode_version_1(batch: Batch) -> bytes:
    """A message with frames, health messages and tombstones; version 1 knew nothing else."""
    body = zstandard.ZstdCompressor(write_content_size=True).compress(body_of_version_1(batch).SerializeToString())
    return seal(batch.stream, batch.first, batch.last, body, version=1)


def body_of_version_1(batch: Batch) -> pb.Batch:
    results = [result for _, result in batch.frames]
    cameras = sorted({result.camera for result in results})
    models = sorted({(result.model, result.release) for result in results})
    camera = np.array([cameras.index(result.camera) for result in results], np.int64)
    counts = np.array([len(result.detections) for result in results], np.int64)
    frames = pb.FramesByRow(
        seq=np.diff(np.array([seq for seq, _ in batch.frames], np.int64), prepend=batch.first).tolist(),
        camera=camera.tolist(),
        model=[models.index((result.model, result.release)) for result in results],
        frame=delta_by(np.array([result.frame for result in results], np.int64), Groups(camera)).tolist(),
        captured_at_us=delta_by(
            np.array([result.captured_at_us for result in results], np.int64), Groups(camera)
        ).tolist(),
        detections=counts.tolist(),
    )
    if counts.sum():
        rows = _concatenate([result.detections for result in results])
        groups = detection_groups(np.repeat(camera, counts), rows.tracks, rows.class_ids, counts)
        frames.class_id.extend(rows.class_ids.tolist())
        frames.track.extend(rows.tracks.tolist())
        frames.score.extend(delta_by(np.rint(rows.scores * SCORE_SCALE).astype(np.int64), groups).tolist())
        for column, values in zip((frames.x1, frames.y1, frames.width, frames.height), _boxes(rows).T, strict=True):
            column.extend(delta_by(values, groups).tolist())
    labels: dict[tuple[str, int], dict[int, str]] = {model: {} for model in models}
    for result in results:
        labels[result.model, result.release].update(
            zip(result.detections.class_ids.tolist(), result.labels, strict=True)
        )
    return pb.Batch(
        box_scale=BOX_SCALE,
        score_scale=SCORE_SCALE,
        cameras=cameras,
        models=[pb.Model(name=name, release=release, labels=labels[name, release]) for name, release in models],
        frames_by_row=frames,
        health=[health_to_pb(health) for _, health in batch.health],
        health_seq=[seq for seq, _ in batch.health],
        tombstones=[tombstone_to_pb(stone) for stone in batch.tombstones],
    )


def _boxes(found: Detections) -> Int64:
    """(n, 4): x1, y1, width, height in quarter pixels."""
    corners = np.rint(found.xyxy.astype(np.float64) * BOX_SCALE).astype(np.int64)
    return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)


def _concatenate(parts: list[Detections]) -> Detections:
    return Detections(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.tracks for part in parts]),
    )
