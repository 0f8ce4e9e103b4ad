"""A light gateway's own connection to the broker: the few packets of MQTT 3.1.1 that it needs, on asyncio, with faults.

Every gateway has a TCP connection, a session and an identity of its own, so brokers, access rules and fairness see what
they would see; there is no TLS. Faults act on whole messages: what TCP would repeat late is late, and what a connection
that dies takes along is lost.
"""

import asyncio
import random
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from edge.uplink import UNANSWERED, Inbound, check_size
from models.errors import UplinkError, WireError
from models.topics import acks_topic
from models.wire import StreamAck, decode_acks
from simulator.light.clock import LocalTime

LIMIT_BYTES = 128 << 10
SILENT_S = 22.0  # until a client takes a connection for dead on which nothing comes back (1.5 x MQTT's keep-alive)
RECONNECT_S = (1.0, 5.0)  # as models/mqtt.py does
_CONNACK, _PUBLISH, _PUBACK, _SUBACK = 2, 3, 4, 9
_ENVELOPE = struct.Struct(">4xQQQ")  # stream, first, last


@dataclass(frozen=True, slots=True)
class Weather:
    """What the link does now: `loss`, the part of messages and of acknowledgements that vanish; `double`, the part that
    come twice; each takes `delay_s`, and up to `jitter_s` more, so that some overtake others. `cut`: no way through."""

    loss: float = 0.0
    double: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    cut: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.loss < 1 and 0 <= self.double < 1):
            raise ValueError(f"loss and double must be at least 0 and below 1, got {self.loss:g} and {self.double:g}")
        if not (0 <= self.delay_s <= 600 and 0 <= self.jitter_s <= 600):
            raise ValueError(f"delay_s and jitter_s must be in 0..600, got {self.delay_s:g} and {self.jitter_s:g}")


@dataclass(slots=True)
class Traffic:
    """What went over all links: messages and bytes (with topics) that gateways sent, of them resent, lost by the
    weather, doubled, and overtaken by later ones of the same gateway; acknowledgements that came, and were lost."""

    messages: int = 0
    bytes: int = 0
    resent: int = 0
    lost: int = 0
    doubled: int = 0
    overtaken: int = 0
    acks: int = 0
    acks_lost: int = 0
    connections: int = 0


