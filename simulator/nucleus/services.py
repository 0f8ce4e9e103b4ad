"""What the nucleus does for its components over IPC: which operation is whose."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from models.mqtt import Connection, Message
from simulator.nucleus.classic import Classic, Neighbours
from simulator.nucleus.component import State
from simulator.nucleus.configuration import KeyPath
from simulator.nucleus.ipc_server import IpcError, Stream
from simulator.nucleus.messaging import Messaging
from simulator.nucleus.personality import Personality
from simulator.nucleus.settings import Configurations, Settings
from simulator.nucleus.update_notices import UpdateNotices
from simulator.nucleus.validity import Validity

_Operation = Callable[[Stream, Mapping[str, Any]], Mapping[str, Any]]


class Device(Configurations, Neighbours, Protocol):
    """What the services need to know of, and may do to, the device they run on."""

    def component_of(self, token: str) -> str | None: ...

    def report(self, component: str, state: State) -> None: ...


class Services:
    """The operations of one device (ipc_server.Operations). Lives in the IPC server's thread, but for `notices`,
    `validity` and `close`."""

    def __init__(
        self, device: Device, broker: Connection, personality: Personality, *, secrets: Mapping[str, str] | None = None
    ) -> None:
        """`secrets`: what GetSecretValue knows, by name."""
        self.notices = UpdateNotices()
        self.validity = Validity()
        self._device = device
        self._personality = personality
        self._settings = Settings(device)
        self._messaging = Messaging(self._settings.of, broker, personality)
        self._known: dict[str, _Operation] = {
            "GetConfiguration": self._settings.get,
            "PublishToIoTCore": self._messaging.publish_to_iot_core,
            "PublishToTopic": self._messaging.publish_to_topic,
            "SubscribeToConfigurationUpdate": self._settings.subscribe,
            "SubscribeToIoTCore": self._messaging.subscribe_to_iot_core,
            "SubscribeToTopic": self._messaging.subscribe_to_topic,
            "UpdateConfiguration": self._settings.update,
            "UpdateState": self._update_state,
            "DeferComponentUpdate": self.notices.defer,
            "SubscribeToComponentUpdates": self.notices.subscribe,
            "SendConfigurationValidityReport": self.validity.report,
            "SubscribeToValidateConfigurationUpdates": self.validity.subscribe,
            **Classic(device, self._settings.of, secrets or {}).operations,
        }

    def component_of(self, token: str) -> str | None:
        return self._device.component_of(token)

    def call(self, stream: Stream, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if operation not in self._personality.operations & self._known.keys():
            raise IpcError("ServiceError", f"nucleus {self._personality.name} has no operation {operation!r}")
        return self._known[operation](stream, request)

    def closed(self, stream: Stream) -> None:
        self._messaging.closed(stream)
        self._settings.closed(stream)
        self.notices.closed(stream)
        self.validity.closed(stream)

    def deliver(self, message: Message) -> None:
        """A message from IoT Core, to whoever subscribed to it."""
        self._messaging.deliver(message)

    def configuration_changed(self, component: str, paths: Iterable[KeyPath]) -> None:
        """Tell whoever watches these values, or what they are part of."""
        self._settings.changed(component, paths)

    def close(self) -> None:
        """What had not left the nucleus is gone. From any thread."""
        self._messaging.close()

    def _update_state(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request.get("state") not in (State.RUNNING, State.ERRORED):
            raise IpcError("InvalidArgumentsError", f"state must be RUNNING or ERRORED, got {request.get('state')!r}")
        self._device.report(stream.component, State(request["state"]))
        return {}
