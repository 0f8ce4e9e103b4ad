"""An uplink whose identity may be renewed while it runs, where its library reads key and certificate only once."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edge.uplink import Inbound, Uplink
from models.errors import ConfigError, UplinkError

log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int], ...]


class RenewedUplink:
    """The uplink that `open_one` opens; once a message could not be handed on, and `files` have changed, another one in
    its place. While the old connection holds, nothing is touched."""

    def __init__(self, open_one: Callable[[], Uplink], files: Sequence[Path]) -> None:
        """What `open_one` raises at first is raised."""
        self._open_one = open_one
        self._files = tuple(files)
        self._lock = threading.Lock()
        self._closed = False
        self._stamp = _stamp(self._files)
        self._uplink = open_one()

    @property
    def limit_bytes(self) -> int:
        return self._uplink.limit_bytes

    def publish(self, topic: str, payload: bytes) -> None:
        uplink = self._uplink
        try:
            uplink.publish(topic, payload)
        except UplinkError:
            self._renew(uplink)
            raise

    def messages(self) -> Iterator[Inbound]:
        while True:
            uplink = self._uplink
            yield from uplink.messages()
            if uplink is self._uplink:
                return

    def close(self) -> None:
        with self._lock:
            self._closed = True
            uplink = self._uplink
        uplink.close()

    def _renew(self, failed: Uplink) -> None:
        with self._lock:
            stamp = _stamp(self._files)
            if self._closed or failed is not self._uplink or not stamp or stamp == self._stamp:
                return
            try:
                self._uplink = self._open_one()
            except ConfigError as exc:
                log.warning("the new key and certificate cannot be used yet: %s", exc)
                return
            self._stamp = stamp
        log.info("key and certificate have changed: connecting with the new ones")
        failed.close()


def _stamp(files: Sequence[Path]) -> Stamp:
    """Which files these are now; empty while one is missing."""
    try:
        found = [path.stat() for path in files]
    except FileNotFoundError:
        return ()
    return tuple((stat.st_ino, stat.st_mtime_ns) for stat in found)
