"""Gateways that send as badly as a network lets them, and a link without a broker."""

import queue
import random
from dataclasses import dataclass, field

from models.batch import batch_of
from models.errors import UplinkError
from models.mqtt import Message
from models.records import PicturePart, Record
from models.topics import results_topic
from models.wire import StreamAck, decode_acks, encode_batch
from tests.cloud.lake.results import STREAM, aggregate, event, frame, health, lost, picture


def whole_picture(number: int) -> PicturePart:
    (part,) = picture(number)
    return part


@dataclass
class PlainLink:
    """cloud.ingest.worker.Link in memory: what the gateways sent, and what they were told."""

    inbox: queue.Queue[Message] = field(default_factory=queue.Queue)
    sent: list[tuple[str, tuple[StreamAck, ...]]] = field(default_factory=list)
    down: bool = False

    def receive(self, timeout_s: float) -> Message | None:
        try:
            return self.inbox.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def publish(self, topic: str, payload: bytes) -> None:
        if self.down:
            raise UplinkError("not connected")
        self.sent.append((topic, decode_acks(payload)))

    def told(self, gateway: str = "gw-1") -> list[StreamAck]:
        """All acknowledgements that a gateway was sent."""
        return [ack for topic, acks in self.sent if topic == f"tidegate/v1/acks/{gateway}" for ack in acks]


@dataclass
class BadNetwork:
    """One stream of a gateway whose messages are cut anew each time, repeated, reordered and lost.

    Records are of all kinds in turn, so that every table takes part.
    """

    gateway: str
    records: int
    random: random.Random
    stream: str = STREAM
    acked: int = 0

    def told(self, ack: StreamAck) -> None:
        if ack.stream == self.stream:
            self.acked = max(self.acked, ack.last)

    @property
    def done(self) -> bool:
        return self.acked >= self.records

    def burst(self) -> list[Message]:
        """Some messages from about the first unacknowledged record on."""
        messages: list[Message] = []
        first = max(1, self.acked + 1 - self.random.randint(0, 4))
        while first <= self.records and len(messages) < 6:
            last = min(self.records, first + self.random.randint(0, 7))
            messages.append(self.message(first, last))
            first = max(1, last + 1 - self.random.choice((0, 0, 0, 2)))
        messages += self.random.sample(messages, self.random.randint(0, len(messages)))
        if self.random.random() < 0.3:
            self.random.shuffle(messages)
        return [message for message in messages if self.random.random() > 0.15]

    def message(self, first: int, last: int) -> Message:
        records = [self.record(seq) for seq in range(first, last + 1)]
        return Message(results_topic(self.gateway), encode_batch(batch_of(self.stream, first, records)))

    def record(self, seq: int) -> Record:
        for every, make in (
            (11, lambda seq: lost(seq, seq)),
            (7, health),
            (5, event),
            (13, aggregate),
            (17, whole_picture),
        ):
            if seq % every == 0:
                return make(seq)
        return frame(seq)
