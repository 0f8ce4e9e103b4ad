"""MQTT's packets, 3.1.1 and 5, as far as somebody must read them who stands between a client and a broker.

https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html, section 2 and 3
"""

import asyncio
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14
MQTT5 = 5
MAX_BYTES = 1 << 20


class NotMqttError(Exception):
    """Bytes that are no packet."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet as it came: `kind`, the four flags, and what follows the length."""

    kind: int
    flags: int
    body: bytes

    def encoded(self) -> bytes:
        return bytes([self.kind << 4 | self.flags]) + _varint(len(self.body)) + self.body


@dataclass(frozen=True, slots=True)
class Publish:
    """What a PUBLISH says. `number` is None with QoS 0."""

    topic: str
    payload: bytes
    number: bytes | None


async def read_packet(stream: asyncio.StreamReader) -> Packet | None:
    """The next packet; None at the end of the stream, which may come in the middle of one."""
    try:
        first = (await stream.readexactly(1))[0]
        length = shift = 0
        while True:
            digit = (await stream.readexactly(1))[0]
            length |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                break
            if shift > 21:
                raise NotMqttError("a packet's length does not end")
        if length > MAX_BYTES:
            raise NotMqttError(f"a packet of {length} bytes; at most {MAX_BYTES} are taken")
        return Packet(first >> 4, first & 15, await stream.readexactly(length))
    except asyncio.IncompleteReadError:
        return None


def protocol_level(connect: Packet) -> int:
    """4: MQTT 3.1.1, 5: MQTT 5."""
    name, rest = _string(connect.body)
    if name != "MQTT" or not rest or rest[0] not in (4, 5):
        raise NotMqttError("neither MQTT 3.1.1 nor 5")
    return rest[0]


def parse_publish(packet: Packet, level: int) -> Publish:
    topic, rest = _string(packet.body)
    number = None
    if packet.flags & 6:
        number, rest = rest[:2], rest[2:]
    return Publish(topic, _after_properties(rest) if level == MQTT5 else rest, number)


def parse_subscribe(packet: Packet, level: int) -> tuple[bytes, list[str]]:
    """The packet's number, and its topic filters."""
    number, rest = packet.body[:2], packet.body[2:]
    if level == MQTT5:
        rest = _after_properties(rest)
    filters = []
    while rest:
        topic, rest = _string(rest)
        filters.append(topic)
        rest = rest[1:]
    return number, filters


def connack(level: int) -> bytes:
    return Packet(CONNACK, 0, b"\0\0\0" if level == MQTT5 else b"\0\0").encoded()


def puback(number: bytes) -> bytes:
    return Packet(PUBACK, 0, number).encoded()


def suback(number: bytes, granted: int, level: int) -> bytes:
    """All of `granted` filters are granted, with QoS 0."""
    return Packet(SUBACK, 0, number + (b"\0" if level == MQTT5 else b"") + b"\0" * granted).encoded()


def publish(topic: str, payload: bytes, level: int) -> bytes:
    """With QoS 0."""
    name = topic.encode()
    properties = b"\0" if level == MQTT5 else b""
    return Packet(PUBLISH, 0, len(name).to_bytes(2, "big") + name + properties + payload).encoded()


def pingresp() -> bytes:
    return Packet(PINGRESP, 0, b"").encoded()


def _string(data: bytes) -> tuple[str, bytes]:
    end = 2 + int.from_bytes(data[:2], "big")
    if len(data) < end:
        raise NotMqttError("a string is cut off")
    try:
        return data[2:end].decode(), data[end:]
    except UnicodeDecodeError as exc:
        raise NotMqttError("a string is not UTF-8") from exc


def _after_properties(data: bytes) -> bytes:
    length = shift = position = 0
    while True:
        if position >= min(len(data), 4):
            raise NotMqttError("the properties are cut off")
        digit = data[position]
        length |= (digit & 127) << shift
        position, shift = position + 1, shift + 7
        if digit < 128:
            return data[position + length :]


def _varint(value: int) -> bytes:
    found = bytearray()
    while True:
        value, digit = value >> 7, value & 127
        found.append(digit | (128 if value else 0))
        if not value:
            return bytes(found)
