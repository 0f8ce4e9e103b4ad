"""Bytes between gateways and the cloud: a small fixed envelope around a zstd-compressed protobuf (tidegate.proto).

    offset  size
         0     2  "TG"
         2     1  version, 1
         3     1  reserved, 0
         4     8  stream, big-endian as all below
        12     8  first
        20     8  last
        28     4  CRC-32 of bytes 0..27 and of the body
        32     -  body: zstd frame of a Batch

The envelope outlives the body's format: whoever cannot read a body can still say which records it held.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import zstandard
from google.protobuf.message import DecodeError

from models import tidegate_pb2 as pb
from models.columns import Columns, FrameColumns
from models.detections import Detections, Float32, Int64
from models.errors import WireError
from models.records import (
    BOX_SCALE,
    MAX_NUMBER,
    SCORE_SCALE,
    Aggregate,
    Batch,
    CameraHealth,
    Challenge,
    Event,
    FrameResult,
    Health,
    PicturePart,
    Record,
    Tombstone,
)

VERSION = 1
# A hostile body must not fill the memory: an empty message of 2 bytes takes some 250 once it is parsed.
MAX_BODY_BYTES = 2 << 20  # decompressed
MAX_ACK_BYTES = 128 << 10  # what any broker between us lets through
MAX_BODY_MESSAGES = 16_384  # health and tombstones, which are objects; frames are columns
_HEAD = struct.Struct(">2sBBQQQ")
_CRC = struct.Struct(">I")
ENVELOPE_BYTES = _HEAD.size + _CRC.size
_MAX_SEQ = 2**62
_MAX_PIXEL = 2**20


@dataclass(frozen=True, slots=True)
class Envelope:
    """Which records a message holds, readable whatever its body is."""

    stream: str
    first: int
    last: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamAck:
    """Records 1..last of a stream are in the lake; `refused` of them were set aside as unreadable instead."""

    stream: str
    last: int
    refused: tuple[Tombstone, ...] = ()


def encode_batch(batch: Batch) -> bytes:
    """A message: envelope and body. WireError when it would be larger than `decode_batch` takes: cut it smaller."""
    plain = _batch_to_pb(batch).SerializeToString()
    messages = len(batch.health) + len(batch.tombstones)
    if len(plain) > MAX_BODY_BYTES or messages > MAX_BODY_MESSAGES:
        raise WireError(
            f"batch {batch.stream} {batch.first}..{batch.last} is too large: {len(plain)} bytes uncompressed, "
            f"{messages} health messages and tombstones; at most {MAX_BODY_BYTES} and {MAX_BODY_MESSAGES}; cut it"
        )
    body = zstandard.ZstdCompressor(level=9, write_content_size=True).compress(plain)
    return seal(batch.stream, batch.first, batch.last, body)


def seal(stream: str, first: int, last: int, body: bytes) -> bytes:
    """The envelope around any body."""
    head = _HEAD.pack(b"TG", VERSION, 0, int(stream, 16), first, last)
    return head + _CRC.pack(zlib.crc32(body, zlib.crc32(head))) + body


def open_envelope(message: bytes) -> Envelope:
    """The envelope; WireError for bytes that are none of ours or were damaged on the way."""
    if len(message) < ENVELOPE_BYTES:
        raise WireError(f"a message of {len(message)} bytes is shorter than the envelope ({ENVELOPE_BYTES})")
    head, body = message[: _HEAD.size], message[ENVELOPE_BYTES:]
    magic, version, _, stream, first, last = _HEAD.unpack(head)
    if magic != b"TG":
        raise WireError(f"a message must start with 'TG', got {message[:2]!r}")
    if version != VERSION:
        raise WireError(f"envelope version {version} is not known here (this tidegate reads {VERSION})")
    if zlib.crc32(body, zlib.crc32(head)) != _CRC.unpack(message[_HEAD.size : ENVELOPE_BYTES])[0]:
        raise WireError("checksum of a message does not match: it was damaged on the way")
    if not 1 <= first <= last <= _MAX_SEQ:
        raise WireError(f"a message must hold records first..last with 1 <= first <= last, got {first}..{last}")
    return Envelope(f"{stream:016x}", first, last, body)


def body_bytes(envelope: Envelope) -> int:
    """What the body says that it decompresses to, without doing so; WireError when it does not say, or too much."""
    try:
        size = zstandard.get_frame_parameters(envelope.body).content_size
    except zstandard.ZstdError as exc:
        raise _unreadable(envelope, exc) from exc
    if size > MAX_BODY_BYTES:  # "unknown" is a huge number, and refused too
        raise _unreadable(envelope, f"it must say its size and be at most {MAX_BODY_BYTES} bytes once decompressed")
    return size


def decode_columns(envelope: Envelope) -> Columns:
    """The batch in an envelope, as columns; WireError when the body is unreadable or not what the envelope says."""
    size = body_bytes(envelope)
    try:
        plain = zstandard.ZstdDecompressor().decompress(envelope.body, max_output_size=size)
        return _columns_from_pb(pb.Batch.FromString(plain), envelope)
    # ValueError: the columns' own checks; OverflowError: a number above int64
    except (zstandard.ZstdError, DecodeError, ValueError, OverflowError) as exc:
        raise _unreadable(envelope, exc) from exc


def decode_body(envelope: Envelope) -> Batch:
    """The batch in an envelope; WireError when the body is not readable or not what the envelope says."""
    columns = decode_columns(envelope)
    frames = zip(columns.frames.seqs.tolist(), _frame_results(columns.frames), strict=True)
    return Batch(envelope.stream, envelope.first, envelope.last, tuple(frames), columns.health, columns.tombstones)


def decode_batch(message: bytes) -> Batch:
    """The batch in a message."""
    return decode_body(open_envelope(message))


def encode_record(record: Record) -> bytes:
    """A record as the spool keeps it."""
    match record:
        case FrameResult():
            return pb.Record(frame=_frame_to_pb(record)).SerializeToString()
        case Health():
            return pb.Record(health=_health_to_pb(record)).SerializeToString()
        case Event():
            return pb.Record(event=_event_to_pb(record)).SerializeToString()
        case Aggregate():
            return pb.Record(aggregate=_aggregate_to_pb(record)).SerializeToString()
        case PicturePart():
            return pb.Record(picture=_picture_to_pb(record)).SerializeToString()
        case Tombstone():
            return pb.Record(tombstone=_tombstone_to_pb(record)).SerializeToString()


def decode_record(data: bytes) -> Record:
    """A record from the spool; WireError when it is damaged."""
    try:
        record = pb.Record.FromString(data)
        match record.WhichOneof("kind"):
            case "frame":
                return _frame_from_pb(record.frame)
            case "health":
                return _health_from_pb(record.health)
            case "event":
                return _event_from_pb(record.event)
            case "aggregate":
                return _aggregate_from_pb(record.aggregate)
            case "picture":
                return _picture_from_pb(record.picture)
            case "tombstone":
                return _tombstone_from_pb(record.tombstone)
    except (DecodeError, ValueError, OverflowError) as exc:
        raise WireError(f"a spooled record of {len(data)} bytes is unreadable: {exc}") from exc
    raise WireError(f"a spooled record of {len(data)} bytes is of no known kind")


def encode_acks(acks: Sequence[StreamAck]) -> bytes:
    """What ingest tells a gateway."""
    return pb.Ack(
        streams=[
            pb.StreamAck(stream=int(ack.stream, 16), last=ack.last, refused=[_tombstone_to_pb(x) for x in ack.refused])
            for ack in acks
        ]
    ).SerializeToString()


def decode_acks(data: bytes) -> tuple[StreamAck, ...]:
    """What ingest said; WireError for garbage."""
    if len(data) > MAX_ACK_BYTES:
        raise WireError(f"an acknowledgement of {len(data)} bytes is larger than any of ours ({MAX_ACK_BYTES})")
    try:
        message = pb.Ack.FromString(data)
        return tuple(_ack_from_pb(ack) for ack in message.streams)
    except (DecodeError, ValueError) as exc:
        raise WireError(f"an acknowledgement of {len(data)} bytes is unreadable: {exc}") from exc


def _batch_to_pb(batch: Batch) -> pb.Batch:
    results = [result for _, result in batch.frames]
    cameras = sorted({result.camera for result in results})
    models = sorted({(result.model, result.release) for result in results})
    camera = np.array([cameras.index(result.camera) for result in results], np.int64)
    counts = np.array([len(result.detections) for result in results], np.int64)
    frames = pb.Frames(
        seq=_delta(np.array([seq for seq, _ in batch.frames], np.int64), start=batch.first),
        camera=camera.tolist(),
        model=[models.index((result.model, result.release)) for result in results],
        frame=_delta_by(np.array([result.frame for result in results], np.int64), _Groups(camera)),
        captured_at_us=_delta_by(np.array([result.captured_at_us for result in results], np.int64), _Groups(camera)),
        detections=counts.tolist(),
    )
    if counts.sum():
        rows = _concatenate([result.detections for result in results])
        groups = _detection_groups(np.repeat(camera, counts), rows.tracks, rows.class_ids, counts)
        boxes = _boxes_to_int(rows)
        frames.class_id.extend(rows.class_ids.tolist())
        frames.track.extend(rows.tracks.tolist())
        frames.score.extend(_delta_by(np.rint(rows.scores * SCORE_SCALE).astype(np.int64), groups))
        for column, values in zip((frames.x1, frames.y1, frames.width, frames.height), boxes.T, strict=True):
            column.extend(_delta_by(values, groups))
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
        frames=frames,
        health=[_health_to_pb(health) for _, health in batch.health],
        health_seq=[seq for seq, _ in batch.health],
        tombstones=[_tombstone_to_pb(stone) for stone in batch.tombstones],
    )


def _columns_from_pb(message: pb.Batch, envelope: Envelope) -> Columns:
    if len(message.health) + len(message.tombstones) > MAX_BODY_MESSAGES:
        raise ValueError(f"at most {MAX_BODY_MESSAGES} health messages and tombstones in a batch")
    if len(message.health) != len(message.health_seq):
        raise ValueError("every health message needs its seq")
    health = tuple((seq, _health_from_pb(item)) for seq, item in zip(message.health_seq, message.health, strict=True))
    tombstones = tuple(_tombstone_from_pb(stone) for stone in message.tombstones)
    frames = _frames_from_pb(message, envelope.first)
    return Columns(envelope.stream, envelope.first, envelope.last, frames, health, tombstones)


def _frames_from_pb(message: pb.Batch, first: int) -> FrameColumns:
    columns = message.frames
    camera, model, counts = _int64(columns.camera), _int64(columns.model), _int64(columns.detections)
    steps, times = _int64(columns.frame), _int64(columns.captured_at_us)
    tracks, class_ids = _int64(columns.track), _int64(columns.class_id)
    parts = [_int64(part) for part in (columns.score, columns.x1, columns.y1, columns.width, columns.height)]
    # lengths are compared before anything is repeated `counts` times
    if any(len(column) != len(camera) for column in (columns.seq, model, counts, steps, times)):
        raise ValueError("columns of frames differ in length")
    if any(len(part) != len(tracks) for part in (class_ids, *parts)) or int(counts.sum()) != len(tracks):
        raise ValueError("columns of detections differ in length")
    if len(model) and int(model.max()) >= len(message.models):
        raise ValueError(f"model {model.max()} of {len(message.models)}")
    if message.box_scale < 1 or message.score_scale < 1:
        raise ValueError("scales must be at least 1")
    by_camera = _Groups(camera)
    groups = _detection_groups(np.repeat(camera, counts), tracks, class_ids, counts)
    rows = _undelta_by(np.stack(parts, axis=1), groups)  # score, x1, y1, width, height
    _check_scores(rows[:, 0], message.score_scale)
    xyxy = _boxes_from_int(rows[:, 1:], message.box_scale)
    labels, label = _labels_from_pb(message.models, np.repeat(model, counts), class_ids)
    return FrameColumns(
        seqs=np.cumsum(_int64(columns.seq)) + first,
        camera=camera,
        model=model,
        numbers=_undelta_by(steps, by_camera),
        captured_at_us=_undelta_by(times, by_camera),
        counts=counts,
        found=Detections(xyxy, (rows[:, 0] / message.score_scale).astype(np.float32), class_ids, tracks),
        label=label,
        cameras=tuple(message.cameras),
        models=tuple((item.name, item.release) for item in message.models),
        labels=labels,
    )


def _labels_from_pb(models: Sequence[pb.Model], model: Int64, class_ids: Int64) -> tuple[tuple[str, ...], Int64]:
    """The distinct labels, and for each detection the index of its own."""
    pairs, label = np.unique(model << 32 | class_ids, return_inverse=True)
    return tuple(_label(models[pair >> 32].labels, pair & 0xFFFFFFFF) for pair in pairs.tolist()), label


def _frame_results(columns: FrameColumns) -> list[FrameResult]:
    found, labels = columns.found, [columns.labels[index] for index in columns.label.tolist()]
    results, start = [], 0
    for camera, model, frame, captured_at_us, count in zip(
        columns.camera.tolist(),
        columns.model.tolist(),
        columns.numbers.tolist(),
        columns.captured_at_us.tolist(),
        columns.counts.tolist(),
        strict=True,
    ):
        rows = slice(start, start + count)
        name, release = columns.models[model]
        detections = Detections(found.xyxy[rows], found.scores[rows], found.class_ids[rows], found.tracks[rows])
        results.append(
            FrameResult(columns.cameras[camera], frame, captured_at_us, name, release, detections, tuple(labels[rows]))
        )
        start += count
    return results


def _int64(values: Sequence[int]) -> Int64:
    column = np.asarray(values)
    # protobuf hands its columns over as arrays, and numpy would wrap a uint64 around without a word
    if column.dtype == np.uint64 and len(column) and column.max() >= MAX_NUMBER:
        raise ValueError(f"numbers must be below {MAX_NUMBER}, got {column.max()}")
    return column.astype(np.int64)


def _unreadable(envelope: Envelope, reason: object) -> WireError:
    return WireError(f"the body of {envelope.stream} {envelope.first}..{envelope.last} is unreadable: {reason}")


class _Groups:
    """Rows that share a key, in their own order: what a row's difference is taken against."""

    def __init__(self, *keys: Int64) -> None:
        n = len(keys[0])
        self.order = np.lexsort((np.arange(n), *reversed(keys))) if n else np.zeros(0, np.int64)
        self.starts = np.ones(n, np.bool_)
        if n > 1:
            self.starts[1:] = np.any([key[self.order][1:] != key[self.order][:-1] for key in keys], axis=0)


