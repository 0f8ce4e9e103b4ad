"""Event-stream framing, as Greengrass IPC speaks it on its unix socket.

A frame, big-endian: u32 total length, u32 length of the headers, u32 CRC-32 of those eight bytes, headers, payload,
u32 CRC-32 of all before it. A header: u8 length of its name, name, u8 type, value. Types 4 (int32) and 7 (string with
a u16 length) are the only ones that the IPC protocol uses.
"""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import WireError

_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_OVERHEAD = _PRELUDE.size + _CRC.size
_INT32, _STRING = 4, 7

Header = int | str


@dataclass(frozen=True, slots=True)
class Message:
    """One frame's content."""

    headers: Mapping[str, Header]
    payload: bytes = b""


def encode(message: Message) -> bytes:
    """The frame that holds this message."""
    headers = b"".join(_encode_header(name, value) for name, value in message.headers.items())
    total = _OVERHEAD + len(headers) + len(message.payload)
    lengths = struct.pack(">II", total, len(headers))
    frame = lengths + _CRC.pack(zlib.crc32(lengths)) + headers + message.payload
    return frame + _CRC.pack(zlib.crc32(frame))


class Parser:
    """Turns a stream of bytes, however it is cut, into messages."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete.

        WireError when they are no frames, or one is longer than the limit: the stream has no place to go on from.
        """
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> Message | None:
        if len(self._buffer) < _PRELUDE.size:
            return None
        total, headers_length, prelude_crc = _PRELUDE.unpack_from(self._buffer)
        # before any length is believed: garbage must not make us wait for four gigabytes
        if zlib.crc32(self._buffer[:8]) != prelude_crc:
            raise WireError("these bytes are no event-stream frame: the CRC of its prelude is wrong")
        if total > self._limit_bytes:
            raise WireError(f"an event-stream frame may hold {self._limit_bytes} B, got one of {total} B")
        if total < _OVERHEAD + headers_length:
            raise WireError(f"an event-stream frame of {total} B cannot hold headers of {headers_length} B")
        if len(self._buffer) < total:
            return None
        frame = bytes(self._buffer[:total])
        del self._buffer[:total]
        if zlib.crc32(frame[:-4]) != _CRC.unpack_from(frame, total - 4)[0]:
            raise WireError("an event-stream frame is damaged: its CRC is wrong")
        headers_end = _PRELUDE.size + headers_length
        return Message(_decode_headers(frame[_PRELUDE.size : headers_end]), frame[headers_end:-4])


def _encode_header(name: str, value: Header) -> bytes:
    name_bytes = name.encode()
    start = struct.pack(">B", len(name_bytes)) + name_bytes
    if isinstance(value, int):
        return start + struct.pack(">Bi", _INT32, value)
    value_bytes = value.encode()
    return start + struct.pack(">BH", _STRING, len(value_bytes)) + value_bytes


def _decode_headers(data: bytes) -> dict[str, Header]:
    headers: dict[str, Header] = {}
    position = 0
    try:
        while position < len(data):
            name_end = position + 1 + data[position]
            name = _text(data, position + 1, name_end)
            kind, position = data[name_end], name_end + 1
            if kind == _INT32:
                headers[name] = struct.unpack_from(">i", data, position)[0]
                position += 4
            elif kind == _STRING:
                value_start = position + 2
                position = value_start + struct.unpack_from(">H", data, position)[0]
                headers[name] = _text(data, value_start, position)
            else:
                raise WireError(f"event-stream header {name!r} has type {kind}, expected 4 (int32) or 7 (string)")
    except (IndexError, struct.error, UnicodeDecodeError) as exc:
        raise WireError(f"the headers of an event-stream frame cannot be read: {exc}") from exc
    return headers


def _text(data: bytes, start: int, end: int) -> str:
    if end > len(data):
        raise IndexError("a header ends after the headers")
    return data[start:end].decode()
