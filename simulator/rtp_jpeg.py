"""JPEG pictures as RTP packets (RFC 2435), and the sender reports (RFC 3550) that say what time it was."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

CLOCK_HZ = 90_000
PAYLOAD_TYPE = 26
_MOST = 1400  # bytes of a packet's picture
_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970
_SSRC = 0x7469_6465


@dataclass(frozen=True, slots=True)
class _Jpeg:
    """What a receiver needs to build the same picture: Huffman tables are the standard's, and not sent."""

    kind: int  # 0: 4:2:2, 1: 4:2:0
    width: int
    height: int
    tables: bytes
    scan: bytes


def packets(jpeg: bytes, *, sequence: int, timestamp: int) -> Iterator[bytes]:
    """The RTP packets of one picture, numbered from `sequence` on; its sides must be multiples of 8 below 2041."""
    picture = _parse(jpeg)
    offset = 0
    while offset < len(picture.scan):
        head = struct.pack(
            ">I4B",
            offset,  # the type-specific byte before these 24 bits is 0
            picture.kind,
            255,  # the tables come with the first packet
            picture.width // 8,
            picture.height // 8,
        )
        if offset == 0:
            head += struct.pack(">BBH", 0, 0, len(picture.tables)) + picture.tables
        part = picture.scan[offset : offset + _MOST]
        offset += len(part)
        last = offset == len(picture.scan)
        marker = 0x80 if last else 0
        yield (
            struct.pack(">BBHII", 0x80, marker | PAYLOAD_TYPE, sequence % 2**16, timestamp % 2**32, _SSRC) + head + part
        )
        sequence += 1


def sender_report(*, utc_ns: int, timestamp: int, packets_sent: int, bytes_sent: int) -> bytes:
    """An RTCP packet: what `timestamp` counts was at `utc_ns`."""
    seconds, rest_ns = divmod(utc_ns, 10**9)
    fraction = (rest_ns << 32) // 10**9
    return struct.pack(
        ">BBHIIIIII",
        0x80,
        200,
        6,
        _SSRC,
        (seconds + _NTP_EPOCH) % 2**32,
        fraction,
        timestamp % 2**32,
        packets_sent % 2**32,
        bytes_sent % 2**32,
    )


def _parse(jpeg: bytes) -> _Jpeg:
    """Take a baseline JPEG apart: ITU T.81, B.1.1."""
    tables = b""
    kind = width = height = 0
    at = 2
    while at < len(jpeg):
        marker, length = struct.unpack_from(">HH", jpeg, at)
        segment = jpeg[at + 4 : at + 2 + length]
        at += 2 + length
        match marker:
            case 0xFFDB:
                # one or more tables, each after a byte that says which
                tables += b"".join(segment[start + 1 : start + 65] for start in range(0, len(segment), 65))
            case 0xFFC0:
                height, width = struct.unpack_from(">HH", segment, 1)
                kind = 1 if segment[7] == 0x22 else 0
            case 0xFFDA:
                return _Jpeg(kind, width, height, tables, jpeg[at:-2])
    raise ValueError("no picture in this JPEG")