def _detection_groups(camera: Int64, tracks: Int64, class_ids: Int64, counts: Int64) -> _Groups:
    untracked = tracks == 0
    frame = np.repeat(np.arange(len(counts)), counts)
    # position among the frame's untracked detections of the same class: rank within (frame, class)
    ordinal = np.zeros(len(tracks), np.int64)
    within = _Groups(frame, np.where(untracked, class_ids, -1 - np.arange(len(tracks))))
    ordinal[within.order] = _rank_in_runs(within.starts)
    return _Groups(camera, tracks, np.where(untracked, class_ids, 0), np.where(untracked, ordinal, 0))


def _rank_in_runs(starts: npt.NDArray[np.bool_]) -> Int64:
    index = np.arange(len(starts))
    return index - np.maximum.accumulate(np.where(starts, index, 0)) if len(starts) else index


def _delta(values: Int64, *, start: int) -> list[int]:
    steps: list[int] = np.diff(values, prepend=start).tolist()
    return steps


def _delta_by(values: Int64, groups: _Groups) -> list[int]:
    ordered = values[groups.order]
    steps = ordered - np.where(groups.starts, 0, np.concatenate(([0], ordered[:-1])))
    result = np.empty_like(values)
    result[groups.order] = steps
    listed: list[int] = result.tolist()
    return listed


