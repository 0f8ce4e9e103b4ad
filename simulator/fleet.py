"""A fleet of simulated gateways: things with certificates, a nucleus each, and what provisioning gives them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

from greengrass.groups import ensure_group
from greengrass.recipe import GATEWAY
from models.durable import write_atomic
from simulator.local_cloud import LocalCloud
from simulator.nucleus.nucleus import Nucleus
from simulator.nucleus.personality import LITE, Personality
from simulator.witness import RecordedFrame, Sight, Witness


class SimulatedFleet:
    """Gateways by name, in the thing group `name`; their roots and logs stay in `folder`."""

    def __init__(
        self,
        cloud: LocalCloud,
        name: str,
        gateways: Sequence[str],
        folder: Path,
        *,
        personalities: Mapping[str, Personality] | None = None,
        faulty_links: bool = False,
    ) -> None:
        """`personalities` by gateway, lite where none is named; with `faulty_links` the network of each can be cut."""
        self.name = name
        self.gateways = tuple(gateways)
        self.folder = folder.resolve()
        self.trust = self.folder / "trust"
        iot = boto3.client("iot")
        for gateway in gateways:
            iot.create_thing(thingName=gateway)
        ensure_group(name, gateways)
        self.nuclei: Mapping[str, Nucleus] = {
            gateway: Nucleus(
                gateway,
                self.folder / gateway,
                environment=cloud.environment,
                broker=cloud.device(gateway),
                personality=(personalities or {}).get(gateway, LITE),
                faulty_link=faulty_links,
            )
            for gateway in gateways
        }
        self._witnesses = {gateway: Witness(self._spool(gateway)) for gateway in gateways}

    def trust_root(self, model: str, root: bytes) -> None:
        """Provision every gateway with the root of trust for a model."""
        write_atomic(self.trust / f"{model}.root.json", root)

    def look(self, gateway: str) -> Sight:
        """What the gateway recorded since the last look, and how far its spool is; instead of `recorded`."""
        return self._witnesses[gateway].look()

    def recorded(self, gateway: str) -> list[RecordedFrame]:
        """Every frame that the gateway ever recorded, as the witness saw it."""
        return self._witnesses[gateway].frames()

    def start(self) -> None:
        for nucleus in self.nuclei.values():
            nucleus.start()

    def pids(self) -> dict[str, int | None]:
        """The gateway component's process by gateway."""
        return {gateway: nucleus.pid(GATEWAY) for gateway, nucleus in self.nuclei.items()}

    def kill(self, gateway: str) -> None:
        """SIGKILL to the gateway component; the nucleus starts it again, as it would on a device."""
        self.nuclei[gateway].kill(GATEWAY)

    def close(self) -> None:
        # side by side: each waits until its components have left
        with ThreadPoolExecutor(max_workers=len(self.nuclei)) as pool:
            list(pool.map(Nucleus.close, self.nuclei.values()))

    def _spool(self, gateway: str) -> Path:
        """The database that the gateway's component keeps in its work folder."""
        return self.folder / gateway / "work" / GATEWAY / "state" / "spool.db"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def gateway_configuration(model: str, *, trust: Path, camera: str, numbered: bool, window_s: float) -> dict[str, Any]:
    """The configuration that the fleet's gateway component is deployed with; `camera` may hold `{gateway}`."""
    return {
        "model": model,
        "trust": str(trust),
        "window_s": window_s,
        # photographs that are shown again, without a sensor's noise, are no frozen camera
        "cameras": [{"name": "line", "uri": camera, "numbered": numbered, "frozen_s": 0}],
        "uplink": {"kind": "ipc"},
    }
