"""What the nucleus does for its components over IPC: messages between them, to and from IoT Core, configuration."""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from models.errors import UplinkError
from models.mqtt import Connection, Message
from simulator.nucleus.access import IOT_CORE, LOCAL, allowed, matches
from simulator.nucleus.component import State
from simulator.nucleus.configuration import Configuration, KeyPath, changes, lookup, merge_at
from simulator.nucleus.ipc_server import IpcError, Stream
from simulator.nucleus.personality import Personality


class Device(Protocol):
    """What the services need to know of, and may do to, the device they run on."""

    def component_of(self, token: str) -> str | None: ...

    def configuration(self, component: str) -> Configuration:
        """KeyError when there is no such component."""

    def set_configuration(self, component: str, configuration: Configuration) -> None:
        """Keep it, over restarts too."""

    def report(self, component: str, state: State) -> None: ...


@dataclass(frozen=True, slots=True)
class _Subscription:
    stream: Stream
    topic_filter: str
    others_only: bool = False


@dataclass(frozen=True, slots=True)
class _Watch:
    stream: Stream
    component: str
    path: KeyPath


class Services:
    """The operations of one device (ipc_server.Operations). Lives in the IPC server's thread only."""

    def __init__(self, device: Device, broker: Connection, personality: Personality) -> None:
        self._device = device
        self._broker = broker
        self._personality = personality
        self._local: list[_Subscription] = []
        self._iot_core: list[_Subscription] = []
        self._watches: list[_Watch] = []

    def component_of(self, token: str) -> str | None:
        return self._device.component_of(token)

    def call(self, stream: Stream, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        known: dict[str, Callable[[Stream, Mapping[str, Any]], Mapping[str, Any]]] = {
            "GetConfiguration": self._get_configuration,
            "PublishToIoTCore": self._publish_to_iot_core,
            "PublishToTopic": self._publish_to_topic,
            "SubscribeToConfigurationUpdate": self._subscribe_to_configuration_update,
            "SubscribeToIoTCore": self._subscribe_to_iot_core,
            "SubscribeToTopic": self._subscribe_to_topic,
            "UpdateConfiguration": self._update_configuration,
            "UpdateState": self._update_state,
        }
        if operation not in self._personality.operations & known.keys():
            raise IpcError("ServiceError", f"nucleus {self._personality.name} has no operation {operation!r}")
        return known[operation](stream, request)

    def closed(self, stream: Stream) -> None:
        self._local = [kept for kept in self._local if kept.stream is not stream]
        self._iot_core = [kept for kept in self._iot_core if kept.stream is not stream]
        self._watches = [kept for kept in self._watches if kept.stream is not stream]

    def deliver(self, message: Message) -> None:
        """A message from IoT Core, to whoever subscribed to it."""
        if len(message.topic.encode()) + len(message.payload) > self._personality.inbound_limit_bytes:
            return  # measured on nucleus lite: it never arrives, and nobody is told
        payload = base64.b64encode(message.payload).decode()
        for subscription in self._iot_core:
            if matches(subscription.topic_filter, message.topic):
                event = {"message": {"topicName": message.topic, "payload": payload}}
                subscription.stream.event("IoTCoreMessage", event)

    def configuration_changed(self, component: str, paths: Iterable[KeyPath]) -> None:
        """Tell whoever watches these values, or what they are part of."""
        for path in paths:
            for watch in self._watches:
                shared = min(len(path), len(watch.path))
                if watch.component == component and watch.path[:shared] == path[:shared]:
                    event = {"componentName": component, "keyPath": list(path)}
                    watch.stream.event("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

    def _publish_to_topic(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        topic = self._permitted_topic(stream, LOCAL, "PublishToTopic", request.get("topic"))
        kind, content = _local_message(request.get("publishMessage"))
        event = {kind: {"message": content, "context": {"topic": topic}}}
        for subscription in self._local:
            own = subscription.stream.component == stream.component
            if matches(subscription.topic_filter, topic) and not (own and subscription.others_only):
                subscription.stream.event("SubscriptionResponseMessage", event)
        return {}

    def _subscribe_to_topic(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        topic = self._permitted_topic(stream, LOCAL, "SubscribeToTopic", request.get("topic"))
        # measured on nucleus lite: a component's own messages come back to it unless it says otherwise
        others_only = request.get("receiveMode") == "RECEIVE_MESSAGES_FROM_OTHERS"
        self._local.append(_Subscription(stream, topic, others_only))
        return {"topicName": topic}

    def _publish_to_iot_core(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        # topic, payload and qos only: nucleus lite forwards nothing else
        topic = self._permitted_topic(stream, IOT_CORE, "PublishToIoTCore", request.get("topicName"))
        if "+" in topic or "#" in topic:
            raise IpcError("InvalidArgumentsError", f"a topic to publish on has no wildcards, got {topic!r}")
        payload, qos = _blob(request.get("payload", "")), _qos(request.get("qos"))
        waiting = self._broker.unacknowledged
        if qos == 1 and (
            waiting.messages + 1 > self._personality.unacknowledged_messages
            or waiting.payload_bytes + len(payload) > self._personality.unacknowledged_bytes
        ):
            raise IpcError(
                "ServiceError",
                f"{waiting.messages} messages of {waiting.payload_bytes} B wait for the broker; the limit is "
                f"{self._personality.unacknowledged_messages} and {self._personality.unacknowledged_bytes} B",
            )
        try:
            # no spooler, and "ok" before the broker's own: a nucleus lite promises no more
            self._broker.publish(topic, payload, qos=qos)
        except UplinkError as exc:
            raise IpcError("ServiceError", str(exc)) from exc
        return {}

    def _subscribe_to_iot_core(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        topic = self._permitted_topic(stream, IOT_CORE, "SubscribeToIoTCore", request.get("topicName"))
        _qos(request.get("qos"))
        if not self._broker.connected:
            raise IpcError("ServiceError", f"cannot subscribe to {topic}: not connected to the broker")
        self._broker.subscribe([topic])
        self._iot_core.append(_Subscription(stream, topic))
        return {}

    def _get_configuration(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        component, path = _component(stream, request), _key_path(request)
        try:
            value = lookup(self._device.configuration(component), path)
        except KeyError as exc:
            raise IpcError("ResourceNotFoundError", f"{component} has no configuration at {list(path)}") from exc
        return {"value": value if isinstance(value, dict) else {path[-1]: value}}

    def _update_configuration(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        path = _key_path(request)
        if "valueToMerge" not in request or (not path and not isinstance(request["valueToMerge"], dict)):
            raise IpcError("InvalidArgumentsError", "valueToMerge is missing, or no object where no keyPath is given")
        old = self._own_configuration(stream)
        new = merge_at(old, path, request["valueToMerge"])
        if new.get("accessControl") != old.get("accessControl"):
            raise IpcError("InvalidArgumentsError", "a component may not change its own accessControl")
        self._device.set_configuration(stream.component, new)
        self.configuration_changed(stream.component, changes(old, new))
        return {}

    def _subscribe_to_configuration_update(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        component, path = _component(stream, request), _key_path(request)
        try:
            self._device.configuration(component)
        except KeyError as exc:
            raise IpcError("ResourceNotFoundError", f"there is no component {component}") from exc
        self._watches.append(_Watch(stream, component, path))
        return {}

    def _update_state(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request.get("state") not in (State.RUNNING, State.ERRORED):
            raise IpcError("InvalidArgumentsError", f"state must be RUNNING or ERRORED, got {request.get('state')!r}")
        self._device.report(stream.component, State(request["state"]))
        return {}

    def _own_configuration(self, stream: Stream) -> Configuration:
        try:
            return self._device.configuration(stream.component)
        except KeyError as exc:
            raise IpcError("ServiceError", f"{stream.component} is being removed from this device") from exc

    def _permitted_topic(self, stream: Stream, service: str, operation: str, topic: object) -> str:
        if not isinstance(topic, str) or not topic:
            raise IpcError("InvalidArgumentsError", f"a topic is missing, got {topic!r}")
        if not allowed(self._own_configuration(stream), service, operation, topic):
            raise IpcError(
                "UnauthorizedError", f"accessControl of {stream.component} does not let it {operation} {topic}"
            )
        if service == IOT_CORE and (
            len(topic.encode()) > self._personality.topic_bytes or topic.count("/") > self._personality.topic_slashes
        ):
            raise IpcError("ServiceError", f"IoT Core takes no topic so long or so deep: {topic}")
        return topic


def _component(stream: Stream, request: Mapping[str, Any]) -> str:
    return str(request.get("componentName") or stream.component)


def _local_message(message: object) -> tuple[str, object]:
    for kind in ("jsonMessage", "binaryMessage"):
        if isinstance(message, dict) and isinstance(message.get(kind), dict):
            return kind, message[kind].get("message")
    raise IpcError("InvalidArgumentsError", "publishMessage needs a jsonMessage or a binaryMessage")


def _key_path(request: Mapping[str, Any]) -> KeyPath:
    path = request.get("keyPath") or []
    if not isinstance(path, list) or not all(isinstance(key, str) for key in path):
        raise IpcError("InvalidArgumentsError", f"keyPath must be a list of keys, got {path!r}")
    return tuple(path)


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
