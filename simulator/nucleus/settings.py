"""Components' configuration over IPC: reading, changing and watching it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from simulator.nucleus.configuration import Configuration, KeyPath, changes, lookup, merge_at
from simulator.nucleus.ipc_server import IpcError, Stream

_KEYS = 32


class Configurations(Protocol):
    """Where the device keeps them."""

    def configuration(self, component: str) -> Configuration:
        """KeyError when there is no such component."""

    def set_configuration(self, component: str, configuration: Configuration) -> None:
        """Keep it, over restarts too."""


@dataclass(frozen=True, slots=True)
class _Watch:
    stream: Stream
    component: str
    path: KeyPath


class Settings:
    """Lives in the IPC server's thread only."""

    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations
        self._watches: list[_Watch] = []

    def closed(self, stream: Stream) -> None:
        self._watches = [kept for kept in self._watches if kept.stream is not stream]

    def changed(self, component: str, paths: Iterable[KeyPath]) -> None:
        """Tell whoever watches these values, or what they are part of."""
        for path in paths:
            for watch in self._watches:
                shared = min(len(path), len(watch.path))
                if watch.component == component and watch.path[:shared] == path[:shared]:
                    event = {"componentName": component, "keyPath": list(path)}
                    watch.stream.event("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

    def of(self, stream: Stream) -> Configuration:
        """The configuration of whoever asks."""
        try:
            return self._configurations.configuration(stream.component)
        except KeyError as exc:
            raise IpcError("ServiceError", f"{stream.component} is being removed from this device") from exc

    def get(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        component, path = _component(stream, request), _key_path(request)
        try:
            value = lookup(self._configurations.configuration(component), path)
        except KeyError as exc:
            raise IpcError("ResourceNotFoundError", f"{component} has no configuration at {list(path)}") from exc
        return {"value": value if isinstance(value, dict) else {path[-1]: value}}

    def update(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        path = _key_path(request)
        if "valueToMerge" not in request or (not path and not isinstance(request["valueToMerge"], dict)):
            raise IpcError("InvalidArgumentsError", "valueToMerge is missing, or no object where no keyPath is given")
        old = self.of(stream)
        new = merge_at(old, path, request["valueToMerge"])
        if new.get("accessControl") != old.get("accessControl"):
            raise IpcError("InvalidArgumentsError", "a component may not change its own accessControl")
        try:
            self._configurations.set_configuration(stream.component, new)
        except OSError as exc:
            raise IpcError("ServiceError", f"the configuration cannot be kept: {exc}") from exc
        self.changed(stream.component, changes(old, new))
        return {}

    def subscribe(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        component, path = _component(stream, request), _key_path(request)
        try:
            self._configurations.configuration(component)
        except KeyError as exc:
            raise IpcError("ResourceNotFoundError", f"there is no component {component}") from exc
        self._watches.append(_Watch(stream, component, path))
        return {}


def _component(stream: Stream, request: Mapping[str, Any]) -> str:
    return str(request.get("componentName") or stream.component)


def _key_path(request: Mapping[str, Any]) -> KeyPath:
    path = request.get("keyPath") or []
    if not isinstance(path, list) or len(path) > _KEYS or not all(isinstance(key, str) for key in path):
        raise IpcError("InvalidArgumentsError", f"keyPath must be a list of at most {_KEYS} keys, got {path!r}")
    return tuple(path)
