"""Event-stream framing: whatever was encoded comes back, however it was cut; anything else is refused."""

import contextlib
import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import WireError
from simulator.nucleus.eventstream import Message, Parser, encode

LIMIT_BYTES = 10_000

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
names = st.text(min_size=1, max_size=20)
values = st.integers(-(2**31), 2**31 - 1) | st.text(max_size=50)
messages = st.builds(Message, st.dictionaries(names, values, max_size=6), st.binary(max_size=300))


@unhurried
@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 200), min_size=1))
def test_messages_come_back_however_the_stream_is_cut(sent: list[Message], cuts: list[int]) -> None:
    stream = b"".join(encode(message) for message in sent)
    parser, received, position = Parser(limit_bytes=LIMIT_BYTES), [], 0
    while position < len(stream):
        cut = cuts[position % len(cuts)]
        received += parser.feed(stream[position : position + cut])
        position += cut
    assert received == sent


@unhurried
@given(messages, st.data())
def test_a_damaged_frame_is_refused_or_waited_for_but_never_read(message: Message, data: st.DataObject) -> None:
    frame = bytearray(encode(message))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(WireError):
        assert Parser(limit_bytes=LIMIT_BYTES).feed(bytes(frame)) == []


@unhurried
@given(st.binary(max_size=500))
def test_garbage_is_refused_with_the_one_error(garbage: bytes) -> None:
    with contextlib.suppress(WireError):
        Parser(limit_bytes=LIMIT_BYTES).feed(garbage)


@unhurried
@given(st.binary(max_size=60))
def test_headers_that_cannot_be_read_are_refused_though_all_sums_are_right(headers: bytes) -> None:
    lengths = struct.pack(">II", 16 + len(headers), len(headers))
    frame = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers
    frame += struct.pack(">I", zlib.crc32(frame))
    with contextlib.suppress(WireError):
        assert len(Parser(limit_bytes=LIMIT_BYTES).feed(frame)) == 1


def test_the_wire_is_as_the_sdk_has_it() -> None:
    frame = encode(Message({":message-type": 4}, b"{}"))
    assert (
        frame.hex()
        == "0000002500000013" + "e8bd3ec3" + "0d3a6d6573736167652d74797065" + "0400000004" + "7b7d" + frame[-4:].hex()
    )
    assert struct.unpack(">I", frame[-4:])[0] == zlib.crc32(frame[:-4])


def test_a_frame_of_exactly_the_limit_passes_and_one_byte_more_is_refused_before_it_arrived() -> None:
    longest = encode(Message({}, bytes(LIMIT_BYTES - 16)))
    assert len(Parser(limit_bytes=LIMIT_BYTES).feed(longest)) == 1
    with pytest.raises(WireError, match="may hold 10000 B, got one of 10001 B"):
        Parser(limit_bytes=LIMIT_BYTES).feed(encode(Message({}, bytes(LIMIT_BYTES - 15)))[:12])
