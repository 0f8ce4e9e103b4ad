"""A spool, a link and a cloud, for which time passes only when told to."""

from pathlib import Path

import numpy as np

from edge.byte_budget import ByteBudget
from edge.ship import Shipper
from edge.spool import Spool
from models.detections import Detections
from models.records import FrameResult
from simulator.small_cloud import SmallCloud, SmallUplink

GATEWAY = "g1"
TIMEOUT_S = 10.0


class World:
    """A spool, a link and a cloud; time passes only when told to."""

    def __init__(
        self, folder: Path, *, limit_bytes: int = 5_000, budget: ByteBudget | None = None, spool_bytes: int = 1 << 28
    ) -> None:
        self.now = 1000.0
        self.budget = budget
        self.spool_bytes = spool_bytes
        self.folder = folder
        self.cloud = SmallCloud()
        self.uplink = SmallUplink(self.cloud, limit_bytes=limit_bytes)
        self.recorded = 0
        self.random = np.random.default_rng(0)
        self.start()

    def start(self) -> None:
        self.spool = Spool(self.folder / "spool.db", limit_bytes=self.spool_bytes)
        self.shipper = Shipper(
            self.spool,
            self.uplink,
            gateway=GATEWAY,
            ack_timeout_s=TIMEOUT_S,
            budget=self.budget,
            clock=lambda: self.now,
            now_us=lambda: int(self.now * 1e6),
        )

    def pass_by(self, seconds: float) -> None:
        """Time goes on without a step."""
        self.now += seconds

    def restart(self) -> None:
        self.spool.close()
        self.start()

    def save(self) -> dict[Path, bytes]:
        """The spool's files as they are now."""
        return {path: path.read_bytes() for path in self.folder.glob("spool.db*")}

    def restore(self, files: dict[Path, bytes]) -> None:
        """A new start, with these files in place of what was written since."""
        self.spool.close()
        for path, content in files.items():
            path.write_bytes(content)
        self.start()

    def record(self, count: int, things: int = 1) -> None:
        for _ in range(count):
            found = Detections.of(self.random.uniform(0, 600, (things, 4)), [0.5] * things, [0] * things)
            self.spool.append(
                FrameResult.of("door", self.recorded, self.recorded * 1_000_000, "coco", 1, found, ("thing",) * things)
            )
            self.recorded += 1
        self.spool.flush()

    def run(self, seconds: float, *, tides: bool = True) -> None:
        for _ in range(int(seconds * 2)):
            self.step(0.5, tide=tides)

    def step(self, seconds: float, *, tide: bool = True) -> None:
        """Time goes on, and the gateway does once what it does then."""
        self.now += seconds
        if tide:
            self.shipper.tide()
        self.shipper.step()
        self.hear()
        self.spool.flush()

    def hear(self) -> None:
        for message in self.uplink.arrived():
            self.shipper.acknowledged(message.payload)

    def stream(self) -> str:
        (stream,) = {key[1] for key in self.cloud.held}
        return stream

    def spool_streams(self) -> list[str]:
        """Every stream that the cloud has heard of, in that order."""
        return [stream for _, stream in self.cloud.held]
