"""What an SDK's thread hands to the thread that reads: bounded, and it never makes the SDK wait."""

import logging
import threading
from collections import deque
from collections.abc import Iterator

from edge.uplink import Inbound

log = logging.getLogger(__name__)

LIMIT_MESSAGES = 1_000
LIMIT_BYTES = 1 << 20


class Inbox:
    """Messages in the order in which they came. One that finds no room is dropped: what the cloud acknowledges it
    acknowledges again when the gateway sends again."""

    def __init__(self, *, limit_messages: int = LIMIT_MESSAGES, limit_bytes: int = LIMIT_BYTES) -> None:
        """A message larger than `limit_bytes` has room in an empty inbox, so that somebody can say that it came."""
        self._limit_messages = limit_messages
        self._limit_bytes = limit_bytes
        self._changed = threading.Condition()
        self._waiting: deque[Inbound] = deque()
        self._bytes = 0
        self._full = False
        self._closed = False

    def put(self, message: Inbound) -> None:
        size = len(message.payload)
        with self._changed:
            full = len(self._waiting) >= self._limit_messages or self._bytes + size > self._limit_bytes
            if self._waiting and full:
                if not self._full:
                    log.warning("more arrives on %s than can be read; dropping some", message.topic)
                self._full = True
                return
            self._waiting.append(message)
            self._bytes += size
            self._changed.notify()

    def messages(self) -> Iterator[Inbound]:
        """Until `close`; what was not read by then is dropped."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                message = self._waiting.popleft()
                self._bytes -= len(message.payload)
                self._full = self._full and bool(self._waiting)
            yield message

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
