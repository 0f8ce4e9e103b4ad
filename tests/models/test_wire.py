"""What gateways and the cloud say to each other: what is sent arrives, and what is damaged is known as such."""

import contextlib
import random
import resource
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from models import tidegate_pb2 as pb
from models.batch import Batch, batch_of
from models.columns import Columns, FrameColumns
from models.detections import Detections
from models.errors import WireError
from models.health import Health
from models.records import FrameResult, Record, Tombstone
from models.wire import (
    ENVELOPE_BYTES,
    MAX_BODY_BYTES,
    MAX_BODY_MESSAGES,
    StreamAck,
    claimed_bytes,
    decode_acks,
    decode_all,
    decode_batch,
    decode_body,
    decode_columns,
    decode_record,
    decode_records,
    encode_acks,
    encode_batch,
    encode_record,
    open_envelope,
    seal,
)
from tests.models.examples import MAX_SEQ, batches, old_batches, plain, records
from tests.models.version_1 import body_of_version_1, encode_version_1

STREAM = "00000000000000aa"

slow = settings(deadline=None, max_examples=50)
fuzz = settings(deadline=None, max_examples=80)


@slow
@given(batches())
def test_what_is_sent_arrives(batch: Batch) -> None:
    assert plain(decode_batch(encode_batch(batch))) == plain(batch)


@slow
@given(old_batches())
def test_what_gateways_of_version_1_send_arrives(batch: Batch) -> None:
    message = encode_version_1(batch)
    assert open_envelope(message).version == 1
    # a clock that never jumps was not known then
    frames = [(seq, replace(result, steady_us=0)) for seq, result in batch.frames]
    assert plain(decode_batch(message)) == plain(replace(batch, frames=tuple(frames)))


@slow
@given(batches())
def test_the_envelope_tells_without_the_body_what_it_holds(batch: Batch) -> None:
    envelope = open_envelope(encode_batch(batch))
    assert (envelope.stream, envelope.first, envelope.last) == (batch.stream, batch.first, batch.last)


@slow
@given(records())
def test_what_is_spooled_is_read_back(record: Record) -> None:
    assert plain(decode_record(encode_record(record))) == plain(record)


@slow
@given(st.lists(records(), max_size=5), st.lists(st.binary(max_size=20), max_size=2), st.randoms())
def test_of_what_is_spooled_only_what_is_damaged_is_lost(
    kept: list[Record], damaged: list[bytes], order: random.Random
) -> None:
    rows = [(encode_record(record), plain(record)) for record in kept] + [(b"\xff" + noise, None) for noise in damaged]
    order.shuffle(rows)
    assert [plain(record) for record in decode_records([row for row, _ in rows])] == [wanted for _, wanted in rows]


@given(st.integers(1, MAX_SEQ), st.integers(0, 1000), st.text(max_size=30))
def test_a_spooled_tombstone_is_read_back(first: int, more: int, reason: str) -> None:
    stone = Tombstone(first, min(first + more, MAX_SEQ), reason)
    assert decode_record(encode_record(stone)) == stone


@slow
@given(batches(), st.integers(0, 2**32))
def test_the_newer_part_of_a_batch_is_whole(batch: Batch, pick: int) -> None:
    seq = batch.first - 1 + pick % len(batch)
    newer = batch.after(seq)
    assert (newer.first, newer.last) == (seq + 1, batch.last)
    assert plain(newer.frames) == [plain(item) for item in batch.frames if item[0] > seq]
    assert newer.health == tuple(item for item in batch.health if item[0] > seq)
    items = (newer.frames, newer.health, newer.events, newer.aggregates, newer.pictures)
    assert sum(stone.last - stone.first + 1 for stone in newer.tombstones) + sum(map(len, items)) == len(newer)
    assert plain(decode_batch(encode_batch(newer))) == plain(newer)


def test_nothing_is_newer_than_the_last() -> None:
    batch = batch_of(STREAM, 1, [Tombstone(1, 5, "")])
    with pytest.raises(ValueError, match="records must cover"):
        batch.after(5)