def _undelta_by(steps: Int64, groups: _Groups) -> Int64:
    """(n,) or (n, k), one or several columns of the same rows."""
    ordered = np.cumsum(steps[groups.order], axis=0)
    if len(ordered):
        # what had been summed up before a group began does not belong to it
        before = ordered[groups.starts] - steps[groups.order][groups.starts]
        ordered = ordered - before[np.cumsum(groups.starts) - 1]
    values = np.empty_like(steps)
    values[groups.order] = ordered
    return values


def _concatenate(parts: list[Detections]) -> Detections:
    return Detections(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.tracks for part in parts]),
    )


def _boxes_to_int(found: Detections) -> Int64:
    """(n, 4): x1, y1, width, height in quarter pixels."""
    corners = np.rint(found.xyxy.astype(np.float64) * BOX_SCALE).astype(np.int64)
    return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1)


def _boxes_from_int(boxes: Int64, scale: int) -> Float32:
    xyxy = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), axis=1) / scale
    # float32 keeps quarter pixels up to here, and no picture is larger
    if len(xyxy) and np.abs(xyxy).max() > _MAX_PIXEL:
        raise ValueError(f"boxes must be within {_MAX_PIXEL} pixels, got {np.abs(xyxy).max():.0f}")
    return xyxy.astype(np.float32)


