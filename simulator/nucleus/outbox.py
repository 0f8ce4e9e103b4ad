"""Messages on their way from a component to IoT Core: handed straight to the broker, or spooled in memory first."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

from models.errors import UplinkError
from models.mqtt import Connection
from simulator.nucleus.ipc_server import IpcError
from simulator.nucleus.personality import Personality

_RETRY_S = 0.1


class Outbox(Protocol):
    """Where a component's message goes."""

    def publish(self, topic: str, payload: bytes, qos: Literal[0, 1]) -> None:
        """Take the message; IpcError (ServiceError) when it cannot be taken. That it was taken is no promise."""

    def close(self) -> None: ...


def open_outbox(broker: Connection, personality: Personality) -> Outbox:
    """The outbox that a nucleus of this personality has."""
    messages, size = personality.unacknowledged_messages, personality.unacknowledged_bytes
    if personality.spool_bytes:
        return _Spool(broker, in_flight=messages, limit_bytes=personality.spool_bytes)
    return _Direct(broker, messages=messages, payload_bytes=size)


class _Direct:
    """No spooler, and "ok" before the broker's own: a nucleus lite promises no more."""

    def __init__(self, broker: Connection, *, messages: int, payload_bytes: int) -> None:
        self._broker = broker
        self._messages = messages
        self._payload_bytes = payload_bytes

    def publish(self, topic: str, payload: bytes, qos: Literal[0, 1]) -> None:
        waiting = self._broker.unacknowledged
        if qos == 1 and (
            waiting.messages + 1 > self._messages or waiting.payload_bytes + len(payload) > self._payload_bytes
        ):
            raise IpcError(
                "ServiceError",
                f"{waiting.messages} messages of {waiting.payload_bytes} B wait for the broker; the limit is "
                f"{self._messages} and {self._payload_bytes} B",
            )
        try:
            self._broker.publish(topic, payload, qos=qos)
        except UplinkError as exc:
            raise IpcError("ServiceError", str(exc)) from exc

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Spooled:
    topic: str
    payload: bytes
    qos: Literal[0, 1]


class _Spool:
    """The Java nucleus' in-memory spool: "ok" means that it is in there, and a power cut empties it.

    A message of QoS 0 is refused while the broker is away, and makes room for others when the spool is full.
    """

    def __init__(self, broker: Connection, *, in_flight: int, limit_bytes: int) -> None:
        self._broker = broker
        self._in_flight = in_flight
        self._limit_bytes = limit_bytes
        self._waiting: deque[_Spooled] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._send, name="spool", daemon=True)
        self._thread.start()

    def publish(self, topic: str, payload: bytes, qos: Literal[0, 1]) -> None:
        if qos == 0 and not self._broker.connected:
            raise IpcError("ServiceError", "the device is offline; a message of QoS 0 is dropped")
        with self._changed:
            room = self._limit_bytes - self._broker.unacknowledged.payload_bytes - len(payload)
            for message in [waiting for waiting in self._waiting if waiting.qos == 0]:
                if self._bytes <= room:
                    break
                self._waiting.remove(message)
                self._bytes -= len(message.payload)
            if self._bytes > room:
                raise IpcError("ServiceError", f"the spool is full: it holds {self._limit_bytes} B")
            self._waiting.append(_Spooled(topic, payload, qos))
            self._bytes += len(payload)
            self._changed.notify_all()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _send(self) -> None:
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                message = self._waiting[0]
                if message.qos == 1 and self._broker.unacknowledged.messages >= self._in_flight:
                    self._changed.wait(_RETRY_S / 10)
                    continue
                try:
                    self._broker.publish(message.topic, message.payload, qos=message.qos)
                except UplinkError:
                    self._changed.wait(_RETRY_S)
                    continue
                self._waiting.popleft()
                self._bytes -= len(message.payload)