@given(
    st.lists(
        st.builds(
            StreamAck,
            stream=st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}"),
            last=st.integers(0, MAX_SEQ),
            refused=st.lists(
                st.tuples(st.integers(1, 2**60), st.integers(0, 2**60), st.text(max_size=9)).map(
                    lambda part: Tombstone(part[0], part[0] + part[1], part[2])
                ),
                max_size=3,
            ).map(tuple),
        ),
        max_size=5,
    )
)
def test_acknowledgements_arrive(acks: list[StreamAck]) -> None:
    assert decode_acks(encode_acks(acks)) == tuple(acks)


# --- damage on the way


@fuzz
@given(batches(), st.integers(0, 2**32), st.integers(0, 7))
def test_a_flipped_bit_is_noticed(batch: Batch, position: int, bit: int) -> None:
    message = bytearray(encode_batch(batch))
    # the reserved byte is covered by the checksum, too
    message[position % len(message)] ^= 1 << bit
    with pytest.raises(WireError):
        decode_batch(bytes(message))


@fuzz
@given(batches(), st.integers(0, 2**32))
def test_a_truncated_message_is_noticed(batch: Batch, length: int) -> None:
    message = encode_batch(batch)
    with pytest.raises(WireError):
        decode_batch(message[: length % len(message)])


@fuzz
@given(st.binary(max_size=300))
def test_noise_is_no_message(noise: bytes) -> None:
    for message in (noise, b"TG\x01\x00" + noise, b"TG\x02\x00" + noise):
        with pytest.raises(WireError):
            decode_batch(message)


@fuzz
@given(st.binary(max_size=200))
def test_noise_in_the_spool_or_on_the_ack_topic_is_survived(noise: bytes) -> None:
    for decode in (decode_record, decode_acks):
        with contextlib.suppress(WireError):
            decode(noise)


@fuzz
@given(records(), st.integers(0, 2**32), st.integers(0, 7))
def test_a_spooled_record_with_a_flipped_bit_is_a_record_or_refused(record: Record, position: int, bit: int) -> None:
    data = bytearray(encode_record(record))
    data[position % len(data)] ^= 1 << bit
    try:
        read = decode_record(bytes(data))
    except WireError:
        return
    if not isinstance(read, Tombstone):
        # what can be read can be sent, or a damaged row would stop its stream for ever
        decode_batch(encode_batch(batch_of(STREAM, 1, [read])))


# --- a sender who means harm: valid envelopes with hostile bodies


def sealed(body: pb.Batch, first: int, last: int, *, version: int = 2) -> bytes:
    return seal(STREAM, first, last, zstandard.compress(body.SerializeToString()), version=version)


def survives(message: bytes) -> None:
    """Either both readings refuse the message, or both take it."""
    envelope = open_envelope(message)
    try:
        columns = decode_columns(envelope)
    except WireError:
        with pytest.raises(WireError):
            decode_body(envelope)
        return
    batch = decode_body(envelope)
    assert [seq for seq, _ in batch.frames] == columns.frames.seqs.tolist()
    for _, result in batch.frames:
        found = result.detections
        assert np.isfinite(found.xyxy).all()
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        assert 0 <= result.frame < 2**63
        assert found.tracks.min(initial=0) >= 0


