"""Bytes between gateways and the cloud: a small fixed envelope around a zstd-compressed protobuf (tidegate.proto).

    offset  size
         0     2  "TG"
         2     1  version, 2 (1 is still read)
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import zstandard
from google.protobuf.message import DecodeError

from models import tidegate_pb2 as pb
from models.batch import Batch
from models.columns import Columns, FrameColumns, no_frames
from models.detections import Detections
from models.errors import WireError
from models.frames_by_row import read_frames_by_row
from models.frames_by_track import write_frames_by_track
from models.frames_in_bulk import read_frames_in_bulk
from models.health import Health
from models.messages import (
    MAX_SEQ,
    aggregate_from_pb,
    aggregate_to_pb,
    aggregates_from_pb,
    event_from_pb,
    event_to_pb,
    events_from_pb,
    frames_from_pb,
    health_from_pb,
    health_to_pb,
    picture_from_pb,
    picture_to_pb,
    tombstone_from_pb,
    tombstone_to_pb,
    write_frame,
)
from models.records import Aggregate, Event, FrameResult, PicturePart, Record, Tombstone

VERSION = 2
_READABLE = (1, 2)
_Batches = Sequence[tuple[pb.Batch, int]]  # with the first record of each
_Reader = Callable[[_Batches], list[FrameColumns]]
Sent = TypeVar("Sent")
Kept = TypeVar("Kept")
# A hostile body must not fill the memory: an empty message of 2 bytes takes some 250 once it is parsed.
MAX_BODY_BYTES = 2 << 20  # decompressed
MAX_ACK_BYTES = 128 << 10  # what any broker between us lets through
MAX_BODY_MESSAGES = 16_384  # of all kinds, those within others too; frames are columns
# A message of 300 bytes can name a thing of a million letters in each of its detections, and the lake spells all out.
MAX_NAMES = 2 << 20  # characters: the longest camera, model and label, for each row that has one
_TOGETHER = 64  # messages that are decoded at once, unless MAX_BODY_BYTES are fewer
_HEAD = struct.Struct(">2sBBQQQ")
_CRC = struct.Struct(">I")
ENVELOPE_BYTES = _HEAD.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Envelope:
    """Which records a message holds, readable whatever its body is."""

    stream: str
    first: int
    last: int
    body: bytes
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class StreamAck:
    """Records 1..last of a stream are in the lake; `refused` of them were set aside as unreadable instead."""

    stream: str
    last: int
    refused: tuple[Tombstone, ...] = ()


def encode_batch(batch: Batch) -> bytes:
    """A message: envelope and body. WireError when it would be larger than `decode_batch` takes: cut it smaller."""
    message = _batch_to_pb(batch)
    plain = message.SerializeToString()
    sizes = len(plain), _objects(message), _names(message)
    limits = MAX_BODY_BYTES, MAX_BODY_MESSAGES, MAX_NAMES
    if any(size > limit for size, limit in zip(sizes, limits, strict=True)):
        raise WireError(
            f"batch {batch.stream} {batch.first}..{batch.last} is too large: bytes uncompressed, messages within, "
            f"and characters of names are {sizes}; at most {limits}; cut it"
        )
    body = zstandard.ZstdCompressor(level=7, write_content_size=True).compress(plain)
    return seal(batch.stream, batch.first, batch.last, body)


def seal(stream: str, first: int, last: int, body: bytes, *, version: int = VERSION) -> bytes:
    """The envelope around any body."""
    head = _HEAD.pack(b"TG", version, 0, int(stream, 16), first, last)
    return head + _CRC.pack(zlib.crc32(body, zlib.crc32(head))) + body


def open_envelope(message: bytes) -> Envelope:
    """The envelope; WireError for bytes that are none of ours or were damaged on the way."""
    if len(message) < ENVELOPE_BYTES:
        raise WireError(f"a message of {len(message)} bytes is shorter than the envelope ({ENVELOPE_BYTES})")
    head, body = message[: _HEAD.size], message[ENVELOPE_BYTES:]
    magic, version, _, stream, first, last = _HEAD.unpack(head)
    if magic != b"TG":
        raise WireError(f"a message must start with 'TG', got {message[:2]!r}")
    if version not in _READABLE:
        raise WireError(f"envelope version {version} is not known here (this tidegate reads 1 and 2)")
    if zlib.crc32(body, zlib.crc32(head)) != _CRC.unpack(message[_HEAD.size : ENVELOPE_BYTES])[0]:
        raise WireError("checksum of a message does not match: it was damaged on the way")
    if not 1 <= first <= last <= MAX_SEQ:
        raise WireError(f"a message must hold records first..last with 1 <= first <= last, got {first}..{last}")
    return Envelope(f"{stream:016x}", first, last, body, version)


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
    (columns,) = decode_all((envelope,))
    if isinstance(columns, WireError):
        raise columns
    return columns


def decode_all(envelopes: Sequence[Envelope]) -> list[Columns | WireError]:
    """What `decode_columns` gives of each, or raises. Many together take a third of the time."""
    decoded: list[Columns | WireError] = []
    unzip = zstandard.ZstdDecompressor()
    for some in _few(envelopes):
        messages = [_message(envelope, unzip) for envelope in some]
        decoded += map(_columns, some, messages, _frames(some, messages))
    return decoded


def claimed_bytes(message: bytes) -> int:
    """Roughly what a message takes up once it is decompressed, as far as it will be, whatever is wrong with it."""
    return _claimed_bytes(message[ENVELOPE_BYTES:])


def decode_body(envelope: Envelope) -> Batch:
    """The batch in an envelope; WireError when the body is not readable or not what the envelope says."""
    columns = decode_columns(envelope)
    frames = zip(columns.frames.seqs.tolist(), _frame_results(columns.frames), strict=True)
    return Batch(
        columns.stream,
        columns.first,
        columns.last,
        tuple(frames),
        columns.health,
        columns.tombstones,
        tuple(columns.events.records(Event)),
        tuple(columns.aggregates.records(Aggregate)),
        columns.pictures,
    )


def decode_batch(message: bytes) -> Batch:
    """The batch in a message."""
    return decode_body(open_envelope(message))


def encode_record(record: Record) -> bytes:
    """A record as the spool keeps it."""
    match record:
        case FrameResult():
            row = pb.Record()
            write_frame(row.frame, record)
            return row.SerializeToString()
        case Health():
            return pb.Record(health=health_to_pb(record)).SerializeToString()
        case Event():
            return pb.Record(event=event_to_pb(record)).SerializeToString()
        case Aggregate():
            return pb.Record(aggregate=aggregate_to_pb(record)).SerializeToString()
        case PicturePart():
            return pb.Record(picture=picture_to_pb(record)).SerializeToString()
        case Tombstone():
            return pb.Record(tombstone=tombstone_to_pb(record)).SerializeToString()


def decode_record(data: bytes) -> Record:
    """A record from the spool; WireError when it is damaged."""
    (record,) = _decoded((data,))
    return record


def decode_records(rows: Sequence[bytes]) -> list[Record | None]:
    """Records from the spool, None in the place of what is damaged. Many frames at once take half the time."""
    try:
        return list(_decoded(rows))
    except WireError:
        return [_record_or_none(row) for row in rows]


def _record_or_none(row: bytes) -> Record | None:
    try:
        return decode_record(row)
    except WireError:
        return None


def _decoded(rows: Sequence[bytes]) -> list[Record]:
    try:
        messages = [pb.Record.FromString(row) for row in rows]
        kinds = [(message.WhichOneof("kind"), message) for message in messages]
        frames = iter(frames_from_pb([message.frame for kind, message in kinds if kind == "frame"]))
        return [next(frames) if kind == "frame" else _other(message, kind) for kind, message in kinds]
    except (DecodeError, ValueError, OverflowError) as exc:
        size = sum(len(row) for row in rows)
        raise WireError(f"a spooled record of {size} bytes is unreadable: {exc}") from exc


def _other(message: pb.Record, kind: str | None) -> Record:
    match kind:
        case "health":
            return health_from_pb(message.health)
        case "event":
            return event_from_pb(message.event)
        case "aggregate":
            return aggregate_from_pb(message.aggregate)
        case "picture":
            return picture_from_pb(message.picture)
        case "tombstone":
            return tombstone_from_pb(message.tombstone)
    raise ValueError("it is of no known kind")


def encode_acks(acks: Sequence[StreamAck]) -> bytes:
    """What ingest tells a gateway."""
    return pb.Ack(
        streams=[
            pb.StreamAck(stream=int(ack.stream, 16), last=ack.last, refused=[tombstone_to_pb(x) for x in ack.refused])
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
    message = pb.Batch(
        health=[health_to_pb(health) for _, health in batch.health],
        health_seq=[seq for seq, _ in batch.health],
        tombstones=[tombstone_to_pb(stone) for stone in batch.tombstones],
        events=[event_to_pb(event) for _, event in batch.events],
        event_seq=[seq for seq, _ in batch.events],
        aggregates=[aggregate_to_pb(aggregate) for _, aggregate in batch.aggregates],
        aggregate_seq=[seq for seq, _ in batch.aggregates],
        pictures=[picture_to_pb(part) for _, part in batch.pictures],
        picture_seq=[seq for seq, _ in batch.pictures],
    )
    if batch.frames:
        seqs = np.array([seq for seq, _ in batch.frames], np.int64)
        write_frames_by_track(message, seqs, [result for _, result in batch.frames], batch.first)
    return message


def _claimed_bytes(body: bytes) -> int:
    try:
        size = zstandard.get_frame_parameters(body).content_size
    except zstandard.ZstdError:
        return len(body)
    return len(body) + (size if size <= MAX_BODY_BYTES else 0)  # what says more is not decompressed


def _few(envelopes: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    """So many at once that numpy is worth it, and so few that they fit into the memory, whoever made them."""
    some: list[Envelope] = []
    size = 0
    for envelope in envelopes:
        claimed = _claimed_bytes(envelope.body)
        if some and (size + claimed > MAX_BODY_BYTES or len(some) == _TOGETHER):
            yield some
            some, size = [], 0
        some.append(envelope)
        size += claimed
    if some:
        yield some


def _message(envelope: Envelope, unzip: zstandard.ZstdDecompressor) -> pb.Batch | WireError:
    try:
        size = body_bytes(envelope)
        message = pb.Batch.FromString(unzip.decompress(envelope.body, max_output_size=size))
    except (zstandard.ZstdError, DecodeError) as exc:
        return _unreadable(envelope, exc)
    except WireError as exc:
        return exc
    if _objects(message) > MAX_BODY_MESSAGES:
        return _unreadable(envelope, f"at most {MAX_BODY_MESSAGES} health messages, events, cameras and so on")
    if _names(message) > MAX_NAMES:
        return _unreadable(envelope, f"at most {MAX_NAMES} characters of names, the longest for each row")
    return message


def _frames(envelopes: Sequence[Envelope], messages: Sequence[pb.Batch | WireError]) -> list[FrameColumns | str]:
    """Of each message, or why there are none."""
    frames: list[FrameColumns | str] = [no_frames()] * len(envelopes)
    readers: dict[int, _Reader] = {1: _read_by_row, 2: read_frames_in_bulk}
    for version, read in readers.items():
        chosen = [
            (index, (message, envelope.first))
            for index, (envelope, message) in enumerate(zip(envelopes, messages, strict=True))
            # without frames there are no scales either
            if not isinstance(message, WireError)
            and envelope.version == version
            and (version == 1 or message.HasField("frames"))
        ]
        found = _in_halves(read, [batch for _, batch in chosen])
        for (index, _), columns in zip(chosen, found, strict=True):
            frames[index] = columns
    return frames


def _read_by_row(batches: _Batches) -> list[FrameColumns]:
    return [read_frames_by_row(message, first) for message, first in batches]


def _in_halves(read: _Reader, batches: _Batches) -> Sequence[FrameColumns | str]:
    """What is wrong with one batch costs the others another try, and not more."""
    try:
        return read(batches)
    # ValueError: the columns' own checks; OverflowError: a number above int64
    except (ValueError, OverflowError) as exc:
        if len(batches) == 1:
            return [str(exc)]
    middle = len(batches) // 2
    return [*_in_halves(read, batches[:middle]), *_in_halves(read, batches[middle:])]


def _columns(envelope: Envelope, message: pb.Batch | WireError, frames: FrameColumns | str) -> Columns | WireError:
    if isinstance(message, WireError):
        return message
    if isinstance(frames, str):
        return _unreadable(envelope, frames)
    try:
        return Columns(
            envelope.stream,
            envelope.first,
            envelope.last,
            frames=frames,
            health=_numbered(message.health_seq, message.health, health_from_pb),
            tombstones=tuple(tombstone_from_pb(stone) for stone in message.tombstones),
            events=events_from_pb(message.event_seq, message.events),
            aggregates=aggregates_from_pb(message.aggregate_seq, message.aggregates),
            pictures=_numbered(message.picture_seq, message.pictures, picture_from_pb),
        )
    except (ValueError, OverflowError) as exc:
        return _unreadable(envelope, exc)


def _numbered(
    seqs: Sequence[int], messages: Sequence[Sent], read: Callable[[Sent], Kept]
) -> tuple[tuple[int, Kept], ...]:
    if len(seqs) != len(messages):
        raise ValueError(f"{len(messages)} records have {len(seqs)} seqs")
    return tuple(zip(seqs, map(read, messages), strict=True)) if seqs else ()


def _objects(message: pb.Batch) -> int:
    kinds = (message.health, message.tombstones, message.events, message.aggregates, message.pictures)
    count = sum(len(kind) for kind in (*kinds, message.cameras, message.models))
    if count > MAX_BODY_MESSAGES:
        return count  # enough to be refused; to look at each of them would take seconds
    return count + sum(len(health.cameras) for health in message.health)


def _names(message: pb.Batch) -> int:
    """What MAX_NAMES bounds."""
    longest_camera = max(map(len, message.cameras), default=0)
    longest_model = max((len(model.name) for model in message.models), default=0)
    longest_label = max((len(label) for model in message.models for label in model.labels.values()), default=0)
    frames = max(len(message.frames.camera), len(message.frames_by_row.camera))
    detections = max(len(message.frames.score), len(message.frames_by_row.score))
    return frames * (longest_camera + longest_model) + detections * longest_label


def _frame_results(columns: FrameColumns) -> list[FrameResult]:
    found, labels = columns.found, [columns.labels[index] for index in columns.label.tolist()]
    results, start = [], 0
    for camera, model, frame, captured_at_us, steady_us, count in zip(
        columns.camera.tolist(),
        columns.model.tolist(),
        columns.numbers.tolist(),
        columns.captured_at_us.tolist(),
        columns.steady_us.tolist(),
        columns.counts.tolist(),
        strict=True,
    ):
        rows = slice(start, start + count)
        name, release = columns.models[model]
        detections = Detections(found.xyxy[rows], found.scores[rows], found.class_ids[rows], found.tracks[rows])
        results.append(
            FrameResult(
                columns.cameras[camera],
                frame,
                captured_at_us,
                name,
                release,
                detections,
                tuple(labels[rows]),
                steady_us,
            )
        )
        start += count
    return results


def _unreadable(envelope: Envelope, reason: object) -> WireError:
    return WireError(f"the body of {envelope.stream} {envelope.first}..{envelope.last} is unreadable: {reason}")


def _ack_from_pb(ack: pb.StreamAck) -> StreamAck:
    if ack.last > MAX_SEQ:
        raise ValueError(f"last must be at most {MAX_SEQ}, got {ack.last}")
    return StreamAck(f"{ack.stream:016x}", ack.last, tuple(tombstone_from_pb(stone) for stone in ack.refused))
