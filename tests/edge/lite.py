"""Nucleus lite's IPC for one component, without deployments: what a gateway component finds when it is started."""

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.mqtt import Broker, Connection
from simulator.nucleus.device import Device
from simulator.nucleus.device_state import DeviceState, Installed
from simulator.nucleus.ipc_server import IpcServer
from simulator.nucleus.personality import LITE
from simulator.nucleus.services import Services
from tests.simulator.nucleus.recipes import recipe

COMPONENT = "tidegate.Gateway"
ACCESS = {
    "aws.greengrass.ipc.mqttproxy": {
        "results and acks": {
            "operations": ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"],
            "resources": ["tidegate/v1/*"],
        }
    }
}


@dataclass(frozen=True, slots=True)
class Lite:
    """`environment` is what the nucleus gives to the component; `connection` is its own to the broker."""

    environment: Mapping[str, str]
    connection: Connection


@contextmanager
def lite(thing: str, folder: Path, broker: Broker, configuration: Mapping[str, Any]) -> Iterator[Lite]:
    """A device of that name, on which the gateway component has this configuration."""
    components = {
        COMPONENT: Installed(recipe(COMPONENT, "exec tail -f /dev/null"), {**configuration, "accessControl": ACCESS})
    }
    DeviceState({}, components).save(folder / "config" / "state.json")
    device = Device(thing, folder, environment={}, personality=LITE)
    with (
        tempfile.TemporaryDirectory() as sockets,
        Connection(broker, client_id=thing) as connection,
        IpcServer(Path(sockets) / "ipc", (services := Services(device, connection, LITE)), LITE) as server,
    ):

        def deliver() -> None:
            for message in connection.messages():
                server.post(services.deliver, message)

        thread = threading.Thread(target=deliver)
        thread.start()
        assert connection.wait_until_ready(20)
        device.start()
        running = device.component(COMPONENT)
        assert running is not None
        environment = {
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(server.path),
            "SVCUID": running.token,
            "AWS_IOT_THING_NAME": thing,
        }
        yield Lite(environment, connection)
        device.stop()
        connection.close()
        thread.join()