def numbers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    edges = st.sampled_from([low, high, high // 2, high // 2 + 1, 0, 1])
    return st.one_of(edges, st.integers(low, high), st.integers(0, 3))


U32, U64, S32, S64 = (numbers(bits, signed=signed) for signed in (False, True) for bits in (32, 64))
# by version: the columns of frames
COLUMNS: dict[int, dict[str, st.SearchStrategy[int]]] = {
    1: {
        **dict.fromkeys(("seq", "track"), U64),
        **dict.fromkeys(("camera", "model", "detections", "class_id"), U32),
        **dict.fromkeys(("frame", "captured_at_us"), S64),
        **dict.fromkeys(("score", "x1", "y1", "width", "height"), S32),
    },
    2: {
        **dict.fromkeys(("seq", "period_us"), U64),
        **dict.fromkeys(("camera", "model", "line_camera", "class_id", "runs", "length"), U32),
        **dict.fromkeys(("frame", "captured_at_us", "clock_offset_us", "track"), S64),
        **dict.fromkeys(("start", "score", "x1", "y1", "x2", "y2"), S32),
    },
}


def body_of(batch: Batch, version: int) -> pb.Batch:
    if version == 1:
        return body_of_version_1(batch)
    return pb.Batch.FromString(zstandard.decompress(open_envelope(encode_batch(batch)).body))


def frames_of(body: pb.Batch, version: int) -> Any:
    return body.frames_by_row if version == 1 else body.frames


@pytest.mark.parametrize("version", [1, 2])
@fuzz
@given(st.data())
def test_a_column_that_lies_is_refused(version: int, data: st.DataObject) -> None:
    batch = data.draw(old_batches() if version == 1 else batches())
    body = body_of(batch, version)
    for name in data.draw(st.lists(st.sampled_from(sorted(COLUMNS[version])), min_size=1, max_size=3)):
        column = getattr(frames_of(body, version), name)
        value = data.draw(COLUMNS[version][name])
        if not column or data.draw(st.booleans()):
            column.append(value)
        else:
            column[data.draw(st.integers(0, len(column) - 1))] = value
    survives(sealed(body, batch.first, batch.last, version=version))


@pytest.mark.parametrize("version", [1, 2])
@fuzz
@given(st.data())
def test_tables_that_lie_are_refused(version: int, data: st.DataObject) -> None:
    batch = data.draw(old_batches() if version == 1 else batches())
    body = body_of(batch, version)
    match data.draw(st.integers(0, 9)):
        case 0:
            del body.cameras[:]
        case 1:
            del body.models[:]
        case 2:
            for model in body.models:
                model.labels.clear()
        case 3:
            body.box_scale = data.draw(numbers(32, signed=False))
        case 4:
            body.score_scale = data.draw(numbers(32, signed=False))
        case 5:
            body.health_seq.append(data.draw(numbers(64, signed=False)))
        case 6:
            first, last = data.draw(numbers(64, signed=False)), data.draw(numbers(64, signed=False))
            body.tombstones.append(pb.Tombstone(first=first, last=last))
        case 7:
            body.health.append(pb.Health(at_us=data.draw(numbers(64, signed=True)), p50_ms=float("nan")))
            body.health_seq.append(batch.last + 1)
        case 8:
            body.events.append(pb.Event(at_us=data.draw(S64), track=data.draw(U64), frame=data.draw(U64)))
            body.event_seq.append(batch.last + 1)
        case _:
            frames_of(body, version).ClearField(data.draw(st.sampled_from(sorted(COLUMNS[version]))))
    last = batch.last if data.draw(st.booleans()) else min(batch.last + 1, MAX_SEQ)
    survives(sealed(body, batch.first, last, version=version))


@slow
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.data()), max_size=6))
def test_messages_that_are_read_together_do_not_touch_each_other(drawn: list[tuple[int, st.DataObject]]) -> None:
    envelopes = []
    for version, data in drawn:
        batch = data.draw(old_batches() if version == 1 else batches())
        body = body_of(batch, version)
        for name in data.draw(st.lists(st.sampled_from([*sorted(COLUMNS[version]), "scale"]), max_size=1)):
            if name == "scale":
                body.box_scale = data.draw(st.integers(0, 9))
            else:
                getattr(frames_of(body, version), name).append(data.draw(COLUMNS[version][name]))
        envelopes.append(open_envelope(sealed(body, batch.first, batch.last, version=version)))

    together = decode_all(envelopes)

    assert [said(columns) for columns in together] == [said(decode_all([envelope])[0]) for envelope in envelopes]


