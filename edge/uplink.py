"""The way to the cloud, whatever it is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edge.config import UplinkConfig
from models.errors import ConfigError, UplinkError
from models.topics import acks_topic

INBOX_MESSAGES = 1_000  # that wait to be read
INBOX_BYTES = 1 << 20
# Messages that a broker has not answered for; twice what is sent without an acknowledgement of the lake. The libraries
# keep each of them in memory, and send it again after a reconnect: with a broker that hangs they would fill that.
UNANSWERED = 16


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message that arrived."""

    topic: str
    payload: bytes


class Uplink(Protocol):
    """`publish` hands a message on, or raises UplinkError: then trying again later may help. That it was handed on
    does not mean that it arrives. `messages` gives what arrives for this gateway, from one thread, until `close`.
    A message with its topic is at most `limit_bytes`; `publish` refuses a larger one."""

    @property
    def limit_bytes(self) -> int: ...

    def publish(self, topic: str, payload: bytes) -> None: ...

    def messages(self) -> Iterator[Inbound]: ...

    def close(self) -> None: ...


def open_uplink(config: UplinkConfig, *, gateway: str) -> Uplink:
    """The uplink that the configuration names, listening for this gateway's acknowledgements. A cloud that is away is
    no error here."""
    # an SDK that is not used is not loaded: each is worth 10 MB of memory
    if config.kind == "ipc":
        from edge.uplink_ipc import IpcUplink

        return IpcUplink(subscription=acks_topic(gateway), limit_bytes=config.message_limit_bytes)
    if config.kind == "aws":
        from edge.renewed_uplink import RenewedUplink
        from edge.uplink_aws import AwsUplink

        host, ca, certificate, key = config.host, config.ca, config.certificate, config.key
        if not (host and ca and certificate and key):
            raise ConfigError("uplink: kind aws needs host (the IoT endpoint), ca, certificate and key")

        def open_aws() -> Uplink:
            return AwsUplink(
                host=host,
                port=config.port,
                ca=ca,
                certificate=certificate,
                key=key,
                client_id=gateway,
                subscription=acks_topic(gateway),
                limit_bytes=config.message_limit_bytes,
            )

        return RenewedUplink(open_aws, (certificate, key))
    from edge.uplink_mqtt import MqttUplink

    return MqttUplink(config, client_id=gateway, subscription=acks_topic(gateway))


def check_size(topic: str, payload: bytes, limit_bytes: int) -> None:
    """UplinkError for a message that the uplink would lose."""
    size = len(topic.encode()) + len(payload)
    if size > limit_bytes:
        raise UplinkError(f"a message of {size} bytes with its topic is above the uplink's limit of {limit_bytes}")