class LightLink(asyncio.Protocol):
    """edge.uplink.Uplink for one gateway, on the fleet's event loop. `acknowledged` is called with each
    payload and what it says."""

    def __init__(
        self,
        gateway: str,
        time: LocalTime,
        traffic: Traffic,
        *,
        seed: str,
        acknowledged: Callable[[bytes, Sequence[StreamAck]], None],
        ready: Callable[[], None],
    ) -> None:
        self.limit_bytes = LIMIT_BYTES
        self.weather = Weather()
        self.is_up = False
        self.cloud_answers = True  # ingest runs
        self._broker_up = True
        self._gateway = gateway
        self._time = time
        self._traffic = traffic
        self._random = random.Random(seed)
        self._acknowledged = acknowledged
        self._ready = ready
        self._transport: asyncio.Transport | None = None
        self._port = 0
        self._powered = False
        self._connecting: asyncio.Task[object] | None = None
        self._owed: dict[str, deque[tuple[int, int]]] = {}  # stream -> (last, token)
        self._connect_token: int | None = None
        self._unanswered = 0
        self._packet = 0
        self._buffer = b""
        self._sent_up_to: dict[str, int] = {}
        self._number = 0
        self._delivered = 0

    def power_on(self, port: int) -> None:
        """Connect, and stay connected from now on."""
        self._port = port
        self._powered = True
        self._connect()

    def power_off(self) -> None:
        """Gone without a goodbye."""
        self._powered = False
        self._sent_up_to.clear()
        self._drop()

    def change(self, weather: Weather) -> None:
        """From now on. A link that is cut is noticed when nothing was heard for long enough."""
        was_cut, self.weather = self.weather.cut, weather
        if weather.cut and not was_cut:
            self._time.at(self._time.now + SILENT_S, self._notice)
        if was_cut and not weather.cut:
            self._later(self._connect)

    def broker(self, *, up: bool) -> None:
        """The broker runs again, or not any more: nobody needs to try in vain."""
        self._broker_up = up
        if up:
            self._later(self._connect)

    # edge.uplink.Uplink

    def publish(self, topic: str, payload: bytes) -> None:
        check_size(topic, payload, self.limit_bytes)
        if not self.is_up:
            raise UplinkError("not connected to the broker")
        if self._unanswered >= UNANSWERED:
            raise UplinkError(f"the broker has not answered for {self._unanswered} messages")
        stream, first, last = _ENVELOPE.unpack_from(payload)
        name = f"{stream:016x}"
        self._traffic.messages += 1
        self._traffic.bytes += len(topic) + len(payload)
        self._traffic.resent += first <= self._sent_up_to.get(name, 0)
        self._sent_up_to[name] = max(last, self._sent_up_to.get(name, 0))
        weather = self.weather
        if weather.cut:
            self._unanswered += 1
            self._traffic.lost += 1
            return
        if weather.loss and self._random.random() < weather.loss:
            self._traffic.lost += 1
            return
        copies = 1
        if weather.double and self._random.random() < weather.double:
            self._traffic.doubled += 1
            copies = 2
        self._number += 1
        for _ in range(copies):
            self._deliver_after(self._lateness(), self._number, topic, payload, name, last)

    def messages(self) -> Iterator[Inbound]:
        """Nothing: what arrives is handed over as it arrives."""
        return iter(())

    def close(self) -> None:
        self.power_off()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        name = self._gateway.encode()
        # clean session, user name; no keep-alive, since simulated time may stand still
        head = struct.pack(">H4sBBH", 4, b"MQTT", 4, 0x82, 0)
        transport.write(_packet(0x10, head + _text(name) + _text(name)))
        transport.write(_packet(0x82, b"\0\1" + _text(acks_topic(self._gateway).encode()) + b"\1"))

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        for kind, flags, body in list(self._packets()):
            if kind == _PUBLISH:
                self._take_ack(flags, body)
            elif kind == _PUBACK:
                self._unanswered = max(0, self._unanswered - 1)
            elif kind == _SUBACK:
                self._up()
            elif kind == _CONNACK and body[1:2] != b"\0":
                self._drop()  # refused; tries again later

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:  # not by us
            self._transport = None
            self._drop()

    # inside

    def _up(self) -> None:
        self._traffic.connections += 1
        self.is_up = True
        self._answered_connect()
        self._ready()

    def _connect(self) -> None:
        if not (self._powered and self._broker_up) or self.weather.cut or self.is_up or self._connecting is not None:
            return
        self._connect_token = self._time.ask()
        self._connecting = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError:
            self._drop()
        finally:
            self._connecting = None

    def _drop(self) -> None:
        """Forget the connection, and connect again in a while."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self.is_up = False
        self._unanswered = 0
        self._buffer = b""
        self._answered_connect()
        for waiting in self._owed.values():
            for _, token in waiting:
                self._time.answered(token)
        self._owed.clear()
        if self._powered and self._broker_up:
            self._later(self._connect)

    def _later(self, what: Callable[[], None]) -> None:
        self._time.at(self._time.now + self._random.uniform(*RECONNECT_S), what)

    def _notice(self) -> None:
        if self.weather.cut and self.is_up:
            self._drop()

    def _answered_connect(self) -> None:
        if self._connect_token is not None:
            self._time.answered(self._connect_token)
            self._connect_token = None

    def _lateness(self) -> float:
        return self.weather.delay_s + self.weather.jitter_s * self._random.random()

    def _deliver_after(
        self, lateness_s: float, number: int, topic: str, payload: bytes, stream: str, last: int
    ) -> None:
        def deliver() -> None:
            if self._transport is None or self.weather.cut:
                self._traffic.lost += 1
                return
            self._traffic.overtaken += number < self._delivered
            self._delivered = max(self._delivered, number)
            self._packet = self._packet % 0xFFFF + 1
            self._unanswered += 1
            self._transport.write(_publish(topic, self._packet, payload))
            if self.cloud_answers:
                self._owed.setdefault(stream, deque()).append((last, self._time.ask()))

        if lateness_s:
            self._time.at(self._time.now + lateness_s, deliver)
        else:
            deliver()

    def _take_ack(self, flags: int, body: bytes) -> None:
        topic_bytes = int.from_bytes(body[:2], "big")
        rest = body[2 + topic_bytes :]
        if flags & 0x06 and self._transport is not None:
            self._transport.write(b"\x40\x02" + rest[:2])
            rest = rest[2:]
        self._traffic.acks += 1
        try:
            acks = decode_acks(rest)
        except WireError:
            acks = ()  # the shipper counts it
        at_s = self._settle(acks) + self._lateness()
        weather = self.weather
        if weather.cut or (weather.loss and self._random.random() < weather.loss):
            self._traffic.acks_lost += 1
        else:
            self._time.at(at_s, lambda: self._hear(rest, acks))

    def _hear(self, payload: bytes, acks: Sequence[StreamAck]) -> None:
        if self._powered:
            self._acknowledged(payload, acks)

    def _settle(self, acks: Sequence[StreamAck]) -> float:
        """The cloud owes no answer any more for what this one covers; when that is, in the gateway's time."""
        at_s = self._time.now
        for ack in acks:
            waiting = self._owed.get(ack.stream, deque())
            # where a message before them is missing, one answer is for all that came after the gap
            answered = [item for item in waiting if item[0] <= ack.last] or list(waiting)
            for item in answered:
                waiting.remove(item)
                at_s = max(at_s, self._time.answered(item[1]))
        return at_s

    def _packets(self) -> Iterator[tuple[int, int, bytes]]:
        """Whole packets of what has arrived: kind, flags, body."""
        buffer, start = self._buffer, 0
        while len(buffer) - start >= 2:
            length, at, shift = 0, start + 1, 0
            while at < len(buffer) and buffer[at] & 0x80:
                length |= (buffer[at] & 0x7F) << shift
                at, shift = at + 1, shift + 7
            if at >= len(buffer):
                break
            length |= buffer[at] << shift
            begin = at + 1
            if len(buffer) - begin < length:
                break
            yield buffer[start] >> 4, buffer[start] & 0x0F, buffer[begin : begin + length]
            start = begin + length
        self._buffer = buffer[start:]


def _publish(topic: str, packet: int, payload: bytes) -> bytes:
    return _packet(0x32, _text(topic.encode()) + packet.to_bytes(2, "big") + payload)


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def _packet(head: int, body: bytes) -> bytes:
    length, size = len(body), b""
    while True:
        size += bytes([length & 0x7F | (0x80 if length > 0x7F else 0)])
        length >>= 7
        if not length:
            return bytes([head]) + size + body