def test_how_much_a_message_holds_is_known_before_it_is_opened() -> None:
    body = bytes(MAX_BODY_BYTES)
    for size in (0, 1000, MAX_BODY_BYTES):
        message = seal(STREAM, 1, 1, zstandard.compress(body[:size]))
        assert claimed_bytes(message) - size <= 400
        assert claimed_bytes(message) >= size
    too_much = seal(STREAM, 1, 1, zstandard.compress(bytes(MAX_BODY_BYTES + 1)))  # is never decompressed
    assert claimed_bytes(too_much) <= len(too_much)
    assert claimed_bytes(b"TG") <= 2


def said(columns: Columns | WireError) -> object:
    """All of it, comparable."""
    if isinstance(columns, WireError):
        return str(columns)
    frames = columns.frames
    values = [getattr(frames, name) for name in FrameColumns.__dataclass_fields__ if name != "found"]
    found = [getattr(frames.found, name) for name in Detections.__dataclass_fields__]
    others = (columns.health, columns.events, columns.aggregates, columns.tombstones, columns.pictures)
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in (*values, *found)], others


@slow
@given(batches(), st.integers(1, MAX_SEQ), st.integers(1, MAX_SEQ))
def test_an_envelope_that_lies_is_refused(batch: Batch, first: int, last: int) -> None:
    body = open_envelope(encode_batch(batch)).body
    if last - first == batch.last - batch.first:
        return
    with pytest.raises(WireError):
        decode_batch(seal(batch.stream, first, last, body))


@fuzz
@given(st.binary(max_size=400))
def test_a_body_of_noise_is_refused(noise: bytes) -> None:
    for body in (noise, zstandard.compress(noise)):
        survives(seal(STREAM, 1, 3, body))


@pytest.mark.parametrize("name", ["p50_ms", "p95_ms", "window_s"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_health_message_with_impossible_figures_is_refused(name: str, value: float) -> None:
    body = pb.Batch(box_scale=4, score_scale=255, health=[pb.Health()], health_seq=[1])
    setattr(body.health[0], name, value)
    with pytest.raises(WireError, match=f"{name} must be in"):
        decode_batch(sealed(body, 1, 1))


def one_detection(version: int, **columns: list[int]) -> pb.Batch:
    """A body of one frame with one detection, but for some columns."""
    body = pb.Batch(box_scale=4, score_scale=255, cameras=["a"], models=[pb.Model(labels={0: "x"})])
    zeros = {name: [0] for name in COLUMNS[version]} | ({"detections": [1]} if version == 1 else {"runs": [1]})
    for name, values in (zeros | columns).items():
        getattr(frames_of(body, version), name).extend(values)
    return body


@pytest.mark.parametrize("version", [1, 2])
def test_a_model_that_is_not_in_the_table_is_refused(version: int) -> None:
    assert len(decode_batch(sealed(one_detection(version), 1, 1, version=version)).frames) == 1
    # 2**31 shifted into a key once turned negative, and indexed the table from behind
    with pytest.raises(WireError, match="model 2147483648 of 1"):
        decode_batch(sealed(one_detection(version, model=[2**31]), 1, 1, version=version))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"camera": [1]}, "camera 1 of 1"),
        ({"line_camera": [1]}, "a line has a camera of the batch"),
        ({"track": [-1]}, "a track that is not negative"),
        ({"start": [1]}, "beyond its camera's frames"),
        ({"start": [-1]}, "beyond its camera's frames"),
        ({"length": [2**32 - 1]}, "columns of detections differ in length"),
        ({"runs": [0]}, "at least one run"),
        ({"runs": [2**32 - 1]}, "at least one run"),
        ({"period_us": []}, "column period_us has .0. numbers"),
        ({"clock_offset_us": [0, 0]}, "clock offsets"),
        ({"score": [256]}, "scores must be in 0..255"),
        ({"x2": [2**31 - 1]}, "boxes must be within"),
        # two rows of a line in one frame
        (
            {
                "runs": [2],
                "start": [0, -1],
                "length": [0, 0],
                **{key: [0, 0] for key in ("score", "x1", "y1", "x2", "y2")},
            },
            "at least one frame",
        ),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(columns: dict[str, list[int]], words: str) -> None:
    with pytest.raises(WireError, match=words):
        decode_batch(sealed(one_detection(2, **columns), 1, 1))


