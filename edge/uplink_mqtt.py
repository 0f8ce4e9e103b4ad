"""Straight to an MQTT broker (models/mqtt.py), by TLS with the gateway's own certificate."""

import time
from collections.abc import Iterator

from edge.config import UplinkConfig
from edge.uplink import INBOX_BYTES, INBOX_MESSAGES, UNANSWERED, Inbound, check_size
from models.errors import ConfigError, UplinkError
from models.mqtt import Broker, Connection

_ASK_AGAIN_S = 30.0  # whether the broker's rules allow by now what they refused


class MqttUplink:
    """Stays connected in the background; a broker that is away is an UplinkError of `publish`."""

    def __init__(self, config: UplinkConfig, *, client_id: str, subscription: str) -> None:
        """ConfigError when the broker's address or the TLS files can't be used."""
        if not config.host:
            raise ConfigError("uplink: kind mqtt needs host (and port, ca, certificate, key) of the broker")
        try:
            broker = Broker(config.host, config.port, config.ca, config.certificate, config.key)
        except ValueError as exc:
            raise ConfigError(f"uplink: {exc}") from exc
        self.limit_bytes = config.message_limit_bytes
        self._subscription = subscription
        self._asked_at = time.monotonic()
        self._connection = Connection(
            broker, client_id=client_id, subscriptions=[subscription], inbox=(INBOX_MESSAGES, INBOX_BYTES)
        )

    def publish(self, topic: str, payload: bytes) -> None:
        check_size(topic, payload, self.limit_bytes)
        if self._connection.connected and not self._connection.wait_until_ready(0):
            if time.monotonic() - self._asked_at > _ASK_AGAIN_S:
                self._asked_at = time.monotonic()
                self._connection.subscribe([])
            # without acknowledgements everything would be sent again and again
            raise UplinkError(f"the broker has not let this gateway subscribe to {self._subscription}")
        if (waiting := self._connection.unacknowledged.messages) >= UNANSWERED:
            raise UplinkError(f"the broker has not answered for {waiting} messages")
        self._connection.publish(topic, payload)

    def messages(self) -> Iterator[Inbound]:
        for message in self._connection.messages():
            yield Inbound(message.topic, message.payload)

    def close(self) -> None:
        self._connection.close()
