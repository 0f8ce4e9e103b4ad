"""What a library's thread hands to the thread that reads: bounded, and it never makes the library wait."""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)


class Letter(Protocol):
    """A message that came on a topic."""

    @property
    def topic(self) -> str: ...

    @property
    def payload(self) -> bytes: ...


M = TypeVar("M", bound=Letter)


class Inbox(Generic[M]):
    """Messages in the order in which they came. One that finds no room is dropped: with us everything is sent again
    until it is acknowledged, and acknowledged again whenever it comes."""

    def __init__(self, *, limit_messages: int, limit_bytes: int) -> None:
        """A message larger than `limit_bytes` has room in an empty inbox, so that somebody can say that it came."""
        self._limit_messages = limit_messages
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._waiting: deque[M] = deque()
        self._bytes = 0
        self._full = False
        self._closed = False

    def put(self, message: M) -> None:
        size = len(message.payload)
        with self._changed:
            full = len(self._waiting) >= self._limit_messages or self._bytes + size > self._limit_bytes
            if self._closed or (self._waiting and full):
                if not self._full and not self._closed:
                    log.warning("more arrives on %s than can be read; dropping some", message.topic)
                self._full = True
                return
            self._waiting.append(message)
            self._bytes += size
            self._changed.notify()

    def receive(self, timeout_s: float | None = None) -> M | None:
        """The next message; None when there was none in time, or when it is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout_s)
            if not self._waiting:
                return None
            message = self._waiting.popleft()
            self._bytes -= len(message.payload)
            self._full = self._full and bool(self._waiting)
            return message

    def messages(self) -> Iterator[M]:
        """Until it is closed and empty."""
        while (message := self.receive()) is not None:
            yield message

    def close(self) -> None:
        """Nothing more comes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
