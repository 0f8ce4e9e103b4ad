"""A connection to an MQTT 3.1.1 broker, for whoever of ours speaks to one. paho lives here.

MQTT 3.1.1 features only: the embedded broker of the simulator knows no more. Delivery is at least once and no
promise is built on the broker's acknowledgement: the lake's is the one that counts.
"""

import logging
import socket
import ssl
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from models.errors import ConfigError, UplinkError
from models.inbox import Inbox

log = logging.getLogger(__name__)

KEEPALIVE_S = 15
MAX_RECONNECT_S = 5
_CONNECT_S = 20.0  # for each step of it; a link that loses packets may need three attempts
_STOP_S = 1.0
_INBOX = 10_000, 256 << 20  # messages, bytes; a reader that falls further behind loses the newest: they come again


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker listens. `ca` verifies it (always, and by host name); `certificate` and `key` are this
    client's, PEM. Without `ca` the connection is plain TCP, which is only allowed to this machine itself."""

    host: str
    port: int
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.ca is None and self.host not in ("127.0.0.1", "localhost", "::1"):
            raise ValueError(
                f"a broker on {self.host} needs TLS: set ca (PEM of the authority that signed its certificate)"
            )
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")


@dataclass(frozen=True, slots=True)
class Message:
    """What the broker delivered."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Unacknowledged:
    """QoS 1 messages handed to the connection for which the broker has not answered yet."""

    messages: int
    payload_bytes: int


class _Client(paho.Client):
    """paho, whose thread ends for good, with the gateway's link, on a packet that it cannot read."""

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        try:
            return super().loop_read(max_packets)
        except Exception as exc:  # whatever rubbish makes paho raise: struct.error, IndexError, UnicodeDecodeError ...
            log.warning("the broker at %s:%d talks rubbish (%r); connecting again", self.host, self.port, exc)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL  # upon which paho connects again

    def stop(self) -> None:
        """End the thread, then close what paho leaves to the garbage collector."""
        self.loop_stop()
        self._sock_close()
        for end in (self._sockpairR, self._sockpairW):
            if end is not None:
                end.close()


