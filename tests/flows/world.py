"""A gateway's spool and shipper, a bad post both ways, and the real ingest with a real lake, in simulated time."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np

from cloud.ingest.pictures import Pictures
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.worker import Ingest
from cloud.lake.delta import DeltaSink, create_lake
from cloud.lake.lake import Lake
from edge.ship import Shipper
from edge.spool import Spool
from edge.uplink import Inbound, check_size
from greengrass.objects import DiskStore
from models.detections import Detections
from models.errors import UplinkError
from models.health import Health
from models.mqtt import Message
from models.records import Aggregate, Event, FrameResult, PicturePart
from models.topics import acks_topic
from models.wire import decode_batch
from simulator.bad_post import BadPost

GATEWAY = "line-1"
WINDOW_S = 60
EPOCH_S = 1_800_000_000


class World:
    """`fps` frames a second (0.2: one in five); health and the tide every WINDOW_S. `now` is in seconds, of every clock
    there is."""

    def __init__(self, folder: Path, *, limit_bytes: int = 5_000, fps: float = 1, seed: int = 0) -> None:
        self.now = float(EPOCH_S)
        self.down = False  # the gateway's end of the link: nothing can be handed on
        self.away = False  # ingest takes nothing in
        self.tamper: Callable[[Message], Message] = lambda message: message  # what leaves the gateway
        self.fps = fps
        self.recorded = 0
        self.alarms = 0
        self.windows = 0
        self.pictures: dict[str, bytes] = {}
        self._chance = random.Random(seed)
        self.published: list[str] = []  # what each message that left the gateway holds
        self.up, self.back = BadPost(seed=seed), BadPost(seed=seed + 1)
        self._uplink = _Uplink(self, limit_bytes)
        self._spool_path = folder / "state" / "spool.db"
        self.lake_folder = folder / "lake"
        create_lake(self.lake_folder)
        self.quarantine = self.lake_folder / "quarantine"
        pictures = Pictures(DiskStore(self.lake_folder / "objects"))
        self.ingest = Ingest(
            _Link(self), DeltaSink(self.lake_folder), Quarantine(DiskStore(self.quarantine)), pictures, commit_s=0
        )
        self.start()

    def start(self) -> None:
        self.spool = Spool(self._spool_path)
        self.shipper = Shipper(
            self.spool,
            self._uplink,
            gateway=GATEWAY,
            clock=lambda: self.now,
            now_us=lambda: int(self.now * 1_000_000),
        )

    def restart(self) -> None:
        """The gateway's process ends and starts again; what it had not written down is forgotten."""
        self.spool.close()
        self.start()

    def run(self, seconds: int, *, recording: bool = True) -> None:
        for _ in range(seconds):
            self.now += 1
            if recording:
                self._record()
            if self.now % WINDOW_S == 0:
                if recording:
                    self._end_window()
                self.spool.flush()
                self.shipper.tide()
            self.shipper.step()
            self._deliver()

    def drain(self, *, at_most_s: float) -> None:
        """Until everything is in the lake and acknowledged."""
        began = self.now
        self.spool.flush()
        while self.spool.streams():
            assert self.now - began < at_most_s, f"{self.spool.depth} still wait"
            self.shipper.tide()
            self.run(1, recording=False)
            self.spool.flush()

    def alarm(self) -> None:
        """Something happens that the cloud should know at once; its picture may come later."""
        self.alarms += 1
        number, at_us = self.recorded, int(self.now * 1e6)
        name = f"{self.alarms:016x}"
        self.spool.append(Event("belt", number, at_us, "line", f"exit-{self.alarms}", alarm=True, picture=name))
        jpeg = b"\xff\xd8\xff" + self._chance.randbytes(9_000)
        self.pictures[name] = jpeg
        parts = [jpeg[start : start + 4_000] for start in range(0, len(jpeg), 4_000)]
        whole = (0.0, 0.0, 640.0, 480.0)
        self.spool.append(
            *(
                PicturePart(name, index, len(parts), "belt", number, at_us, "snapshot", whole, part)
                for index, part in enumerate(parts)
            )
        )

    def lake(self) -> Lake:
        return Lake(self.lake_folder)

    def frames(self) -> Counter[int]:
        """How often each frame is in the lake."""
        rows = self.lake().query("SELECT frame, count(*) AS n FROM frames GROUP BY frame").to_pylist()
        return Counter({row["frame"]: row["n"] for row in rows})

    def count(self, table: str) -> int:
        return int(self.lake().query(f"SELECT count(*) AS n FROM {table}").to_pylist()[0]["n"])

    def check_nothing_is_lost(self) -> None:
        """Every frame, alarm, picture and window is in the lake, each once, and the gateway knows it."""
        assert self.frames() == Counter(range(self.recorded))
        assert self.count("events") == self.alarms
        assert self.count("health") == self.count("aggregates") == self.windows
        stored = self.lake().query("SELECT picture, uri FROM pictures").to_pylist()
        assert {
            row["picture"]: Path(unquote(urlsplit(row["uri"]).path)).read_bytes() for row in stored
        } == self.pictures
        assert len(stored) == self.alarms
        assert self.count("losses") == 0
        assert self.spool.depth.records == 0

    def close(self) -> None:
        self.spool.close()

    def _record(self) -> None:
        while self.recorded < (self.now - EPOCH_S) * self.fps:
            number = self.recorded
            left = float(number * 3 % 600)
            found = replace(
                Detections.of([[left, 40, left + 50, 90]], [0.75], [0]), tracks=np.array([number // 200 + 1])
            )
            at_ns = int(self.now * 1e9)
            self.spool.append(FrameResult.of("belt", number, at_ns, "coco", 1, found, ("bottle",)))
            self.recorded += 1

    def _end_window(self) -> None:
        self.spool.append(Health(int(self.now * 1e6), WINDOW_S, "coco", 1, "d" * 64, "fp32"))
        began_us = int((self.now - WINDOW_S) * 1e6)
        self.spool.append(Aggregate("belt", began_us, WINDOW_S, "", "bottle", 60, 60, 1, 1, "coco", 1))
        self.windows += 1

    def _deliver(self) -> None:
        messages = self.up.arrived(self.now)
        if messages and not self.away:
            self.ingest.take_in(messages)
        for message in self.back.arrived(self.now):
            self.shipper.acknowledged(message.payload)


class _Uplink:
    """edge.uplink.Uplink by bad post."""

    def __init__(self, world: World, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._world = world

    def publish(self, topic: str, payload: bytes) -> None:
        check_size(topic, payload, self.limit_bytes)
        if self._world.down:
            raise UplinkError("the link is down")
        batch = decode_batch(payload)
        kinds = ("events", "health", "frames", "tombstones", "aggregates", "pictures")
        self._world.published.append(next(kind for kind in kinds if getattr(batch, kind)))
        self._world.up.send(self._world.tamper(Message(topic, payload)), self._world.now)

    def messages(self) -> Iterator[Inbound]:
        return iter(())

    def close(self) -> None:
        pass


class _Link:
    """cloud.ingest.worker.Link by bad post."""

    def __init__(self, world: World) -> None:
        self._world = world

    def receive(self, timeout_s: float) -> Message | None:
        return None

    def publish(self, topic: str, payload: bytes) -> None:
        assert topic == acks_topic(GATEWAY)
        self._world.back.send(Message(topic, payload), self._world.now)
