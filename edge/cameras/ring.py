"""One camera's pictures, in buffers that are used in turn, so that a picture costs no allocation."""

import threading
from collections import deque
from typing import NamedTuple

from edge.cameras.source import Source
from edge.cameras.view import View
from models.detections import UInt8


class Picture(NamedTuple):
    """The part of a picture that is looked at, and the buffer that it lies in."""

    image: UInt8
    buffer: UInt8


class Ring:
    """As many buffers as are in use at once: who fills one and who looks at it may be two threads. Whoever looks has
    done with a picture once `keep` later ones were delivered."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self._free: list[UInt8] = []
        self._delivered: deque[UInt8] = deque()

    def lend(self) -> UInt8 | None:
        """A buffer to fill; None when there is none yet: whoever has a picture then brings its own."""
        with self._lock:
            return self._free.pop() if self._free else None

    def take_back(self, buffer: UInt8) -> None:
        """Nobody looks at this one any more."""
        with self._lock:
            self._free.append(buffer)

    def deliver(self, buffer: UInt8) -> None:
        """Somebody looks at this one now, and has done with the one `keep` before it."""
        with self._lock:
            self._delivered.append(buffer)
            if len(self._delivered) > self._keep:
                self._free.append(self._delivered.popleft())


class Pictures:
    """A source's pictures: `retrieve`, and then perhaps `look`; what that gives is delivered or dropped."""

    def __init__(self, source: Source, view: View, *, keep: int) -> None:
        self._source = source
        self._view = view
        self._ring = Ring(keep)
        self._raw: UInt8 | None = None

    def retrieve(self) -> UInt8 | None:
        """The picture grabbed last, as the camera gives it, until the next call; None where it can't be decoded."""
        if self._raw is None:
            self._raw = self._ring.lend()
        self._raw = self._source.retrieve(self._raw)
        return self._raw

    def look(self, image: UInt8) -> Picture:
        """The part to be looked at of the picture retrieved last, or of a part of it."""
        if self._view.turns:
            upright = self._view.turn(image, self._ring.lend())
            return Picture(self._view.cut(upright), upright)
        buffer, self._raw = self._raw, None
        assert buffer is not None, "retrieve() comes first"
        return Picture(self._view.cut(image), buffer)

    def drop(self, picture: Picture) -> None:
        self._ring.take_back(picture.buffer)

    def deliver(self, picture: Picture) -> None:
        self._ring.deliver(picture.buffer)
