"""A contiguous run of a stream's records."""

from dataclasses import dataclass

from models.health import Health
from models.records import STREAM, Aggregate, Event, FrameResult, PicturePart, Record, Tombstone


@dataclass(frozen=True, slots=True)
class Batch:
    """Records first..last of a stream, without a gap: each is one of its records or under a tombstone.

    `stream` is 16 hex digits. All but tombstones go with their seqs, in order.
    """

    stream: str
    first: int
    last: int
    frames: tuple[tuple[int, FrameResult], ...] = ()
    health: tuple[tuple[int, Health], ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    events: tuple[tuple[int, Event], ...] = ()
    aggregates: tuple[tuple[int, Aggregate], ...] = ()
    pictures: tuple[tuple[int, PicturePart], ...] = ()

    def __post_init__(self) -> None:
        if not STREAM.fullmatch(self.stream):
            raise ValueError(f"stream must be 16 hex digits, got {self.stream!r}")
        numbered = (self.frames, self.health, self.events, self.aggregates, self.pictures)
        spans = [(seq, seq) for items in numbered for seq, _ in items]
        spans += [(stone.first, stone.last) for stone in self.tombstones]
        expected = self.first
        for first, last in sorted(spans):
            if first != expected or last < first:
                raise ValueError(
                    f"records {self.first}..{self.last} must follow one another, got {first} for {expected}"
                )
            expected = last + 1
        if not spans or self.first < 1 or expected != self.last + 1:
            raise ValueError(f"records must cover {self.first}..{self.last}, they end at {expected - 1}")

    def __len__(self) -> int:
        return self.last - self.first + 1

    def after(self, seq: int) -> "Batch":
        """The part of the batch that is newer than `seq`, which must be less than `last`."""
        return Batch(
            self.stream,
            max(self.first, seq + 1),
            self.last,
            tuple(item for item in self.frames if item[0] > seq),
            tuple(item for item in self.health if item[0] > seq),
            tuple(
                Tombstone(max(stone.first, seq + 1), stone.last, stone.reason)
                for stone in self.tombstones
                if stone.last > seq
            ),
            tuple(item for item in self.events if item[0] > seq),
            tuple(item for item in self.aggregates if item[0] > seq),
            tuple(item for item in self.pictures if item[0] > seq),
        )


def batch_of(stream: str, first: int, records: list[Record]) -> Batch:
    """A batch of records in order; a tombstone takes as many numbers as it covers."""
    frames: list[tuple[int, FrameResult]] = []
    health: list[tuple[int, Health]] = []
    events: list[tuple[int, Event]] = []
    aggregates: list[tuple[int, Aggregate]] = []
    pictures: list[tuple[int, PicturePart]] = []
    stones: list[Tombstone] = []
    seq = first
    for record in records:
        match record:
            case FrameResult():
                frames.append((seq, record))
            case Health():
                health.append((seq, record))
            case Event():
                events.append((seq, record))
            case Aggregate():
                aggregates.append((seq, record))
            case PicturePart():
                pictures.append((seq, record))
            case Tombstone():
                stones.append(record)
                seq = record.last
        seq += 1
    return Batch(
        stream,
        first,
        seq - 1,
        tuple(frames),
        tuple(health),
        tuple(stones),
        tuple(events),
        tuple(aggregates),
        tuple(pictures),
    )
