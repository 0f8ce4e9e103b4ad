"""A minute of a fleet, for the bars about ingest: what gateways with one camera at five frames a second send in it.

Real detections (the tape of the light gateways: bottles, tracked, with a line and two zones), cut by the gateway's own
code, a message for each lane: frames, events, alarms, aggregates and a health message. Bodies of a few variants are
shared by many gateways; each has streams, a name and an envelope of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge.cut import cut
from edge.lanes import LANES, Lane, lane_of
from models.health import Health
from models.mqtt import Message
from models.records import Aggregate, Event, FrameResult, Record
from models.topics import results_topic
from models.wire import decode_batch, open_envelope, seal

TAPE = Path(__file__).parents[1] / "simulator/light/minute.tg"
VARIANTS = 16
LIMIT_BYTES = 120_000  # of a message, on any uplink but nucleus lite's
_MINUTE_US = 60_000_000
_VARIANT_US = 1_234_567
_DIGEST = "0123456789abcdef" * 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A lane's part of a minute: the body of its message, and which records it holds."""

    lane: Lane
    first: int
    last: int
    body: bytes


def tape() -> list[Record]:
    """A minute's records, in order, with the health message at its end."""
    batch = decode_batch(TAPE.read_bytes())
    numbered = sorted([*batch.frames, *batch.events, *batch.aggregates], key=lambda item: item[0])
    records: list[Record] = [record for _, record in numbered]  # type: ignore[misc]  # sorted() forgets what it sorts
    ended_at_us = max(frame.captured_at_us for _, frame in batch.frames)
    return [*records, Health(ended_at_us, 60.0, "coco", 1, _DIGEST, "int8", 300, 300, class_mix={"bottle": 800})]


def shifted(record: Record, us: int) -> Record:
    """The same, later."""
    match record:
        case FrameResult():
            return replace(record, captured_at_us=record.captured_at_us + us, steady_us=record.steady_us + us)
        case Event() | Health():
            return replace(record, at_us=record.at_us + us)
        case Aggregate():
            return replace(record, start_us=record.start_us + us)
    return record


class FleetMinutes:
    """Minute after minute of a fleet, as messages that follow one another in their streams."""

    def __init__(self) -> None:
        self.records = tape()
        self.frames = [record for record in self.records if isinstance(record, FrameResult)]
        self.detections = sum(len(frame.labels) for frame in self.frames)  # a gateway's in a minute
        self._pieces: dict[tuple[int, int], list[Piece]] = {}

    def messages(self, gateway: int, minute: int) -> Iterator[Message]:
        """What a gateway sends in its `minute`th minute (0, 1, ...), one message a lane."""
        topic = results_topic(f"gw-{gateway:05}")
        for piece in self._cut(gateway % VARIANTS, minute):
            stream = f"{gateway:012x}{LANES.index(piece.lane):04x}"
            yield Message(topic, seal(stream, piece.first, piece.last, piece.body))

    def recorded(self, variant: int, minute: int = 0) -> list[Record]:
        """What a gateway of this variant recorded in its `minute`th minute."""
        return [shifted(record, minute * _MINUTE_US + variant * _VARIANT_US) for record in self.records]

    def _cut(self, variant: int, minute: int) -> list[Piece]:
        if (variant, minute) not in self._pieces:
            lanes: dict[Lane, list[Record]] = {}
            for record in self.recorded(variant, minute):
                lanes.setdefault(lane_of(record), []).append(record)
            self._pieces[variant, minute] = [self._piece(lane, records, minute) for lane, records in lanes.items()]
        return self._pieces[variant, minute]

    def _piece(self, lane: Lane, records: list[Record], minute: int) -> Piece:
        first = minute * len(records) + 1
        made = cut("0" * 16, first, records, limit_bytes=LIMIT_BYTES, guess=len(records))
        assert made.records == len(records), "a lane's minute is one message"
        return Piece(lane, made.first, made.last, open_envelope(made.message).body)