def test_a_period_beyond_all_time_is_refused() -> None:
    body = pb.Batch(cameras=["a"], models=[pb.Model()], box_scale=4, score_scale=255)
    frames = {"seq": [0, 1], "camera": [0, 0], "model": [0, 0], "frame": [0, -(2**63)], "captured_at_us": [0, 0]}
    for name, values in frames.items():
        getattr(body.frames, name).extend(values)
    body.frames.period_us.append(1)
    with pytest.raises(WireError, match="a period times a difference of frames"):
        decode_batch(sealed(body, 1, 2))


def test_counts_that_add_up_to_more_than_memory_are_refused() -> None:
    frames = pb.FramesByRow(seq=[0] + [1] * 99)
    for name in ("camera", "model", "frame", "captured_at_us"):
        getattr(frames, name).extend([0] * 100)
    frames.detections.extend([2**32 - 1] * 100)
    body = pb.Batch(box_scale=4, score_scale=255, cameras=["a"], models=[pb.Model()], frames_by_row=frames)
    with pytest.raises(WireError, match="columns of detections differ in length"):
        decode_batch(sealed(body, 1, 100, version=1))
    lines = pb.FramesByTrack(seq=[0], camera=[0], model=[0], frame=[0], captured_at_us=[0], period_us=[0])
    for name in ("line_camera", "track", "class_id", "start"):
        getattr(lines, name).extend([0] * 100)
    lines.runs.extend([1] * 100)
    lines.length.extend([2**32 - 1] * 100)
    body = pb.Batch(box_scale=4, score_scale=255, cameras=["a"], models=[pb.Model()], frames=lines)
    with pytest.raises(WireError, match="columns of detections differ in length"):
        decode_batch(sealed(body, 1, 1))


