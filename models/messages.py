"""Records as protobuf messages, one by one: how the spool keeps all of them, and how all but frames travel."""

import math
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np

from models import tidegate_pb2 as pb
from models.bounds import MAX_NUMBER, MAX_TIME_US
from models.columns import Rows
from models.detections import Detections
from models.health import CameraHealth, Challenge, Health
from models.quantised import boxes_of, boxes_to_int, scores_of, scores_to_int
from models.records import BOX_SCALE, SCORE_SCALE, Aggregate, Event, FrameResult, PicturePart, Tombstone

MAX_SEQ = 2**62


def write_frame(row: pb.FrameRow, result: FrameResult) -> None:
    """By itself, as the spool keeps it."""
    row.camera, row.model, row.release = result.camera, result.model, result.release
    row.frame, row.captured_at_us, row.steady_us = result.frame, result.captured_at_us, result.steady_us
    row.SetInParent()  # also where all of it is 0
    if not result.labels:
        return
    found = result.detections
    boxes = boxes_to_int(found.xyxy)
    boxes[:, 2:] -= boxes[:, :2]
    x1, y1, width, height = boxes.T.tolist()
    row.labels.extend(result.labels)
    row.class_id.extend(found.class_ids.tolist())
    row.track.extend(found.tracks.tolist())
    row.score.extend(scores_to_int(found.scores).tolist())
    row.x1.extend(x1)
    row.y1.extend(y1)
    row.width.extend(width)
    row.height.extend(height)


def frames_from_pb(rows: Sequence[pb.FrameRow]) -> list[FrameResult]:
    """ValueError or OverflowError when one makes no sense, as of all that follow. Several at once, for numpy's calls
    cost more than its work."""
    columns: list[list[int]] = [[] for _ in range(7)]
    ends = [0]
    for row in rows:
        parts = (row.score[:], row.class_id[:], row.track[:], row.x1[:], row.y1[:], row.width[:], row.height[:])
        count = len(row.labels)
        for column, part in zip(columns, parts, strict=True):
            if len(part) != count:
                raise ValueError(f"{count} detections have {len(part)} of a column")
            column += part
        ends.append(ends[-1] + count)
    # OverflowError for a number above int64
    scores, class_ids, tracks, *edges = np.array(columns, np.int64)
    corners = np.stack(edges, axis=1)
    corners[:, 2:] += corners[:, :2]
    xyxy, scored = boxes_of(corners, BOX_SCALE), scores_of(scores, SCORE_SCALE)
    return [
        FrameResult(
            row.camera,
            row.frame,
            row.captured_at_us,
            row.model,
            row.release,
            Detections(xyxy[begin:end], scored[begin:end], class_ids[begin:end], tracks[begin:end]),
            tuple(row.labels),
            row.steady_us,
        )
        for row, begin, end in zip(rows, ends, ends[1:], strict=False)
    ]


def _fields(cls: type[object]) -> tuple[str, ...]:
    return tuple(cls.__dataclass_fields__)  # type: ignore[attr-defined]


_AGGREGATE = attrgetter(*_fields(Aggregate))
_AGGREGATE_FIELDS = {name: attrgetter(name) for name in _fields(Aggregate)}
_EVENT = _fields(Event)
_EVENT_PLAIN = {name: attrgetter(name) for name in _EVENT if name != "xyxy"}


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
    return Event(**{name: getattr(message, name) for name in _EVENT_PLAIN}, xyxy=_corners(message.xyxy))


def events_from_pb(seqs: Sequence[int], messages: Sequence[pb.Event]) -> Rows:
    """As columns, for a fleet tells thousands in a second; ValueError where `event_from_pb` raises it."""
    rows = list(messages)
    plain = {name: list(map(get, rows)) for name, get in _EVENT_PLAIN.items()}
    xyxy = [_corners(row.xyxy) for row in rows]
    if rows:
        for name, limit in (("at_us", MAX_TIME_US + 1), ("frame", MAX_NUMBER), ("track", MAX_NUMBER)):
            _check_counts(name, plain[name], limit)
        _check_counts("release", plain["release"], MAX_NUMBER)
        if not all(map(math.isfinite, chain(plain["value"], plain["score"], *xyxy))):
            raise ValueError("value, score and xyxy must be finite")
    return _rows(seqs, {name: plain.get(name, xyxy) for name in _EVENT}, len(rows))


def aggregate_to_pb(aggregate: Aggregate) -> pb.Aggregate:
    return pb.Aggregate(**{name: getattr(aggregate, name) for name in _fields(Aggregate)})


def aggregate_from_pb(message: pb.Aggregate) -> Aggregate:
    return Aggregate(*_AGGREGATE(message))


def aggregates_from_pb(seqs: Sequence[int], messages: Sequence[pb.Aggregate]) -> Rows:
    """As columns; ValueError where `aggregate_from_pb` raises it."""
    rows = list(messages)
    fields = {name: list(map(get, rows)) for name, get in _AGGREGATE_FIELDS.items()}
    if rows:
        _check_counts("start_us", fields["start_us"], MAX_TIME_US + 1)
        for name in ("frames", "detections", "tracks", "most", "release"):
            _check_counts(name, fields[name], MAX_NUMBER)
        if not all(0 <= length_s < MAX_NUMBER for length_s in fields["length_s"]):  # nan too
            raise ValueError(f"length_s must be in 0..{MAX_NUMBER - 1}")
    return _rows(seqs, fields, len(rows))


def _check_counts(name: str, values: Sequence[int], limit: int) -> None:
    if min(values) < 0 or max(values) >= limit:
        raise ValueError(f"{name} must be in 0..{limit - 1}, got {min(values)}..{max(values)}")


def _rows(seqs: Sequence[int], fields: dict[str, list[Any]], count: int) -> Rows:
    if len(seqs) != count:
        raise ValueError(f"{count} records have {len(seqs)} seqs")
    return Rows(tuple(seqs), fields) if count else Rows()


def picture_to_pb(part: PicturePart) -> pb.PicturePart:
    values = {name: getattr(part, name) for name in _fields(PicturePart)}
    return pb.PicturePart(**{**values, "picture": int(part.picture, 16)})


def picture_from_pb(message: pb.PicturePart) -> PicturePart:
    values = {name: getattr(message, name) for name in _fields(PicturePart)}
    return PicturePart(**{**values, "picture": f"{message.picture:016x}", "xyxy": _corners(message.xyxy)})


def _corners(xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    edges = tuple(xyxy) or (0.0, 0.0, 0.0, 0.0)
    if len(edges) != 4:
        raise ValueError(f"a box has 4 edges, got {len(edges)}")
    return edges


def tombstone_to_pb(stone: Tombstone) -> pb.Tombstone:
    return pb.Tombstone(first=stone.first, last=stone.last, reason=stone.reason)


def tombstone_from_pb(stone: pb.Tombstone) -> Tombstone:
    if not 1 <= stone.first <= stone.last <= MAX_SEQ:
        raise ValueError(f"a tombstone must cover 1 <= first <= last <= {MAX_SEQ}, got {stone.first}..{stone.last}")
    return Tombstone(stone.first, stone.last, stone.reason)
