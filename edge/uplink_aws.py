"""Straight to AWS IoT Core, by MQTT 5 and mutual TLS (awscrt, the library under awsiotsdk).

Three things that the library does by itself are done otherwise here. It leaves Nagle's algorithm on, which with the
broker's delayed acknowledgements costs 44 ms for every message above 4 KB; it keeps what could not be sent, where our
spool does that better; and it reports its name and version, which is nobody's business (ADR 0027).
"""

import logging
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from awscrt import mqtt5
from awscrt.exceptions import AwsCrtError
from awscrt.io import (
    ClientBootstrap,
    ClientTlsContext,
    DefaultHostResolver,
    EventLoopGroup,
    SocketOptions,
    TlsContextOptions,
    TlsVersion,
)

from edge.uplink import INBOX_BYTES, INBOX_MESSAGES, UNANSWERED, Inbound, check_size
from models.errors import ConfigError, UplinkError
from models.inbox import Inbox

log = logging.getLogger(__name__)

_KEEPALIVE_S = 30  # the shortest that IoT Core takes
_PING_TIMEOUT_MS = 20_000
_CONNECT_TIMEOUT_MS = 20_000  # a link that loses packets may need three attempts
_RECONNECT_MS = (500, 10_000)
_MOST_INBOUND_BYTES = 256 << 10  # the broker is told to keep larger ones to itself
_HEADER_BYTES = 16  # at most: of a packet, beside its topic and payload
_STOP_S = 1.0
_ASK_AGAIN_S = 30.0  # whether the policy allows by now what it refused
_ALPN_PORT, _ALPN = 443, "x-amzn-mqtt-ca"  # how IoT Core takes MQTT where only 443 is open


