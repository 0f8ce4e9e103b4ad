"""The least that a gateway needs of a cloud: something that keeps each record once and says what it holds.

It follows ingest's rules (trim what is known, never past a gap, answer after keeping) without a lake behind it, and
can be reached in process, over a link with faults to choose.
"""

import contextlib
import queue
import random
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edge.uplink import Inbound, check_size
from models.errors import UplinkError
from models.health import Health
from models.records import Aggregate, Event, FrameResult, PicturePart, Tombstone
from models.topics import acks_topic, parse_results_topic
from models.wire import StreamAck, decode_batch, encode_acks


@dataclass(slots=True)
class SmallCloud:
    """What arrived: (gateway, stream, seq) -> record, each once; `messages` counts what came in, `sizes` are in bytes
    with the topic. Streams in `ignores` are neither kept nor answered."""

    frames: dict[tuple[str, str, int], FrameResult] = field(default_factory=dict)
    health: dict[tuple[str, str, int], Health] = field(default_factory=dict)
    events: dict[tuple[str, str, int], Event] = field(default_factory=dict)
    aggregates: dict[tuple[str, str, int], Aggregate] = field(default_factory=dict)
    pictures: dict[tuple[str, str, int], PicturePart] = field(default_factory=dict)
    losses: list[tuple[str, Tombstone]] = field(default_factory=list)
    held: dict[tuple[str, str], int] = field(default_factory=dict)
    messages: int = 0
    sizes: list[int] = field(default_factory=list)
    ignores: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, topic: str, payload: bytes) -> Inbound | None:
        """Keep what is new in a batch; the acknowledgement, if there is one."""
        gateway = parse_results_topic(topic).gateway
        batch = decode_batch(payload)
        key = gateway, batch.stream
        with self._lock:
            self.messages += 1
            self.sizes.append(len(topic) + len(payload))
            if batch.stream in self.ignores:
                return None
            held = self.held.get(key, 0)
            if batch.first <= held + 1 and batch.last > held:
                fresh = batch.after(held)
                self.frames |= {(gateway, batch.stream, seq): result for seq, result in fresh.frames}
                self.health |= {(gateway, batch.stream, seq): health for seq, health in fresh.health}
                self.events |= {(gateway, batch.stream, seq): event for seq, event in fresh.events}
                self.aggregates |= {(gateway, batch.stream, seq): aggregate for seq, aggregate in fresh.aggregates}
                self.pictures |= {(gateway, batch.stream, seq): part for seq, part in fresh.pictures}
                self.losses += [(gateway, stone) for stone in fresh.tombstones]
                held = self.held[key] = batch.last
        return Inbound(acks_topic(gateway), encode_acks([StreamAck(batch.stream, held)]))

    def forget(self, gateway: str, stream: str, last: int) -> None:
        """Lose records that were acknowledged: the lake was restored from an older copy."""
        with self._lock:
            self.held[gateway, stream] = last
            kinds: tuple[dict[tuple[str, str, int], Any], ...] = (
                *(self.frames, self.health),
                *(self.events, self.aggregates, self.pictures),
            )
            for records in kinds:
                for key in [key for key in records if key[:2] == (gateway, stream) and key[2] > last]:
                    del records[key]

    def frame_numbers(self, camera: str) -> list[int]:
        """The numbers of a camera's frames, sorted; one that is there twice came twice."""
        with self._lock:
            return sorted(result.frame for result in self.frames.values() if result.camera == camera)

    def reports(self) -> list[Health]:
        """Health messages, in order of time."""
        with self._lock:
            return sorted(self.health.values(), key=lambda health: health.at_us)


class SmallUplink:
    """A link to a small cloud in this process. `down`: nothing can be handed on; `loss`: the part of messages, and of
    acknowledgements, that vanish; `deaf`: no acknowledgement comes."""

    def __init__(self, cloud: SmallCloud, *, limit_bytes: int = 5_000, seed: int = 0) -> None:
        self.limit_bytes = limit_bytes
        self.down = False
        self.deaf = False
        self.loss = 0.0
        self.offered: deque[bytes] = deque(maxlen=100)  # the last messages, whether they were taken or not
        self.cloud = cloud
        self._closed = False
        self._random = random.Random(seed)
        self._inbox: queue.Queue[Inbound | None] = queue.Queue()

    def publish(self, topic: str, payload: bytes) -> None:
        check_size(topic, payload, self.limit_bytes)
        self.offered.append(payload)
        if self.down or self._closed:
            raise UplinkError("the link to the small cloud is down")
        if self._random.random() < self.loss:
            return
        answer = self.cloud.take(topic, payload)
        if answer is not None and not self.deaf and self._random.random() >= self.loss:
            self._inbox.put(answer)

    def inject(self, topic: str, payload: bytes) -> None:
        """Let a message arrive that the cloud never sent."""
        self._inbox.put(Inbound(topic, payload))

    def arrived(self) -> list[Inbound]:
        """What has arrived by now, without waiting."""
        found = []
        with contextlib.suppress(queue.Empty):
            while (message := self._inbox.get_nowait()) is not None:
                found.append(message)
        return found

    def messages(self) -> Iterator[Inbound]:
        while (message := self._inbox.get()) is not None:
            yield message

    def close(self) -> None:
        self._closed = True
        self._inbox.put(None)
