"""What only the Java nucleus does over IPC: components that list, stop and pause others, shadows, secrets, metrics.

Ours use none of it. It is here so that a component that tries meets what it would meet on a device: on lite a
ServiceError, on Java an answer, if its accessControl allows it.
"""

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from simulator.nucleus.access import allowed
from simulator.nucleus.component import Component
from simulator.nucleus.configuration import Configuration, merge
from simulator.nucleus.ipc_server import IpcError, Stream

_CLI, _LIFECYCLE = "aws.greengrass.Cli", "aws.greengrass.ipc.lifecycle"
_SHADOWS, _SECRETS = "aws.greengrass.ShadowManager", "aws.greengrass.SecretManager"
_OWN_METRICS = "aws.greengrass."  # metrics are for AWS' own components


class Neighbours(Protocol):
    """The device's components, for whoever may see them."""

    def components(self) -> list[Component]: ...

    def component(self, name: str) -> Component | None: ...


class Classic:
    """Lives in the IPC server's thread only. Shadows are this device's memory: nothing synchronises them."""

    def __init__(
        self,
        neighbours: Neighbours,
        configuration_of: Callable[[Stream], Configuration],
        secrets: Mapping[str, str],
    ) -> None:
        """`secrets`: by name or ARN, as the secret manager would have fetched them."""
        self._secrets = secrets
        self._neighbours = neighbours
        self._configuration_of = configuration_of
        self._shadows: dict[tuple[str, str], dict[str, Any]] = {}
        self.operations: Mapping[str, Callable[[Stream, Mapping[str, Any]], Mapping[str, Any]]] = {
            "DeleteThingShadow": self._delete_shadow,
            "GetComponentDetails": self._get_component_details,
            "GetSecretValue": self._get_secret,
            "GetThingShadow": self._get_shadow,
            "ListComponents": self._list_components,
            "ListNamedShadowsForThing": self._list_shadows,
            "PauseComponent": self._pause,
            "PutComponentMetric": self._put_metric,
            "RestartComponent": self._restart,
            "ResumeComponent": self._resume,
            "StopComponent": self._stop,
            "UpdateThingShadow": self._update_shadow,
        }

    def _list_components(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._check(stream, _CLI, "ListComponents", "*")
        return {"components": [_details(component) for component in self._neighbours.components()]}

    def _get_component_details(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"componentDetails": _details(self._target(stream, _CLI, "GetComponentDetails", request))}

    def _restart(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._target(stream, _CLI, "RestartComponent", request).restart()
        return {"restartStatus": "SUCCEEDED"}

    def _stop(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        component = self._target(stream, _CLI, "StopComponent", request)
        # it may take its time, and this is everybody's thread
        threading.Thread(target=component.stop, name=f"stop {component.name}", daemon=True).start()
        return {"stopStatus": "SUCCEEDED"}

    def _pause(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._target(stream, _LIFECYCLE, "PauseComponent", request).pause()
        return {}

    def _resume(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._target(stream, _LIFECYCLE, "ResumeComponent", request).resume()
        return {}

    def _get_shadow(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"payload": _blob(self._shadow(stream, "GetThingShadow", request))}

    def _update_shadow(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        key = self._shadow_key(stream, "UpdateThingShadow", request)
        try:
            update = json.loads(base64.b64decode(str(request.get("payload", "")), validate=True))
        except (binascii.Error, ValueError, RecursionError) as exc:
            raise IpcError("InvalidArgumentsError", f"payload must be a JSON document in base64: {exc}") from exc
        if not isinstance(update, dict) or not isinstance(update.get("state"), dict):
            raise IpcError("InvalidArgumentsError", "a shadow update needs a state")
        old = self._shadows.get(key, {"state": {}, "version": 0})
        if update.get("version", old["version"]) != old["version"]:
            raise IpcError("ConflictError", f"the shadow is at version {old['version']}")
        state = _without_nulls(merge(old["state"], update["state"]))
        self._shadows[key] = {"state": state, "version": old["version"] + 1, "timestamp": int(time.time())}
        return {"payload": _blob({**self._shadows[key], "state": update["state"]})}

    def _delete_shadow(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        version = self._shadow(stream, "DeleteThingShadow", request)["version"]
        del self._shadows[self._shadow_key(stream, "DeleteThingShadow", request)]
        return {"payload": _blob({"version": version})}

    def _list_shadows(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        thing, _ = self._shadow_key(stream, "ListNamedShadowsForThing", {**request, "shadowName": ""})
        names = sorted(name for owner, name in self._shadows if owner == thing and name)
        return {"results": names, "timestamp": time.time()}

    def _get_secret(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        name = _text(request, "secretId")
        self._check(stream, _SECRETS, "GetSecretValue", name)
        if name not in self._secrets:
            raise IpcError("ResourceNotFoundError", f"this device has no secret {name}")
        return {"secretId": name, "secretValue": {"secretString": self._secrets[name]}}

    def _put_metric(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if not stream.component.startswith(_OWN_METRICS):
            raise IpcError("UnauthorizedError", "metrics are for components of AWS' own")
        if not isinstance(request.get("metrics"), list) or not request["metrics"]:
            raise IpcError("InvalidArgumentsError", "metrics must be a list of at least one")
        return {}

    def _shadow(self, stream: Stream, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        key = self._shadow_key(stream, operation, request)
        if key not in self._shadows:
            raise IpcError("ResourceNotFoundError", f"there is no shadow {key[1]!r} of {key[0]}")
        return self._shadows[key]

    def _shadow_key(self, stream: Stream, operation: str, request: Mapping[str, Any]) -> tuple[str, str]:
        thing, name = _text(request, "thingName"), str(request.get("shadowName") or "")
        resource = f"$aws/things/{thing}/shadow" + (f"/name/{name}" if name else "")
        self._check(stream, _SHADOWS, operation, resource)
        return thing, name

    def _target(self, stream: Stream, service: str, operation: str, request: Mapping[str, Any]) -> Component:
        name = _text(request, "componentName")
        self._check(stream, service, operation, name)
        component = self._neighbours.component(name)
        if component is None:
            raise IpcError("ResourceNotFoundError", f"there is no component {name}")
        return component

    def _check(self, stream: Stream, service: str, operation: str, resource: str) -> None:
        if not allowed(self._configuration_of(stream), service, operation, resource):
            raise IpcError(
                "UnauthorizedError", f"accessControl of {stream.component} does not let it {operation} {resource}"
            )


def _details(component: Component) -> dict[str, Any]:
    recipe = component.recipe
    return {"componentName": recipe.name, "version": recipe.version, "state": component.state, "configuration": {}}


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str) or not value:
        raise IpcError("InvalidArgumentsError", f"{key} is missing, got {value!r}")
    return value


def _without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    # null takes a key away, as in IoT Core's shadows
    return {
        key: _without_nulls(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }


def _blob(document: Mapping[str, Any]) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()
