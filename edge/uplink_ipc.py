"""Through the Greengrass nucleus, by its IPC (awsiotsdk). What holds there: the nucleus answers "ok" before the broker
has the message, keeps nothing while the broker is down, and closes the connection on a message too large for it.
"""

import threading
import time
from collections.abc import Iterator

from awsiot.eventstreamrpc import EventStreamOperationError
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import QOS, IoTCoreMessage, PublishToIoTCoreRequest, UnauthorizedError

from edge.ipc import FAILURES, TIMEOUT_S, bootstrap, connect, reason
from edge.uplink import INBOX_BYTES, INBOX_MESSAGES, Inbound, check_size
from models.errors import UplinkError
from models.inbox import Inbox

_STOP_S = 0.5
_PACE_S = 0.05  # lite takes 10 messages or 15,000 B before the broker has acknowledged one


class IpcUplink:
    """Connects when something is published and the connection is not there; the subscription comes with it."""

    def __init__(self, *, subscription: str, limit_bytes: int) -> None:
        self._bootstrap = bootstrap()
        self.limit_bytes = limit_bytes
        self._subscription = subscription
        self._inbox = Inbox[Inbound](limit_messages=INBOX_MESSAGES, limit_bytes=INBOX_BYTES)
        self._lock = threading.Lock()
        self._client: GreengrassCoreIPCClientV2 | None = None
        self._free_at = 0.0
        self._closed = False

    def publish(self, topic: str, payload: bytes) -> None:
        check_size(topic, payload, self.limit_bytes)
        with self._lock:
            if self._closed:
                raise UplinkError("the connection to the nucleus was closed")
            time.sleep(max(0.0, self._free_at - time.monotonic()))
            client = self._client or self._open()
            operation = client.client.new_publish_to_iot_core()
            try:
                operation.activate(
                    PublishToIoTCoreRequest(topic_name=topic, payload=payload, qos=QOS.AT_LEAST_ONCE)
                ).result(TIMEOUT_S)
                operation.get_response().result(TIMEOUT_S)
            except UnauthorizedError as exc:
                raise UplinkError(_refused("publish to", topic)) from exc
            except EventStreamOperationError as exc:
                # the nucleus is there and answers: most often the broker is not
                raise UplinkError(f"the nucleus did not take a message: {reason(exc)}") from exc
            except FAILURES as exc:
                self._disconnect()
                raise UplinkError(f"the connection to the nucleus is gone: {reason(exc)}") from exc
            finally:
                # lite leaves the stream open, and the SDK keeps 6 KB for each that is: 10 MB an hour of a busy gateway
                operation.close()
            self._free_at = time.monotonic() + _PACE_S

    def messages(self) -> Iterator[Inbound]:
        return self._inbox.messages()

    def close(self) -> None:
        self._closed = True
        # a nucleus that hangs lets a publish wait for longer than there is to leave; the process ends the connection
        if self._lock.acquire(timeout=_STOP_S):
            try:
                self._disconnect()
            finally:
                self._lock.release()
        self._inbox.close()

    def _open(self) -> GreengrassCoreIPCClientV2:
        client = connect(self._bootstrap)
        try:
            subscribed, _ = client.subscribe_to_iot_core_async(
                topic_name=self._subscription, qos=QOS.AT_LEAST_ONCE, on_stream_event=self._on_message
            )
            subscribed.result(TIMEOUT_S)
        except UnauthorizedError as exc:
            client.close()
            raise UplinkError(_refused("subscribe to", self._subscription)) from exc
        except FAILURES as exc:
            client.close()
            raise UplinkError(f"the nucleus did not take the subscription: {reason(exc)}") from exc
        self._client = client
        return client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _on_message(self, event: IoTCoreMessage) -> None:
        if event.message is None or event.message.topic_name is None:
            return
        self._inbox.put(Inbound(event.message.topic_name, bytes(event.message.payload or b"")))


def _refused(what: str, topic: str) -> str:
    return f"the nucleus refuses to {what} {topic}: accessControl of this component's configuration must allow it"
