"""Records in one piece, as the spool's database keeps what was recorded within a second.

    offset  size
         0     1  0: what follows is as it is; 1: it is compressed with zstd
         1     -  for each record its length and its CRC-32, then the records

The checksums, since a memory card gives back other bytes than it was given without a word; compressed, since frames of
one second are alike, and fewer pages wear the card less.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence

import zstandard

MAX_RECORDS = 128
MAX_BYTES = 64 << 10  # a larger record is a run of its own
_ENTRY = struct.Struct(">II")
_PLAIN, _COMPRESSED = b"\0", b"\1"
_LARGE = 4 << 10  # a single record of more than that is a picture, which gets no smaller
_MAX_RUN_BYTES = 64 << 20  # what a damaged one may claim to be


def pack(payloads: Sequence[bytes]) -> bytes:
    """These records, encoded, none of them empty, as one run."""
    entries = [_ENTRY.pack(len(payload), zlib.crc32(payload)) for payload in payloads]
    if len(payloads) == 1 and len(payloads[0]) > _LARGE:
        return b"".join((_PLAIN, *entries, *payloads))
    return _pack(b"".join((*entries, *payloads)))


def unpack(run: bytes, count: int) -> list[bytes | None]:
    """The `count` records of a run; None for what is damaged."""
    plain = _unpack(run)
    payloads: list[bytes | None] = []
    start = count * _ENTRY.size
    for index in range(count):
        entry = plain[index * _ENTRY.size : (index + 1) * _ENTRY.size]
        if len(entry) < _ENTRY.size:
            payloads.append(None)
            continue
        length, checksum = _ENTRY.unpack(entry)
        payload = plain[start : start + length]
        # none is empty; an entry of zeros, whose checksum would fit, is damage
        whole = payload and len(payload) == length and zlib.crc32(payload) == checksum
        payloads.append(payload if whole else None)
        start += length
    return payloads


def part(run: bytes, count: int, begin: int, end: int) -> bytes:
    """The run of records begin..end - 1 of this one's 0..count - 1; what is damaged stays so."""
    kept = unpack(run, count)[begin:end]
    entries = b"".join(
        _ENTRY.pack(0, 1) if payload is None else _ENTRY.pack(len(payload), zlib.crc32(payload)) for payload in kept
    )
    return _pack(entries + b"".join(payload or b"" for payload in kept))


def split(payloads: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Records in the portions that runs are made of."""
    begin = size = 0
    for index, payload in enumerate(payloads):
        if index > begin and (index - begin == MAX_RECORDS or size + len(payload) > MAX_BYTES):
            yield payloads[begin:index]
            begin, size = index, 0
        size += len(payload)
    if begin < len(payloads):
        yield payloads[begin:]


def _pack(plain: bytes) -> bytes:
    compressed = zstandard.ZstdCompressor(level=1).compress(plain)
    return _COMPRESSED + compressed if len(compressed) < len(plain) else _PLAIN + plain


def _unpack(run: bytes) -> bytes:
    if run[:1] != _COMPRESSED:
        return run[1:]
    try:
        if not 0 <= zstandard.get_frame_parameters(run[1:]).content_size <= _MAX_RUN_BYTES:
            return b""
        return zstandard.ZstdDecompressor().decompress(run[1:])
    except zstandard.ZstdError:
        return b""
