"""What shipping needs of a spool."""

import threading
from collections.abc import Collection
from typing import Protocol

from edge.lanes import Lane
from edge.spool import Stream
from models.records import Record


class Outbox(Protocol):
    """edge.spool.Spool is one; each method does what it does there."""

    urgent: threading.Event

    def streams(self) -> list[Stream]: ...

    def read(self, stream: str, *, after: int, limit: int, limit_bytes: int = 1 << 30) -> list[tuple[int, Record]]: ...

    def acknowledge(self, stream: str, last: int) -> None: ...

    def bury(self, stream: str, first: int, last: int, reason: str) -> None: ...

    def turn(self, lanes: Collection[Lane]) -> None: ...

    def thin(self, keep: int) -> None: ...

    def last_recorded(self, stream: str) -> int: ...

    def is_live(self, stream: str) -> bool: ...

    def spend(self, period: str, size: int) -> None: ...

    def spent(self, period: str) -> int: ...