def _label(labels: Mapping[int, str], class_id: int) -> str:
    if class_id not in labels:  # a protobuf map would invent an empty one
        raise ValueError(f"class {class_id} has no label in the batch")
    return labels[class_id]


def _frame_to_pb(result: FrameResult) -> pb.FrameRow:
    found = result.detections
    boxes = _boxes_to_int(found)
    return pb.FrameRow(
        camera=result.camera,
        frame=result.frame,
        captured_at_us=result.captured_at_us,
        model=result.model,
        release=result.release,
        labels=result.labels,
        class_id=found.class_ids.tolist(),
        track=found.tracks.tolist(),
        score=np.rint(found.scores * SCORE_SCALE).astype(np.int64).tolist(),
        x1=boxes[:, 0].tolist(),
        y1=boxes[:, 1].tolist(),
        width=boxes[:, 2].tolist(),
        height=boxes[:, 3].tolist(),
        steady_us=result.steady_us,
    )


def _check_scores(scores: Int64, scale: int) -> None:
    if len(scores) and not (scores.min() >= 0 and scores.max() <= scale):
        raise ValueError(f"scores must be in 0..{scale}, got {scores.min()}..{scores.max()}")


def _frame_from_pb(row: pb.FrameRow) -> FrameResult:
    _check_scores(_int64(row.score), SCORE_SCALE)
    boxes = np.stack([_int64(part) for part in (row.x1, row.y1, row.width, row.height)], axis=1)
    found = Detections(
        _boxes_from_int(boxes, BOX_SCALE),
        (_int64(row.score) / SCORE_SCALE).astype(np.float32),
        _int64(row.class_id),
        _int64(row.track),
    )
    return FrameResult(
        row.camera, row.frame, row.captured_at_us, row.model, row.release, found, tuple(row.labels), row.steady_us
    )


