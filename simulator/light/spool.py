"""A spool in memory that keeps stretches of records which gateways share. It promises the shipper what the real one
does (edge/outbox.py); what it lacks is the disk: a power cut is simulated by whoever records, who leaves out the
second that was not committed yet."""

import random
import threading
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from edge.lanes import GIVEN_UP_FIRST, LANES, Lane
from edge.spool import Stream
from models.records import FrameResult, Record, Tombstone

_MAKE_ROOM = 0.05  # of the limit, at a time, as the real one does
_FRAME_BYTES, _DETECTION_BYTES, _OTHER_BYTES = 16, 16, 80  # roughly, as the real one keeps them
_FINISHED = 16  # streams that are remembered


@dataclass(frozen=True, slots=True)
class Stretch:
    """Records first, first + 1 ... of a stream, recorded from `at_s` on, or the one tombstone in their place."""

    first: int
    records: Sequence[Record]
    bytes: int
    at_s: float
    stone: Tombstone | None = None

    @property
    def last(self) -> int:
        return self.stone.last if self.stone is not None else self.first + len(self.records) - 1


@dataclass(slots=True)
class _Waiting:
    lane: Lane
    acked: int = 0
    last: int = 0
    stretches: list[Stretch] = field(default_factory=list)


class LightSpool:
    """edge.outbox.Outbox without a disk, for one thread. `seed` decides the streams' ids."""

    def __init__(self, *, seed: str, limit_bytes: int) -> None:
        self.urgent = threading.Event()
        self.bytes = 0
        self.dropped = 0
        self._random = random.Random(seed)
        self._limit_bytes = limit_bytes
        self._streams: dict[str, _Waiting] = {}
        self._live: dict[Lane, str] = {}

    def append(self, lane: Lane, records: Sequence[Record], *, at_s: float, size: int | None = None) -> Stretch:
        """Record these, at least one, which happened from `at_s` on; where they stand now, in the `live_stream` of the
        lane. `size`: their `spooled_bytes`, for whoever knows."""
        waiting = self._streams[self.live_stream(lane)]
        stretch = Stretch(waiting.last + 1, records, spooled_bytes(records) if size is None else size, at_s)
        waiting.stretches.append(stretch)
        waiting.last = stretch.last
        self.bytes += stretch.bytes
        if self.bytes > self._limit_bytes:
            self._make_room()
        return stretch

    def live_stream(self, lane: Lane) -> str:
        """The stream that records of the lane join now; a new one if there is none."""
        if lane not in self._live:
            self._live[lane] = f"{self._random.getrandbits(64):016x}"
            self._streams[self._live[lane]] = _Waiting(lane)
        return self._live[lane]

    @property
    def records(self) -> int:
        """How many wait; tombstones are none."""
        return sum(
            stretch.last - max(stretch.first, waiting.acked + 1) + 1
            for waiting in self._streams.values()
            for stretch in waiting.stretches
            if stretch.stone is None
        )

    @property
    def is_empty(self) -> bool:
        return all(waiting.acked == waiting.last for waiting in self._streams.values())

    def waiting_since_s(self) -> float | None:
        """When the oldest record that waits happened."""
        return min((waiting.stretches[0].at_s for waiting in self._streams.values() if waiting.stretches), default=None)

    # edge.outbox.Outbox

    def streams(self) -> list[Stream]:
        live = set(self._live.values())
        return [
            Stream(name, waiting.lane, waiting.acked, waiting.last, name in live)
            for name, waiting in self._streams.items()
            if waiting.acked < waiting.last
        ]

    def read(self, stream: str, *, after: int, limit: int, limit_bytes: int = 1 << 30) -> list[tuple[int, Record]]:
        waiting = self._streams[stream]
        found: list[tuple[int, Record]] = []
        size = 0
        for stretch in _from(waiting.stretches, max(after, waiting.acked) + 1):
            if stretch.stone is not None:
                begin = max(stretch.first, waiting.acked + 1, after + 1)
                found.append((begin, Tombstone(begin, stretch.last, stretch.stone.reason)))
            else:
                begin = max(stretch.first, waiting.acked + 1, after + 1)
                size += stretch.bytes
                if found and size > limit_bytes:
                    break
                found += list(enumerate(stretch.records[begin - stretch.first :], begin))
            if len(found) >= limit:
                break
        return found[:limit]

    def acknowledge(self, stream: str, last: int) -> None:
        waiting = self._streams.get(stream)
        if waiting is None or last <= waiting.acked:
            return
        waiting.acked = min(last, waiting.last)
        while waiting.stretches and waiting.stretches[0].last <= waiting.acked:
            self.bytes -= waiting.stretches.pop(0).bytes
        if waiting.acked == waiting.last and stream not in self._live.values():
            self._forget_finished()

    def bury(self, stream: str, first: int, last: int, reason: str) -> None:
        waiting = self._streams[stream]
        covered = [stretch for stretch in waiting.stretches if stretch.last >= first and stretch.first <= last]
        kept = [stretch for stretch in waiting.stretches if stretch not in covered]
        for stretch in covered:
            self.bytes -= stretch.bytes
            begin, end = max(first, stretch.first), min(last, stretch.last)
            self.dropped += 0 if stretch.stone is not None else end - begin + 1
            before, after = stretch.records[: begin - stretch.first], stretch.records[end - stretch.first + 1 :]
            for part_first, part in ((stretch.first, before), (end + 1, after)):
                if part:
                    kept.append(Stretch(part_first, part, spooled_bytes(part), stretch.at_s))
                    self.bytes += kept[-1].bytes
        stone = Tombstone(first, last, reason)
        kept.append(Stretch(first, (), 0, min(stretch.at_s for stretch in covered), stone))
        waiting.stretches = sorted(kept, key=lambda stretch: stretch.first)

    def turn(self, lanes: Collection[Lane] = LANES) -> None:
        for lane in lanes:
            self._live.pop(lane, None)

    def thin(self, keep: int) -> None:
        """Light gateways have no byte budget, so nobody asks for it."""

    def last_recorded(self, stream: str) -> int:
        return self._streams[stream].last if stream in self._streams else 0

    def is_live(self, stream: str) -> bool:
        return stream in self._live.values()

    def spend(self, period: str, size: int) -> None:
        """As `thin`."""

    def spent(self, period: str) -> int:
        return 0

    def _make_room(self) -> None:
        """Give up the oldest of what matters least, as the real spool does."""
        wanted = self.bytes - int(self._limit_bytes * (1 - _MAKE_ROOM))
        for lane in GIVEN_UP_FIRST:
            for name, waiting in list(self._streams.items()):
                if waiting.lane != lane:
                    continue
                for stretch in [stretch for stretch in waiting.stretches if stretch.stone is None]:
                    if wanted <= 0:
                        return
                    wanted -= stretch.bytes
                    self.bury(name, max(stretch.first, waiting.acked + 1), stretch.last, "spool full")

    def _forget_finished(self) -> None:
        live = set(self._live.values())
        done = [name for name, waiting in self._streams.items() if waiting.acked == waiting.last and name not in live]
        for name in done[:-_FINISHED]:
            del self._streams[name]


def _from(stretches: list[Stretch], seq: int) -> Iterator[Stretch]:
    """Those that hold records from `seq` on."""
    index = max(0, bisect_right(stretches, seq, key=lambda stretch: stretch.first) - 1)
    return (stretch for stretch in stretches[index:] if stretch.last >= seq)


def spooled_bytes(records: Sequence[Record]) -> int:
    """Roughly what records take in a spool."""
    return sum(
        _FRAME_BYTES + _DETECTION_BYTES * len(record.labels) if isinstance(record, FrameResult) else _OTHER_BYTES
        for record in records
    )
