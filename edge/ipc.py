"""Connections to the nucleus that started this process (awsiotsdk)."""

import concurrent.futures
import os
from collections.abc import Callable

from awscrt.exceptions import AwsCrtError
from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup, SocketDomain, SocketOptions
from awsiot.eventstreamrpc import (
    Connection,
    EventStreamError,
    EventStreamOperationError,
    LifecycleHandler,
    MessageAmendment,
)
from awsiot.greengrasscoreipc.client import GreengrassCoreIPCClient
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from models.errors import ConfigError, UplinkError

TIMEOUT_S = 2.0  # it is on this machine; and a component has 5 s to leave
# RuntimeError: the SDK's ConnectionClosedError and StreamClosedError, and its bare ones
FAILURES = (
    AwsCrtError,
    EventStreamError,
    EventStreamOperationError,
    RuntimeError,
    OSError,
    concurrent.futures.TimeoutError,
)
_SOCKET = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
_TOKEN = "SVCUID"


class _Lifecycle(LifecycleHandler):  # type: ignore[misc]
    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost

    def on_disconnect(self, reason: Exception | None) -> None:
        self._lost()


def connect(bootstrap: ClientBootstrap, *, lost: Callable[[], None] = lambda: None) -> GreengrassCoreIPCClientV2:
    """A connection to the nucleus that started this process; UplinkError where it does not answer. `lost` is called, on
    the event loop, when the connection ends.

    What awsiot.greengrasscoreipc.connect() does, but with an event loop to keep: its own starts a thread each time,
    which stays until Python happens to collect its cycles.
    """
    socket_options = SocketOptions()
    socket_options.domain = SocketDomain.Local
    connection = Connection(
        host_name=os.environ[_SOCKET],
        port=0,
        bootstrap=bootstrap,
        socket_options=socket_options,
        connect_message_amender=MessageAmendment.create_static_authtoken_amender(os.environ[_TOKEN]),
    )
    try:
        connection.connect(_Lifecycle(lost)).result(TIMEOUT_S)
    except FAILURES as exc:
        connection.close()
        raise UplinkError(f"the nucleus does not answer: {reason(exc)}") from exc
    # no executor: its only work would be to put messages into a queue
    return GreengrassCoreIPCClientV2(client=GreengrassCoreIPCClient(connection), executor=None)


def bootstrap() -> ClientBootstrap:
    """One event loop, for all connections of its owner; ConfigError where Greengrass did not start this process."""
    for variable in (_SOCKET, _TOKEN):
        if not os.environ.get(variable):
            raise ConfigError(f"{variable} is not set: uplink kind ipc is for a component that Greengrass started")
    loops = EventLoopGroup(num_threads=1)
    return ClientBootstrap(loops, DefaultHostResolver(loops))


def reason(exc: BaseException) -> str:
    """What an error of the SDK says."""
    # lite puts its text into `_message`, the SDK shows `.message`, which is then None
    return str(getattr(exc, "_message", None) or getattr(exc, "message", None) or str(exc) or type(exc).__name__)