def _fields(cls: type[object]) -> tuple[str, ...]:
    return tuple(cls.__dataclass_fields__)  # type: ignore[attr-defined]


def _health_to_pb(health: Health) -> pb.Health:
    values = {name: getattr(health, name) for name in _fields(Health)}
    values["cameras"] = [
        pb.CameraHealth(**{name: getattr(camera, name) for name in _fields(CameraHealth)}) for camera in health.cameras
    ]
    if health.challenge is not None:
        values["challenge"] = pb.Challenge(**{name: getattr(health.challenge, name) for name in _fields(Challenge)})
    return pb.Health(**values)


def _health_from_pb(message: pb.Health) -> Health:
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


def _event_to_pb(event: Event) -> pb.Event:
    return pb.Event(**{name: getattr(event, name) for name in _fields(Event)})


def _event_from_pb(message: pb.Event) -> Event:
    values = {name: getattr(message, name) for name in _fields(Event)}
    return Event(**{**values, "xyxy": _corners(message.xyxy)})


def _aggregate_to_pb(aggregate: Aggregate) -> pb.Aggregate:
    return pb.Aggregate(**{name: getattr(aggregate, name) for name in _fields(Aggregate)})


def _aggregate_from_pb(message: pb.Aggregate) -> Aggregate:
    return Aggregate(**{name: getattr(message, name) for name in _fields(Aggregate)})


def _picture_to_pb(part: PicturePart) -> pb.PicturePart:
    values = {name: getattr(part, name) for name in _fields(PicturePart)}
    return pb.PicturePart(**{**values, "picture": int(part.picture, 16)})


def _picture_from_pb(message: pb.PicturePart) -> PicturePart:
    values = {name: getattr(message, name) for name in _fields(PicturePart)}
    return PicturePart(**{**values, "picture": f"{message.picture:016x}", "xyxy": _corners(message.xyxy)})


def _corners(xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    if len(xyxy) not in (0, 4):
        raise ValueError(f"a box has 4 edges, got {len(xyxy)}")
    x1, y1, x2, y2 = xyxy or (0.0, 0.0, 0.0, 0.0)
    return float(x1), float(y1), float(x2), float(y2)


def _tombstone_to_pb(stone: Tombstone) -> pb.Tombstone:
    return pb.Tombstone(first=stone.first, last=stone.last, reason=stone.reason)


def _ack_from_pb(ack: pb.StreamAck) -> StreamAck:
    if ack.last > _MAX_SEQ:
        raise ValueError(f"last must be at most {_MAX_SEQ}, got {ack.last}")
    return StreamAck(f"{ack.stream:016x}", ack.last, tuple(_tombstone_from_pb(stone) for stone in ack.refused))


def _tombstone_from_pb(stone: pb.Tombstone) -> Tombstone:
    if not 1 <= stone.first <= stone.last <= _MAX_SEQ:
        raise ValueError(f"a tombstone must cover 1 <= first <= last <= {_MAX_SEQ}, got {stone.first}..{stone.last}")
    return Tombstone(stone.first, stone.last, stone.reason)
