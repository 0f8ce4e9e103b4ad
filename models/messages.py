"""Records as protobuf messages, one by one: how the spool keeps all of them, and how all but frames travel."""

from collections.abc import Sequence

import numpy as np

from models import tidegate_pb2 as pb
from models.detections import Detections
from models.quantised import boxes_of, boxes_to_int, scores_of, scores_to_int
from models.records import (
    BOX_SCALE,
    SCORE_SCALE,
    Aggregate,
    CameraHealth,
    Challenge,
    Event,
    FrameResult,
    Health,
    PicturePart,
    Tombstone,
)

MAX_SEQ = 2**62


def frame_to_pb(result: FrameResult) -> pb.FrameRow:
    """By itself, as the spool keeps it."""
    found = result.detections
    boxes = boxes_to_int(found.xyxy)
    boxes[:, 2:] -= boxes[:, :2]
    x1, y1, width, height = boxes.T.tolist()
    return pb.FrameRow(
        camera=result.camera,
        frame=result.frame,
        captured_at_us=result.captured_at_us,
        model=result.model,
        release=result.release,
        labels=result.labels,
        class_id=found.class_ids.tolist(),
        track=found.tracks.tolist(),
        score=scores_to_int(found.scores).tolist(),
        x1=x1,
        y1=y1,
        width=width,
        height=height,
        steady_us=result.steady_us,
    )


def frame_from_pb(row: pb.FrameRow) -> FrameResult:
    """ValueError or OverflowError when it makes no sense, as of all that follow."""
    # one array for all of it: this runs for every frame that is sent (OverflowError for a number above int64)
    columns = np.array(
        (row.score[:], row.class_id[:], row.track[:], row.x1[:], row.y1[:], row.width[:], row.height[:]), np.int64
    )
    corners = columns[3:].T
    corners[:, 2:] += corners[:, :2]
    found = Detections(boxes_of(corners, BOX_SCALE), scores_of(columns[0], SCORE_SCALE), columns[1], columns[2])
    return FrameResult(
        row.camera, row.frame, row.captured_at_us, row.model, row.release, found, tuple(row.labels), row.steady_us
    )


def _fields(cls: type[object]) -> tuple[str, ...]:
    return tuple(cls.__dataclass_fields__)  # type: ignore[attr-defined]


def health_to_pb(health: Health) -> pb.Health:
    values = {name: getattr(health, name) for name in _fields(Health)}
    values["cameras"] = [
        pb.CameraHealth(**{name: getattr(camera, name) for name in _fields(CameraHealth)}) for camera in health.cameras
    ]
    if health.challenge is not None:
        values["challenge"] = pb.Challenge(**{name: getattr(health.challenge, name) for name in _fields(Challenge)})
    return pb.Health(**values)


def health_from_pb(message: pb.Health) -> Health:
    values = {name: getattr(message, name) for name in _fields(Health)}
    values["score_histogram"] = tuple(message.score_histogram)
    values["class_mix"] = dict(message.class_mix)
    values["cameras"] = tuple(
        CameraHealth(**{name: getattr(camera, name) for name in _fields(CameraHealth)}) for camera in message.cameras
    )
    values["challenge"] = _challenge_from_pb(message.challenge) if message.HasField("challenge") else None
    return Health(**values)


def _challenge_from_pb(message: pb.Challenge) -> Challenge:
    values = {name: getattr(message, name) for name in _fields(Challenge)}
    values["our_scores"] = tuple(message.our_scores)
    values["their_scores"] = tuple(message.their_scores)
    return Challenge(**values)


def event_to_pb(event: Event) -> pb.Event:
    return pb.Event(**{name: getattr(event, name) for name in _fields(Event)})


def event_from_pb(message: pb.Event) -> Event:
    values = {name: getattr(message, name) for name in _fields(Event)}
    return Event(**{**values, "xyxy": _corners(message.xyxy)})


def aggregate_to_pb(aggregate: Aggregate) -> pb.Aggregate:
    return pb.Aggregate(**{name: getattr(aggregate, name) for name in _fields(Aggregate)})


def aggregate_from_pb(message: pb.Aggregate) -> Aggregate:
    return Aggregate(**{name: getattr(message, name) for name in _fields(Aggregate)})


def picture_to_pb(part: PicturePart) -> pb.PicturePart:
    values = {name: getattr(part, name) for name in _fields(PicturePart)}
    return pb.PicturePart(**{**values, "picture": int(part.picture, 16)})


def picture_from_pb(message: pb.PicturePart) -> PicturePart:
    values = {name: getattr(message, name) for name in _fields(PicturePart)}
    return PicturePart(**{**values, "picture": f"{message.picture:016x}", "xyxy": _corners(message.xyxy)})


def _corners(xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    if len(xyxy) not in (0, 4):
        raise ValueError(f"a box has 4 edges, got {len(xyxy)}")
    x1, y1, x2, y2 = xyxy or (0.0, 0.0, 0.0, 0.0)
    return float(x1), float(y1), float(x2), float(y2)


def tombstone_to_pb(stone: Tombstone) -> pb.Tombstone:
    return pb.Tombstone(first=stone.first, last=stone.last, reason=stone.reason)


def tombstone_from_pb(stone: pb.Tombstone) -> Tombstone:
    if not 1 <= stone.first <= stone.last <= MAX_SEQ:
        raise ValueError(f"a tombstone must cover 1 <= first <= last <= {MAX_SEQ}, got {stone.first}..{stone.last}")
    return Tombstone(stone.first, stone.last, stone.reason)
