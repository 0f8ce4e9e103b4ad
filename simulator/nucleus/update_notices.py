"""Component-update notices of the Java nucleus: whoever subscribed is told before an update, and may put it off."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from simulator.nucleus.ipc_server import IpcError, Stream


class UpdateNotices:
    """Who wants to be told, and what they answered. Safe to use from several threads."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []
        self._asked: dict[str, float | None] = {}  # component -> when it wants to be asked again, once it has said so
        self._deployment = ""
        self._changed = threading.Condition()

    def subscribe(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._changed:
            self._streams.append(stream)
        return {}

    def closed(self, stream: Stream) -> None:
        with self._changed:
            self._streams = [kept for kept in self._streams if kept is not stream]

    def defer(self, stream: Stream, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a notice: ask again after so long; 0 lets the update go on."""
        wait_ms = request.get("recheckAfterMs", 0)
        with self._changed:
            if all(subscribed.component != stream.component for subscribed in self._streams):
                raise IpcError("InvalidArgumentsError", f"{stream.component} has not subscribed to component updates")
            if stream.component not in self._asked:
                raise IpcError("ServiceError", "the time to answer the notice is over")
            if isinstance(wait_ms, bool) or not isinstance(wait_ms, int) or wait_ms < 0:
                raise IpcError("InvalidArgumentsError", f"recheckAfterMs must be 0 or more, got {wait_ms!r}")
            # an answer that names another deployment counts as one that puts nothing off
            counts = request.get("deploymentId") == self._deployment
            self._asked[stream.component] = wait_ms / 1000 if counts else 0.0
            self._changed.notify_all()
        return {}

    def ask(
        self, deployment: str, *, timeout_s: float, post: Callable[[Callable[[], None]], None], off: threading.Event
    ) -> None:
        """Return once nobody puts the deployment off any more, or when `off` is set.

        Who says nothing delays it by `timeout_s`. `post` has the IPC server's own thread call a function.
        """
        while not off.is_set():
            began = time.monotonic()
            with self._changed:
                self._asked = {stream.component: None for stream in self._streams}
                self._deployment = deployment
            post(lambda: self._tell("preUpdateEvent", {"deploymentId": deployment, "isGgcRestarting": False}))
            with self._changed:
                answered = {}
                while True:
                    here = {stream.component for stream in self._streams}
                    answered = {name: wait_s for name, wait_s in self._asked.items() if name in here}
                    left_s = began + timeout_s - time.monotonic()
                    if left_s <= 0 or off.is_set() or None not in answered.values():
                        break
                    self._changed.wait(min(left_s, 0.2))
                self._asked = {}
            wait_s = max((wait_s for wait_s in answered.values() if wait_s is not None), default=0.0)
            if wait_s <= 0:
                return
            off.wait(began + wait_s - time.monotonic())

    def tell_done(self, deployment: str) -> None:
        """The deployment is through, or will not be. Only from the IPC server's own thread."""
        self._tell("postUpdateEvent", {"deploymentId": deployment})

    def _tell(self, kind: str, event: Mapping[str, Any]) -> None:
        with self._changed:
            streams = list(self._streams)
        for stream in streams:
            stream.event("ComponentUpdatePolicyEvents", {kind: event})