class AwsUplink:
    """Stays connected in the background, with back-off; a broker that is away, or that does not let this gateway
    listen to its acknowledgements, is an UplinkError of `publish`."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        ca: Path,
        certificate: Path,
        key: Path,
        client_id: str,
        subscription: str,
        limit_bytes: int,
    ) -> None:
        """`ca` verifies the broker, always, and by its name `host`; `certificate` and `key` are the gateway's (PEM).
        ConfigError when these files can't be used."""
        # before any of awscrt's threads: taking one down again would swallow the error
        tls = _tls_context(ca, certificate, key, alpn=_ALPN if port == _ALPN_PORT else "")
        self.limit_bytes = limit_bytes
        self._address = f"{host}:{port}"
        self._port = port
        self._subscription = subscription
        self._inbox = Inbox[Inbound](limit_messages=INBOX_MESSAGES, limit_bytes=INBOX_BYTES)
        self._lock = threading.Lock()
        self._ready = False
        self._unanswered = 0
        self._why_not = "connecting"
        self._said_down = False
        self._closing = False
        self._refused_at: float | None = None
        self._broker_limit_bytes = 0
        self._stopped = threading.Event()
        loops = EventLoopGroup(num_threads=1)
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=host,
                port=port,
                bootstrap=ClientBootstrap(loops, DefaultHostResolver(loops)),
                socket_options=_socket_options(),
                tls_ctx=tls,
                connect_options=mqtt5.ConnectPacket(
                    client_id=client_id,
                    keep_alive_interval_sec=_KEEPALIVE_S,
                    maximum_packet_size=_MOST_INBOUND_BYTES,
                ),
                session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
                extended_validation_and_flow_control_options=(
                    mqtt5.ExtendedValidationAndFlowControlOptions.AWS_IOT_CORE_DEFAULTS
                ),
                offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
                min_reconnect_delay_ms=_RECONNECT_MS[0],
                max_reconnect_delay_ms=_RECONNECT_MS[1],
                ping_timeout_ms=_PING_TIMEOUT_MS,
                connack_timeout_ms=_CONNECT_TIMEOUT_MS,
                on_publish_callback_fn=self._on_message,
                on_lifecycle_event_stopped_fn=self._on_stopped,
                on_lifecycle_event_connection_success_fn=self._on_connected,
                on_lifecycle_event_connection_failure_fn=self._on_connection_failed,
                on_lifecycle_event_disconnection_fn=self._on_disconnected,
                disable_metrics=True,
            )
        )
        self._client.start()

    def publish(self, topic: str, payload: bytes) -> None:
        check_size(topic, payload, self.limit_bytes)
        with self._lock:
            ready, why_not, refused_at = self._ready, self._why_not, self._refused_at
            unanswered = self._unanswered
        if not ready:
            if refused_at is not None and not self._closing and time.monotonic() - refused_at > _ASK_AGAIN_S:
                self._listen()
            raise UplinkError(f"not connected to the broker at {self._address}: {why_not}")
        most = self._broker_limit_bytes
        if len(topic.encode()) + len(payload) + _HEADER_BYTES > most:
            raise UplinkError(
                f"the broker at {self._address} takes packets of at most {most} bytes; set limit_bytes of the uplink "
                f"to {most - _HEADER_BYTES} or less"
            )
        if unanswered >= UNANSWERED:
            raise UplinkError(f"the broker at {self._address} has not answered for {unanswered} messages")
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        with self._lock:
            self._unanswered += 1
        try:
            self._client.publish(packet).add_done_callback(self._on_published)
        except AwsCrtError as exc:
            with self._lock:
                self._unanswered -= 1
            raise UplinkError(f"publish to {topic} failed: {_error(exc)}") from exc

    def messages(self) -> Iterator[Inbound]:
        return self._inbox.messages()

    def close(self) -> None:
        with self._lock:
            self._ready, self._why_not, self._closing = False, "closed", True
        self._client.stop()
        self._stopped.wait(_STOP_S)
        self._inbox.close()

    def _on_connected(self, event: mqtt5.LifecycleConnectSuccessData) -> None:
        self._broker_limit_bytes = event.negotiated_settings.maximum_packet_size_to_server
        _send_without_delay(self._port)
        self._listen()

    def _listen(self) -> None:
        with self._lock:
            self._refused_at = None
        subscription = mqtt5.Subscription(self._subscription, mqtt5.QoS.AT_LEAST_ONCE)
        self._client.subscribe(mqtt5.SubscribePacket([subscription])).add_done_callback(self._on_subscribed)

    def _on_subscribed(self, answer: "Future[mqtt5.SubackPacket]") -> None:
        try:
            (reason,) = answer.result().reason_codes
        except AwsCrtError as exc:
            # otherwise the connection is gone, and the next one subscribes
            if exc.name == "AWS_ERROR_MQTT_TIMEOUT" and not self._closing:
                self._listen()
            return
        if reason > mqtt5.SubackReasonCode.GRANTED_QOS_2:
            with self._lock:
                self._refused_at = time.monotonic()
            self._down(
                f"it refuses the subscription to {self._subscription} ({_words(reason)}); the policy of this gateway's "
                f"certificate must allow iot:Subscribe and iot:Receive there"
            )
            return
        with self._lock:
            self._ready = not self._closing
            again, self._said_down = self._said_down, False
        if again:
            log.info("connected to the broker at %s again", self._address)

    def _on_published(self, answer: "Future[mqtt5.PublishCompletionData]") -> None:
        with self._lock:
            self._unanswered -= 1
        if answer.cancelled() or answer.exception() is not None:
            return  # the connection went; what counts is the lake's acknowledgement, and that will not come
        puback = answer.result().puback
        if puback is not None and puback.reason_code >= mqtt5.PubackReasonCode.UNSPECIFIED_ERROR:
            self._say(f"it refuses what is published ({_words(puback.reason_code)}); its policy must allow iot:Publish")

    def _on_connection_failed(self, event: mqtt5.LifecycleConnectFailureData) -> None:
        if event.connack_packet is not None:
            self._down(f"it refuses the connection ({_words(event.connack_packet.reason_code)})")
        elif "TLS" in (error := _error(event.exception)):
            self._down(
                f"no TLS connection ({error}); is it the broker that ca vouches for by this name, does it know the "
                f"gateway's certificate, and is this device's clock right?"
            )
        else:
            self._down(error)

    def _on_disconnected(self, event: mqtt5.LifecycleDisconnectData) -> None:
        packet = event.disconnect_packet
        self._down(f"it ended the connection ({_words(packet.reason_code)})" if packet else _error(event.exception))

    def _on_stopped(self, event: mqtt5.LifecycleStoppedData) -> None:
        self._stopped.set()

    def _on_message(self, event: mqtt5.PublishReceivedData) -> None:
        packet = event.publish_packet
        self._inbox.put(Inbound(packet.topic, bytes(packet.payload or b"")))

    def _down(self, why: str) -> None:
        with self._lock:
            if self._closing:
                return
            self._ready, self._why_not = False, why
        self._say(why)

    def _say(self, what: str) -> None:
        with self._lock:
            said, self._said_down = self._said_down, True
        if not said:
            log.warning("results do not reach the broker at %s: %s", self._address, what)


def _tls_context(ca: Path, certificate: Path, key: Path, *, alpn: str) -> ClientTlsContext:
    try:
        options = TlsContextOptions.create_client_with_mtls_from_path(str(certificate), str(key))
        options.override_default_trust_store_from_path(None, str(ca))
        options.min_tls_ver = TlsVersion.TLSv1_2
        options.alpn_list = [alpn] if alpn else None
        return ClientTlsContext(options)
    except (OSError, RuntimeError, AwsCrtError) as exc:
        raise ConfigError(
            f"TLS files of the broker cannot be used: ca {ca}, certificate {certificate}, key {key}: {exc}; expected "
            f"PEM files that this user can read, and a key that belongs to the certificate"
        ) from exc


def _socket_options() -> SocketOptions:
    options = SocketOptions()
    options.connect_timeout_ms = _CONNECT_TIMEOUT_MS
    return options


def _send_without_delay(port: int) -> None:
    """Set TCP_NODELAY on this process' connections to `port`: awscrt has no option for it and hides its sockets."""
    descriptors = Path("/proc/self/fd")
    for descriptor in [int(entry.name) for entry in descriptors.iterdir()] if descriptors.is_dir() else []:
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            # a duplicate: closing ours leaves theirs open
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.getpeername()[1] == port:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            continue  # closed since, or not connected


def _error(exc: BaseException) -> str:
    # most are AwsCrtError, which has a name; some are Python's own
    return str(getattr(exc, "name", None) or exc or type(exc).__name__)


def _words(reason: int | None) -> str:
    """`NOT_AUTHORIZED` -> `not authorized`."""
    return str(getattr(reason, "name", reason)).lower().replace("_", " ")