def bomb(size: int, *, says: bool) -> bytes:
    return zstandard.ZstdCompressor(level=3, write_content_size=says).compress(b"\x32\x00" * (size // 2))


@pytest.mark.parametrize("says", [True, False])
def test_a_bomb_does_not_go_off(says: bool) -> None:
    body = bomb(256 << 20, says=says)
    assert len(body) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WireError, match="must say its size and be at most"):
        decode_batch(seal(STREAM, 1, 1, body))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_a_body_that_understates_its_size_is_refused() -> None:
    small, big = (zstandard.compress(b"\x0a\x00" * count) for count in (100, 100_000))
    header = zstandard.frame_header_size(small)
    forged = small[:header] + big[zstandard.frame_header_size(big) :]
    with pytest.raises(WireError):
        decode_batch(seal(STREAM, 1, 1, forged))


def test_many_empty_messages_cost_little_memory() -> None:
    body = zstandard.compress(b"\x32\x00" * (MAX_BODY_BYTES // 2))
    with pytest.raises(WireError, match="at most 16384"):
        decode_batch(seal(STREAM, 1, 1, body))


@pytest.mark.parametrize("inside", ["models", "cameras", "health"])
def test_many_empty_messages_of_any_kind_are_refused(inside: str) -> None:
    body = pb.Batch(box_scale=4, score_scale=255)
    if inside == "health":
        body.health.add().cameras.extend([pb.CameraHealth()] * MAX_BODY_MESSAGES)
    else:
        getattr(body, inside).extend([pb.Model() if inside == "models" else ""] * (MAX_BODY_MESSAGES + 1))
    with pytest.raises(WireError, match="at most 16384"):
        decode_batch(sealed(body, 1, 1))


def of_one_name(detections: int, letters: int) -> list[Record]:
    boxes = [(1, 2, 3, 4)] * detections
    found = Detections.of(boxes, [0.5] * detections, [0] * detections)
    return [FrameResult.of("c", 1, 1_000, "m", 1, found, ("x" * letters,) * detections)]


def test_a_long_name_for_many_things_is_refused_before_it_is_spelled_out() -> None:
    lines = pb.FramesByTrack(seq=[0], camera=[0], model=[0], frame=[0], captured_at_us=[0], period_us=[0])
    for name in ("line_camera", "class_id", "start", "length", "score", "x1", "y1", "x2", "y2"):
        getattr(lines, name).extend([0] * 1_000)
    lines.track.extend([1] * 1_000)
    lines.runs.extend([1] * 1_000)
    body = pb.Batch(box_scale=4, score_scale=255, cameras=["a"], frames=lines)
    body.models.add(name="m", labels={0: "x" * 100_000})
    message = sealed(body, 1, 1)
    assert len(message) < 1_000
    with pytest.raises(WireError, match="characters of names"):
        decode_batch(message)
    with pytest.raises(WireError, match="is too large"):
        encode_batch(batch_of(STREAM, 1, of_one_name(1_000, 3_000)))
    assert len(decode_batch(encode_batch(batch_of(STREAM, 1, of_one_name(1_000, 2_000))))) == 1


def test_a_batch_too_large_to_be_read_is_not_made() -> None:
    stones: list[Record] = [Tombstone(seq, seq, "") for seq in range(1, MAX_BODY_MESSAGES + 2)]
    with pytest.raises(WireError, match="is too large"):
        encode_batch(batch_of(STREAM, 1, stones))
    assert len(decode_batch(encode_batch(batch_of(STREAM, 1, stones[:-1])))) == MAX_BODY_MESSAGES


def test_a_field_of_a_newer_gateway_is_no_damage() -> None:
    body = pb.Batch(box_scale=4, score_scale=255, tombstones=[pb.Tombstone(first=1, last=2, reason="full")])
    data = body.SerializeToString() + b"\xf8\x07\x2a"  # field 127, a varint
    message = seal(STREAM, 1, 2, zstandard.compress(data))
    assert decode_batch(message).tombstones == (Tombstone(1, 2, "full"),)


def test_an_envelope_of_a_newer_version_is_refused() -> None:
    message = bytearray(seal(STREAM, 1, 1, b""))
    message[2] = 3
    message[28:32] = zlib.crc32(bytes(message[32:]), zlib.crc32(bytes(message[:28]))).to_bytes(4, "big")
    with pytest.raises(WireError, match="version 3 is not known here"):
        open_envelope(bytes(message))


@pytest.mark.parametrize(("first", "last"), [(0, 1), (2, 1), (1, 2**62 + 1), (2**64 - 1, 2**64 - 1)])
def test_an_envelope_with_impossible_numbers_is_refused(first: int, last: int) -> None:
    with pytest.raises(WireError, match="first <= last"):
        open_envelope(seal(STREAM, first, last, b""))


def test_the_smallest_message_is_an_envelope() -> None:
    with pytest.raises(WireError, match="shorter than the envelope"):
        open_envelope(b"TG" + b"\0" * (ENVELOPE_BYTES - 3))


@pytest.mark.parametrize(
    "ack",
    [
        pb.StreamAck(stream=1, last=2**64 - 1),
        pb.StreamAck(stream=1, last=3, refused=[pb.Tombstone(first=0, last=1)]),
        pb.StreamAck(stream=1, last=3, refused=[pb.Tombstone(first=3, last=2)]),
        pb.StreamAck(stream=1, last=3, refused=[pb.Tombstone(first=1, last=2**63)]),
    ],
)
def test_an_acknowledgement_of_impossible_numbers_is_refused(ack: pb.StreamAck) -> None:
    with pytest.raises(WireError, match="unreadable"):
        decode_acks(pb.Ack(streams=[ack]).SerializeToString())


@pytest.mark.parametrize(
    "row",
    [
        pb.FrameRow(class_id=[1]),
        pb.FrameRow(labels=["x"]),
        pb.FrameRow(labels=["x"], class_id=[1], track=[0], score=[256], x1=[0], y1=[0], width=[1], height=[1]),
        pb.FrameRow(labels=["x"], class_id=[1], track=[2**63], score=[1], x1=[0], y1=[0], width=[1], height=[1]),
        pb.FrameRow(labels=["x"], class_id=[1], track=[0], score=[1], x1=[2**31 - 1], y1=[0], width=[1], height=[1]),
        pb.FrameRow(frame=2**63),
        pb.FrameRow(captured_at_us=-1),
    ],
)
def test_a_spooled_row_that_makes_no_sense_is_refused(row: pb.FrameRow) -> None:
    with pytest.raises(WireError, match="unreadable"):
        decode_record(pb.Record(frame=row).SerializeToString())


def test_a_result_is_rounded_as_the_wire_does() -> None:
    found = Detections.of([[0.1, 0.13, 99.9, 100.4]], [0.5], [1])
    result = FrameResult.of("a", 1, 1_234_567, "m", 1, found, ("x",))
    assert result.captured_at_us == 1234
    assert result.detections.xyxy.tolist() == [[0.0, 0.25, 100.0, 100.5]]
    assert result.detections.scores.tolist() == [np.float32(128 / 255)]
    assert np.abs(result.detections.xyxy - found.xyxy).max() <= 1 / 8 + 1e-5


def test_a_result_is_in_the_order_of_the_wire() -> None:
    found = Detections(
        np.arange(20, dtype=np.float32).reshape(5, 4),
        np.array([0.5, 0.9, 0.5, 0.5, 0.5], np.float32),
        np.array([3, 1, 2, 2, 2]),
        np.array([7, 0, 9, 7, 0]),
    )
    result = FrameResult.of("a", 1, 1, "m", 1, found, ("a", "b", "c", "d", "e"))
    assert result.labels == ("b", "e", "d", "a", "c")  # best first; of one score by track, then by class
    assert result.detections.xyxy[:, 0].tolist() == [4, 16, 12, 0, 8]


def test_two_clocks_in_step_stay_in_step_when_rounded() -> None:
    offset_ns = 1_763_000_000_123_456_789
    results = [
        FrameResult.of("a", n, steady_ns + offset_ns, "m", 1, Detections.empty(), (), steady_ns=steady_ns)
        for n, steady_ns in enumerate(range(10**12, 10**12 + 10**6, 33_333))
    ]
    assert len({result.captured_at_us - result.steady_us for result in results}) == 1


@pytest.mark.parametrize(
    "values",
    [{"frame": -1}, {"frame": 2**63}, {"captured_at_us": -1}, {"captured_at_us": 2**62}, {"labels": ("x",)}],
)
def test_a_result_that_could_not_be_sent_is_not_made(values: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "camera": "a",
        "frame": 1,
        "captured_at_us": 1,
        "model": "m",
        "release": 1,
        "detections": Detections.empty(),
        "labels": (),
    }
    FrameResult(**good)
    with pytest.raises(ValueError, match=r"labels|must be in"):
        FrameResult(**(good | values))


@pytest.mark.parametrize(
    "spans",
    [[(1, 1), (3, 3)], [(1, 2), (2, 3)], [(2, 2)], [(1, 3), (4, 3)], []],
)
def test_a_batch_with_gaps_or_overlaps_is_not_made(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="records"):
        Batch(STREAM, 1, 3, tombstones=tuple(Tombstone(first, last, "") for first, last in spans))


@pytest.mark.parametrize("stream", ["", "AA", "00000000000000AA", "g" * 16, "0" * 17, "0" * 16 + "\n"])
def test_a_stream_has_sixteen_hex_digits(stream: str) -> None:
    with pytest.raises(ValueError, match="16 hex digits"):
        Batch(stream, 1, 1, tombstones=(Tombstone(1, 1, ""),))


def test_health_of_the_smallest_kind_travels() -> None:
    health = Health(at_us=1, window_s=60.0, model="m", release=1, digest="", variant="fp32")
    batch = Batch(STREAM, 5, 5, health=((5, health),))
    assert decode_batch(encode_batch(batch)) == batch
