"""What gateways and the cloud say to each other: what is sent arrives, and what is damaged is known as such."""

import contextlib
import resource
import zlib
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from models import tidegate_pb2 as pb
from models.detections import Detections
from models.errors import WireError
from models.records import Batch, FrameResult, Health, Record, Tombstone, batch_of
from models.wire import (
    ENVELOPE_BYTES,
    MAX_BODY_BYTES,
    MAX_BODY_MESSAGES,
    StreamAck,
    decode_acks,
    decode_batch,
    decode_body,
    decode_columns,
    decode_record,
    encode_acks,
    encode_batch,
    encode_record,
    open_envelope,
    seal,
)
from tests.models.examples import MAX_SEQ, batches, frame_results, healths, plain

STREAM = "00000000000000aa"

slow = settings(deadline=None, max_examples=50)
fuzz = settings(deadline=None, max_examples=150)


@slow
@given(batches())
def test_what_is_sent_arrives(batch: Batch) -> None:
    assert plain(decode_batch(encode_batch(batch))) == plain(batch)


@slow
@given(batches())
def test_the_envelope_tells_without_the_body_what_it_holds(batch: Batch) -> None:
    envelope = open_envelope(encode_batch(batch))
    assert (envelope.stream, envelope.first, envelope.last) == (batch.stream, batch.first, batch.last)


@slow
@given(st.one_of(frame_results(), healths()))
def test_what_is_spooled_is_read_back(record: Record) -> None:
    assert plain(decode_record(encode_record(record))) == plain(record)


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
    assert sum(stone.last - stone.first + 1 for stone in newer.tombstones) + len(newer.frames) + len(
        newer.health
    ) == len(newer)
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
    for message in (noise, b"TG\x01\x00" + noise):
        with pytest.raises(WireError):
            decode_batch(message)


@fuzz
@given(st.binary(max_size=200))
def test_noise_in_the_spool_or_on_the_ack_topic_is_survived(noise: bytes) -> None:
    for decode in (decode_record, decode_acks):
        with contextlib.suppress(WireError):
            decode(noise)


@fuzz
@given(st.one_of(frame_results(), healths()), st.integers(0, 2**32), st.integers(0, 7))
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


def sealed(body: pb.Batch, first: int, last: int) -> bytes:
    return seal(STREAM, first, last, zstandard.compress(body.SerializeToString()))


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


FRAME_COLUMNS = {
    "seq": numbers(64, signed=False),
    "camera": numbers(32, signed=False),
    "model": numbers(32, signed=False),
    "frame": numbers(64, signed=True),
    "captured_at_us": numbers(64, signed=True),
    "detections": numbers(32, signed=False),
    "class_id": numbers(32, signed=False),
    "track": numbers(64, signed=False),
    "score": numbers(32, signed=True),
    "x1": numbers(32, signed=True),
    "y1": numbers(32, signed=True),
    "width": numbers(32, signed=True),
    "height": numbers(32, signed=True),
}


@fuzz
@given(batches(), st.data())
def test_a_column_that_lies_is_refused(batch: Batch, data: st.DataObject) -> None:
    body = pb.Batch.FromString(zstandard.decompress(open_envelope(encode_batch(batch)).body))
    for name in data.draw(st.lists(st.sampled_from(sorted(FRAME_COLUMNS)), min_size=1, max_size=3)):
        column = getattr(body.frames, name)
        value = data.draw(FRAME_COLUMNS[name])
        if not column or data.draw(st.booleans()):
            column.append(value)
        else:
            column[data.draw(st.integers(0, len(column) - 1))] = value
    survives(sealed(body, batch.first, batch.last))


@fuzz
@given(batches(), st.data())
def test_tables_that_lie_are_refused(batch: Batch, data: st.DataObject) -> None:
    body = pb.Batch.FromString(zstandard.decompress(open_envelope(encode_batch(batch)).body))
    match data.draw(st.integers(0, 8)):
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
        case _:
            body.frames.ClearField(data.draw(st.sampled_from(sorted(FRAME_COLUMNS))))
    last = batch.last if data.draw(st.booleans()) else min(batch.last + 1, MAX_SEQ)
    survives(sealed(body, batch.first, last))


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


def test_a_model_that_is_not_in_the_table_is_refused() -> None:
    # 2**31 shifted into a key once turned negative, and indexed the table from behind
    frames = pb.Frames(seq=[0], camera=[0], model=[2**31], frame=[0], captured_at_us=[0], detections=[1])
    for name in ("class_id", "track", "score", "x1", "y1", "width", "height"):
        getattr(frames, name).append(0)
    body = pb.Batch(box_scale=4, score_scale=255, cameras=["a"], models=[pb.Model(labels={0: "x"})], frames=frames)
    with pytest.raises(WireError, match="model 2147483648 of 1"):
        decode_batch(sealed(body, 1, 1))


def test_counts_that_add_up_to_more_than_memory_are_refused() -> None:
    frames = pb.Frames(seq=[0] + [1] * 99)
    for name in ("camera", "model", "frame", "captured_at_us"):
        getattr(frames, name).extend([0] * 100)
    frames.detections.extend([2**32 - 1] * 100)
    body = pb.Batch(box_scale=4, score_scale=255, cameras=["a"], models=[pb.Model()], frames=frames)
    with pytest.raises(WireError, match="columns of detections differ in length"):
        decode_batch(sealed(body, 1, 100))


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
    with pytest.raises(WireError, match="at most 16384 health messages"):
        decode_batch(seal(STREAM, 1, 1, body))


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
    message[2] = 2
    message[28:32] = zlib.crc32(bytes(message[32:]), zlib.crc32(bytes(message[:28]))).to_bytes(4, "big")
    with pytest.raises(WireError, match="version 2 is not known here"):
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
