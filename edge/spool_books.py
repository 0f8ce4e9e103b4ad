"""What the spool's next commit writes, and what its database holds."""

from dataclasses import dataclass, field

from edge.lanes import Lane
from edge.spool_database import StreamState

MAX_PENDING_BYTES = 8 << 20
_COMMIT_EARLY = 1_000  # records


@dataclass(slots=True)
class Work:
    """What the next commit writes."""

    records: dict[Lane, list[bytes]] = field(default_factory=dict)
    count: int = 0
    size: int = 0
    cameras: dict[str, int] = field(default_factory=dict)
    acks: dict[str, int] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.count or self.acks)

    @property
    def is_large(self) -> bool:
        return self.count >= _COMMIT_EARLY or self.size >= MAX_PENDING_BYTES // 2

    @property
    def is_urgent(self) -> bool:
        return self.is_large or "alarms" in self.records

    def add(self, lane: Lane, payloads: list[bytes]) -> None:
        self.records.setdefault(lane, []).extend(payloads)
        self.count += len(payloads)
        self.size += sum(map(len, payloads))

    def followed_by(self, later: "Work") -> "Work":
        """Both, in this order."""
        both = Work(cameras={**self.cameras, **later.cameras})
        for work in (self, later):
            for lane, payloads in work.records.items():
                both.add(lane, payloads)
            for stream, last in work.acks.items():
                both.acks[stream] = max(last, both.acks.get(stream, 0))
            for period, size in work.spent.items():
                both.spent[period] = size + both.spent.get(period, 0)
        return both


@dataclass(slots=True)
class Books:
    """What the database holds, so that asking costs no query. Copied before a transaction, put back if it fails."""

    streams: dict[str, StreamState]
    cameras: dict[str, tuple[str, int]]  # source and last frame
    spent: dict[str, int]
    live: dict[Lane, str] = field(default_factory=dict)
    dropped: int = 0

    def copy(self) -> "Books":
        return Books(dict(self.streams), dict(self.cameras), dict(self.spent), dict(self.live), self.dropped)

    @property
    def bytes(self) -> int:
        return sum(state.bytes for state in self.streams.values())

    @property
    def records(self) -> int:
        return sum(state.records for state in self.streams.values())
