"""A device whose two components do nothing, its IPC, and the unmodified AWS SDK's client for each."""

import contextlib
import json
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from models.mqtt import Broker, Connection
from models.topics import acks_topic, results_topic
from simulator.nucleus.device import Device
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.eventstream import Message, encode
from simulator.nucleus.ipc_server import IpcServer
from simulator.nucleus.personality import Personality
from simulator.nucleus.services import Services
from tests.simulator.nucleus.recipes import recipe

THING = "line-1"
RESULTS, ACKS = results_topic(THING), acks_topic(THING)


def _allow(operations: list[str], resources: list[str]) -> dict[str, Any]:
    return {"all of mine": {"operations": operations, "resources": resources}}


ACCESS = {
    "aws.greengrass.ipc.mqttproxy": _allow(
        ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"], ["tidegate/v1/*"]
    ),
    "aws.greengrass.ipc.pubsub": _allow(["*"], ["local/*"]),
    "aws.greengrass.ipc.lifecycle": _allow(["*"], ["mute"]),
    "aws.greengrass.Cli": _allow(["*"], ["*"]),
    "aws.greengrass.ShadowManager": _allow(["*"], [f"$aws/things/{THING}/shadow*"]),
    "aws.greengrass.SecretManager": _allow(["*"], ["camera-*"]),
}
CONFIGURATION = {"number": 60, "flag": True, "list": [1], "deep": {"x": 1, "y": {"z": "end"}}, "accessControl": ACCESS}
CONNECT_HEADERS: dict[str, int | str] = {":version": "0.1.0", ":message-type": 4, ":message-flags": 0, ":stream-id": 0}


@dataclass(frozen=True)
class Rig:
    """`talker` may do much, `mute` nothing; `services.notices` asks those who subscribed."""

    device: Device
    server: IpcServer
    services: Services
    connection: Connection

    def client(self, component: str) -> GreengrassCoreIPCClientV2:
        """The SDK's own client, connected as that component."""
        return GreengrassCoreIPCClientV2(
            client=connect(ipc_socket=str(self.server.path), authtoken=self.token(component))
        )

    def token(self, component: str) -> str:
        running = self.device.component(component)
        assert running is not None
        return running.token

    def knock(self, *frames: bytes) -> bytes:
        """Send these bytes on a connection of their own; what comes back until the server closes it."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(self.server.path))
            answer = b""
            try:
                for frame in frames:
                    client.sendall(frame)
                client.shutdown(socket.SHUT_WR)
                while data := client.recv(65_536):
                    answer += data
            except (BrokenPipeError, ConnectionResetError):
                pass
            return answer


@contextlib.contextmanager
def rig(
    folder: Path, broker: Broker, personality: Personality, *, secrets: Mapping[str, str] | None = None
) -> Iterator[Rig]:
    """The device, connected to the broker."""
    components = {
        name: Installed(recipe(name, "exec tail -f /dev/null"), configuration)
        for name, configuration in (("talker", CONFIGURATION), ("mute", {"number": 1}))
    }
    DeviceState({}, components).save(folder / "root" / "config" / "state.json")
    device = Device(THING, folder / "root", environment={}, personality=personality)
    with (
        tempfile.TemporaryDirectory() as sockets,
        Connection(broker, client_id=THING) as connection,
        contextlib.closing(Services(device, connection, personality, secrets=secrets)) as services,
        IpcServer(Path(sockets) / "ipc", services, personality) as server,
        _inbox(connection, server, services),
    ):
        device.start()
        yield Rig(device, server, services, connection)
        device.stop()


def connect_frame(token: str) -> bytes:
    return encode(Message(CONNECT_HEADERS, json.dumps({"authToken": token}).encode()))


def request_frame(number: int, operation: str, request: Mapping[str, Any]) -> bytes:
    """What the SDK sends for an operation."""
    headers: dict[str, int | str] = {
        ":content-type": "application/json",
        "service-model-type": f"aws.greengrass#{operation}Request",
        ":message-type": 0,
        ":message-flags": 0,
        ":stream-id": number,
        "operation": f"aws.greengrass#{operation}",
    }
    return encode(Message(headers, json.dumps(request).encode()))


@contextlib.contextmanager
def _inbox(connection: Connection, server: IpcServer, services: Services) -> Iterator[None]:
    """Hand what the broker sends to the services, as the nucleus does."""

    def deliver() -> None:
        for message in connection.messages():
            server.post(services.deliver, message)

    thread = threading.Thread(target=deliver)
    thread.start()
    assert connection.wait_until_ready(20)
    yield
    connection.close()
    thread.join()