class Connection:
    """Stays connected in the background, with back-off; subscribes again each time it is back, and shows the
    certificate that the files hold by then: an identity that was renewed needs no restart."""

    def __init__(
        self,
        broker: Broker,
        *,
        client_id: str,
        subscriptions: Sequence[str] = (),
        inbox: tuple[int, int] = _INBOX,
    ) -> None:
        """`inbox`: how many messages and bytes may wait to be read."""
        self._broker = broker
        self._subscriptions = [(topic, 1) for topic in subscriptions]
        self._inbox = Inbox[Message](limit_messages=inbox[0], limit_bytes=inbox[1])
        self._outgoing: deque[tuple[paho.MQTTMessageInfo, int]] = deque()
        self._outgoing_lock = threading.Lock()
        self._subscribed = threading.Event()
        self._closed = False
        self._said_down = False
        self._client = _Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
        self._client.reconnect_delay_set(min_delay=1, max_delay=MAX_RECONNECT_S)
        self._client.max_inflight_messages_set(20)
        self._client.connect_timeout = _CONNECT_S
        self._tls = None if broker.ca is None else _tls_context(broker)
        if self._tls is not None:
            self._client.tls_set_context(self._tls)
        self._client.on_socket_open = _send_without_delay
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_S)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1) -> None:
        """Hand a message to the connection; UplinkError when it is down."""
        if not self._client.is_connected():
            # paho would keep it in memory and send it later; our spool does that better
            raise UplinkError(f"not connected to the broker at {self._broker.host}:{self._broker.port}")
        try:
            info = self._client.publish(topic, payload, qos=qos)
        except OSError as exc:  # closed meanwhile
            raise UplinkError(f"publish to {topic} failed: {exc}") from exc
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise UplinkError(f"publish to {topic} failed: {paho.error_string(info.rc)}")
        if qos == 1:
            with self._outgoing_lock:
                self._outgoing.append((info, len(payload)))
                while self._outgoing and self._outgoing[0][0].is_published():
                    self._outgoing.popleft()

    def subscribe(self, topics: Sequence[str]) -> None:
        """Add subscriptions (QoS 1) to those of the constructor; made now, or as soon as the broker is there. All are
        asked for again, also those that the broker has refused."""
        known = {topic for topic, _ in self._subscriptions}
        self._subscribed.clear()
        self._subscriptions += [(topic, 1) for topic in dict.fromkeys(topics) if topic not in known]
        if self._client.is_connected():
            # all of them, so that every answer lists its reasons in the order of the one list we keep
            self._client.subscribe(list(self._subscriptions))

    @property
    def unacknowledged(self) -> Unacknowledged:
        with self._outgoing_lock:
            waiting = [size for info, size in self._outgoing if not info.is_published()]
        return Unacknowledged(len(waiting), sum(waiting))

    def messages(self) -> Iterator[Message]:
        """Messages on the subscriptions, until `close`."""
        return self._inbox.messages()

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None when there was none in time, or after `close`."""
        return self._inbox.receive(timeout_s)

    def wait_until_ready(self, timeout_s: float) -> bool:
        """True once connected and subscribed."""
        return self._subscribed.wait(timeout_s)

    @property
    def connected(self) -> bool:
        return bool(self._client.is_connected())

    def close(self) -> None:
        self._closed = True
        self._client.disconnect()
        # paho joins its thread, which may be in the middle of connecting to somebody who does not answer
        stopping = threading.Thread(target=self._client.stop, name="mqtt-stop", daemon=True)
        stopping.start()
        stopping.join(_STOP_S)
        self._inbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _on_connect(self, client: paho.Client, _: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._say_down(str(reason))
            return
        if self._said_down:
            log.info("connected to the broker at %s:%d again", self._broker.host, self._broker.port)
            self._said_down = False
        if self._subscriptions:
            client.subscribe(list(self._subscriptions))
        else:
            self._subscribed.set()

    def _on_subscribe(self, client: paho.Client, _: Any, mid: int, reasons: list[ReasonCode], properties: Any) -> None:
        refused = [topic for (topic, _), reason in zip(self._subscriptions, reasons, strict=False) if reason.is_failure]
        if refused:
            log.error("the broker refuses a subscription to %s", ", ".join(refused))
        else:
            self._subscribed.set()

    def _on_disconnect(self, client: paho.Client, _: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._subscribed.clear()
        self._take_new_certificate()
        if not self._closed:
            # MQTT 3.1.1 has no reasons: paho then has only this to say
            self._say_down("the connection was lost" if str(reason) == "Unspecified error" else str(reason))

    def _on_connect_fail(self, client: paho.Client, _: Any) -> None:
        # paho calls this while it handles what went wrong, and passes nothing on
        self._say_down(str(sys.exc_info()[1] or "no connection"))
        self._take_new_certificate()

    def _take_new_certificate(self) -> None:
        broker = self._broker
        if self._tls is None or broker.certificate is None or broker.key is None:
            return
        try:
            self._tls.load_cert_chain(broker.certificate, broker.key)
        except (OSError, ssl.SSLError) as exc:
            # someone is just replacing them: the next attempt to connect comes here again
            self._say_down(f"{broker.certificate} and {broker.key} cannot be used: {exc}")

    def _say_down(self, reason: str) -> None:
        if not self._said_down:
            log.warning("the broker at %s:%d is away: %s", self._broker.host, self._broker.port, reason)
            self._said_down = True

    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        self._inbox.put(Message(message.topic, bytes(message.payload)))


def _send_without_delay(client: paho.Client, _: Any, connection: Any) -> None:
    # else a message above 16 KB waits 44 ms for the broker's delayed acknowledgement of its first part
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls_context(broker: Broker) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(broker.ca))
        if broker.certificate is not None and broker.key is not None:
            context.load_cert_chain(broker.certificate, broker.key)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(
            f"TLS files of the broker cannot be used: ca {broker.ca}, certificate {broker.certificate}, "
            f"key {broker.key}: {exc}; expected PEM files that this user can read"
        ) from exc
    return context
