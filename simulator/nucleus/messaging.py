"""Messages between components, and between them and IoT Core."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from models.mqtt import Connection, Message
from simulator.nucleus.access import IOT_CORE, LOCAL, allowed, is_filter, matches
from simulator.nucleus.configuration import Configuration
from simulator.nucleus.ipc_server import IpcError, Stream
from simulator.nucleus.outbox import open_outbox
from simulator.nucleus.personality import Personality


@dataclass(frozen=True, slots=True)
class _Subscription:
    stream: Stream
    topic_filter: str
    others_only: bool = False


class Messaging:
    """Who subscribed to what, here and at IoT Core. Lives in the IPC server's thread only."""

    def __init__(
        self, configuration_of: Callable[[Stream], Configuration], broker: Connection, personality: Personality
    ) -> None:
        """`configuration_of` whoever asks: its accessControl is there."""
        self._configuration_of = configuration_of
        self._broker = broker
        self._outbox = open_outbox(broker, personality)
        self._personality = personality
        self._local: list[_Subscription] = []
        self._iot_core: list[_Subscription] = []

    def closed(self, stream: Stream) -> None:
        self._local = [kept for kept in self._local if kept.stream is not stream]
        self._iot_core = [kept for kept in self._iot_core if kept.stream is not stream]

    def close(self) -> None:
        """What the spool holds is gone. From any thread."""
        self._outbox.close()

    def deliver(self, message: Message) -> None:
        """A message from IoT Core, to whoever subscribed to it."""
        if len(message.topic.encode()) + len(message.payload) > self._personality.inbound_limit_bytes:
            return  # measured on nucleus lite: it never arrives, and nobody is told
        payload = base64.b64encode(message.payload).decode()
        for subscription in self._iot_core:
            if matches(subscription.topic_filter, message.topic):
                event = {"message": {"topicName": message.topic, "payload": payload}}
                subscription.stream.event("IoTCoreMessage", event)

    def publish_to_topic(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        topic = self._permitted(stream, LOCAL, "PublishToTopic", request.get("topic"))
        kind, content = _local_message(request.get("publishMessage"))
        event = {kind: {"message": content, "context": {"topic": topic}}}
        for subscription in self._local:
            own = subscription.stream.component == stream.component
            if matches(subscription.topic_filter, topic) and not (own and subscription.others_only):
                subscription.stream.event("SubscriptionResponseMessage", event)
        return {}

    def subscribe_to_topic(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        topic = self._permitted(stream, LOCAL, "SubscribeToTopic", request.get("topic"))
        mode = request.get("receiveMode")
        # where a component does not say what it wants to hear
        own_too = self._personality.echoes_on_wildcards or not ("+" in topic or "#" in topic)
        others_only = mode == "RECEIVE_MESSAGES_FROM_OTHERS" if mode is not None else not own_too
        self._local.append(_Subscription(stream, topic, others_only))
        return {"topicName": topic}

    def publish_to_iot_core(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        # topic, payload and qos only: nucleus lite forwards nothing else
        topic = self._permitted(stream, IOT_CORE, "PublishToIoTCore", request.get("topicName"))
        if "+" in topic or "#" in topic or "\0" in topic:
            raise IpcError("InvalidArgumentsError", f"a topic to publish on has no wildcards, got {topic!r}")
        payload, qos = _blob(request.get("payload", "")), _qos(request.get("qos"))
        limit_bytes = self._personality.payload_limit_bytes
        if len(payload) > limit_bytes:
            raise IpcError("ServiceError", f"IoT Core takes {limit_bytes} B, got a payload of {len(payload)} B")
        self._outbox.publish(topic, payload, qos)
        return {}

    def subscribe_to_iot_core(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        topic = self._permitted(stream, IOT_CORE, "SubscribeToIoTCore", request.get("topicName"))
        _qos(request.get("qos"))
        if not is_filter(topic):
            raise IpcError("InvalidArgumentsError", f"MQTT knows no topic filter {topic!r}")
        if not self._broker.connected:
            raise IpcError("ServiceError", f"cannot subscribe to {topic}: not connected to the broker")
        self._broker.subscribe([topic])
        self._iot_core.append(_Subscription(stream, topic))
        return {}

    def _permitted(self, stream: Stream, service: str, operation: str, topic: object) -> str:
        if not isinstance(topic, str) or not topic:
            raise IpcError("InvalidArgumentsError", f"a topic is missing, got {topic!r}")
        if not allowed(self._configuration_of(stream), service, operation, topic):
            raise IpcError(
                "UnauthorizedError", f"accessControl of {stream.component} does not let it {operation} {topic}"
            )
        if service == IOT_CORE and (
            len(topic.encode()) > self._personality.topic_bytes or topic.count("/") > self._personality.topic_slashes
        ):
            raise IpcError("ServiceError", f"IoT Core takes no topic so long or so deep: {topic}")
        return topic


def _local_message(message: object) -> tuple[str, object]:
    for kind in ("jsonMessage", "binaryMessage"):
        if isinstance(message, dict) and isinstance(message.get(kind), dict):
            return kind, message[kind].get("message")
    raise IpcError("InvalidArgumentsError", "publishMessage needs a jsonMessage or a binaryMessage")


def _qos(value: object) -> Literal[0, 1]:
    # the SDK sends "0" or "1"; left out it is 0
    if value in (None, "0", 0):
        return 0
    if value in ("1", 1):
        return 1
    raise IpcError("InvalidArgumentsError", f"qos must be 0 or 1, got {value!r}")


def _blob(value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise IpcError("InvalidArgumentsError", f"payload must be base64: {exc}") from exc
