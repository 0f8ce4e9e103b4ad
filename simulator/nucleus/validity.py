"""Configurations that the Java nucleus shows to running components before a deployment gives them: whoever subscribed
may refuse its own, and then nothing is changed. Who is silent has refused."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from models.errors import DeployError
from simulator.nucleus.device_state import DeviceState
from simulator.nucleus.ipc_server import IpcError, Stream

_STATUSES = ("ACCEPTED", "REJECTED")


class Validity:
    """Who wants to be asked, and what they answered. Safe to use from several threads."""

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}  # the latest of each component
        self._asked: dict[str, str | None] = {}  # component -> why it refuses, empty for a yes, None before it answers
        self._changed = threading.Condition()

    def subscribe(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._changed:
            self._streams[stream.component] = stream
        return {}

    def closed(self, stream: Stream) -> None:
        with self._changed:
            if self._streams.get(stream.component) is stream:
                del self._streams[stream.component]

    def report(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """A component's answer."""
        report = request.get("configurationValidityReport")
        if not isinstance(report, dict) or report.get("status") not in _STATUSES:
            raise IpcError("InvalidArgumentsError", f"a report's status must be one of {', '.join(_STATUSES)}")
        with self._changed:
            if stream.component not in self._asked:
                raise IpcError("InvalidArgumentsError", "the time to answer is over, or nobody asked")
            refused = str(report.get("message") or "it gave no reason") if report["status"] == "REJECTED" else ""
            self._asked[stream.component] = refused
            self._changed.notify_all()
        return {}

    def check(
        self,
        deployment: str,
        before: DeviceState,
        after: DeviceState,
        *,
        timeout_s: float,
        post: Callable[..., None],
        off: threading.Event,
    ) -> None:
        """DeployError where a component refuses the configuration that it would get. One that comes in another version
        is not asked: it might not know its successor's keys. `post` has the IPC server's own thread call a function."""
        with self._changed:
            asked = {name: self._streams[name] for name in _to_ask(before, after) if name in self._streams}
            self._asked = dict.fromkeys(asked)
        for name, stream in asked.items():
            event = {"configuration": after.components[name].configuration, "deploymentId": deployment}
            post(stream.event, "ValidateConfigurationUpdateEvents", {"validateConfigurationUpdateEvent": event})
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while None in self._asked.values() and time.monotonic() < deadline and not off.is_set():
                self._changed.wait(min(0.2, max(0.0, deadline - time.monotonic())))
            answers, self._asked = self._asked, {}
        refusals = [
            f"{name} refuses its configuration: {'it did not answer in time' if answer is None else answer}"
            for name, answer in answers.items()
            if answer != ""
        ]
        if refusals:
            raise DeployError("; ".join(refusals))


def _to_ask(before: DeviceState, after: DeviceState) -> list[str]:
    old, new = before.components, after.components
    return [
        name
        for name in sorted(old.keys() & new.keys())
        if old[name].version == new[name].version and old[name].configuration != new[name].configuration
    ]
