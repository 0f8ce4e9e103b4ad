"""What the nucleus tells a component: its configuration, that this has changed, and that components are to be updated.

Nucleus lite starts a component anew when a deployment changes its configuration, and knows no notices of updates; the
Java nucleus does neither.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from awsiot.eventstreamrpc import EventStreamOperationError
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import (
    ComponentUpdatePolicyEvents,
    ConfigurationUpdateEvents,
    ResourceNotFoundError,
)

from edge.ipc import FAILURES, TIMEOUT_S, bootstrap, connect, reason
from models.errors import UplinkError

log = logging.getLogger(__name__)

SETTLE_S = 0.5  # a deployment changes values one after another, and each is told
_RETRY_S = 5.0
_ASK_S = 30.0  # where the nucleus does not tell
_RECHECK_MS = 500
_MOST_DEFERRED_S = 5.0


class Nucleus:
    """The configuration of this component under `key`. An update is put off while `busy` is set, for some seconds at
    most. One thread calls the methods."""

    def __init__(self, key: str, *, busy: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        """ConfigError where Greengrass did not start this process."""
        self._key = key
        self._busy = busy
        self._clock = clock
        self._bootstrap = bootstrap()
        self._client: GreengrassCoreIPCClientV2 | None = None
        self._lost = threading.Event()
        self._changed_at: float | None = None
        self._retry_at = 0.0
        self._ask_at = math.inf
        self._notice = ("", 0.0)  # of which deployment, and since when it waits

    def read(self) -> Any:
        """The configuration as it is, empty where there is none; UplinkError where the nucleus does not answer."""
        client = self._client = self._client or self._open()
        try:
            return client.get_configuration_async(key_path=[self._key]).result(TIMEOUT_S).value
        except ResourceNotFoundError:
            return {}
        except FAILURES as exc:
            self.close()
            raise UplinkError(f"the nucleus did not give the configuration under {self._key!r}: {reason(exc)}") from exc

    def news(self) -> Any | None:
        """The configuration, if it may have changed since it was read; None where it has not. A nucleus that is away is
        waited for."""
        now = self._clock()
        if self._lost.is_set():
            self.close()
        if now < self._retry_at:
            return None
        settled = self._changed_at is not None and now - self._changed_at >= SETTLE_S
        if self._client is not None and not settled and now < self._ask_at:
            return None
        self._changed_at = None
        self._ask_at = now + _ASK_S if self._ask_at < math.inf else math.inf
        try:
            return self.read()
        except UplinkError as exc:
            log.debug("%s", exc)
            self._retry_at = now + _RETRY_S
            return None

    def close(self) -> None:
        """Ask no more; `read` would connect again."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> GreengrassCoreIPCClientV2:
        self._lost = threading.Event()  # each connection has its own: it is set when we close it, too
        client = connect(self._bootstrap, lost=self._lost.set)
        watching, _ = client.subscribe_to_configuration_update_async(
            key_path=[self._key], on_stream_event=self._on_change
        )
        noticing, _ = client.subscribe_to_component_updates_async(
            on_stream_event=lambda event: self._on_notice(client, event)
        )
        self._ask_at = math.inf
        try:
            try:
                watching.result(TIMEOUT_S)
            except EventStreamOperationError as exc:  # there is nothing under the key yet, for one
                log.debug("the nucleus will not tell of a changed configuration: %s", reason(exc))
                self._ask_at = self._clock() + _ASK_S
            try:
                noticing.result(TIMEOUT_S)
            except EventStreamOperationError as exc:  # nucleus lite never does
                log.debug("the nucleus will not give notice of updates: %s", reason(exc))
        except FAILURES as exc:
            client.close()
            raise UplinkError(f"the nucleus does not answer: {reason(exc)}") from exc
        return client

    def _on_change(self, event: ConfigurationUpdateEvents) -> None:
        self._changed_at = self._clock()

    def _on_notice(self, client: GreengrassCoreIPCClientV2, event: ComponentUpdatePolicyEvents) -> None:
        notice = event.pre_update_event
        if notice is None or notice.deployment_id is None:
            return
        now = self._clock()
        deployment, since = self._notice
        if notice.deployment_id != deployment:
            self._notice = notice.deployment_id, (since := now)
        wait_ms = recheck_ms(busy=self._busy.is_set(), waiting_s=now - since)
        # not awaited: this is the event loop's own thread. Without an answer the nucleus would wait for a minute
        client.defer_component_update_async(
            deployment_id=notice.deployment_id, message="a window is being written", recheck_after_ms=wait_ms
        )


def recheck_ms(*, busy: bool, waiting_s: float) -> int:
    """In how many milliseconds to ask again whether an update may begin, which has waited for so long; 0: it may."""
    return _RECHECK_MS if busy and waiting_s < _MOST_DEFERRED_S else 0
