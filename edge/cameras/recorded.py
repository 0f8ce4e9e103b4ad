"""A recording as a camera: every frame, in order, and then the end."""

import threading
import time
from collections.abc import Iterator

from edge.cameras.camera import Sight, Tally
from edge.cameras.clock import UtcClock
from edge.cameras.motion import Stillness
from edge.cameras.ring import Pictures
from edge.cameras.source import Recording
from edge.cameras.view import View
from models.frame import Frame


class RecordedCamera:
    """Frames from number `tally.last` + 1 on, at most `fps` a second, else as fast as they are taken.

    Without `fps` they are dated as if the recording had ended when it was opened, so that a minute of it is a minute
    for whoever counts by the minute, however fast it is read. With `fps` they are dated when they are shown.
    """

    def __init__(
        self,
        source: Recording,
        tally: Tally,
        *,
        fps: float | None,
        view: View,
        stillness: Stillness | None,
        keep: int,
    ) -> None:
        self._source = source
        self._pictures = Pictures(source, view, keep=keep)
        self._tally = tally
        self._period_s = 1 / fps if fps else 0.0
        self._stillness = stillness
        self._closed = threading.Event()
        self._clock = UtcClock()
        self._opened_ns = time.monotonic_ns()
        self._began_utc_ns = max(0, time.time_ns() - source.length_ns)
        self._steady_ns = 0
        self._unreadable = 0

    @property
    def sight(self) -> Sight:
        return "ok"  # what a recording shows is no fault of a camera's

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from self._frames()
        finally:
            # here, for `close` may be called by another thread while this one grabs
            self._source.release()

    def close(self) -> None:
        self._closed.set()

    def _frames(self) -> Iterator[Frame]:
        number = 0
        due = time.monotonic()
        while not self._closed.is_set() and self._source.grab():
            # grabbing on to where we were is exact; seeking lands on key frames, and differs by container
            if number > self._tally.last:
                if self._period_s and self._closed.wait(due - time.monotonic()):
                    return
                due = max(due + self._period_s, time.monotonic())
                frame = self._look(number)
                if frame is not None:
                    yield frame
            number += 1
        if not self._closed.is_set():
            self._source.ended(number - self._unreadable)

    def _look(self, number: int) -> Frame | None:
        """The picture grabbed last, unless it can't be read, or need not be looked at."""
        image = self._pictures.retrieve()
        self._tally.last = number
        if image is None:
            self._unreadable += 1
            self._tally.missed += 1
            return None
        self._tally.seen += 1
        picture = self._pictures.look(image)
        captured_at_ns, steady_ns = self._times()
        if self._stillness is not None and self._stillness.holds_back(picture.image, steady_ns):
            self._tally.still += 1
            self._pictures.drop(picture)
            return None
        self._pictures.deliver(picture)
        return Frame(picture.image, number, captured_at_ns, steady_ns)

    def _times(self) -> tuple[int, int]:
        """UTC and steady time of the picture grabbed last."""
        if self._period_s or not self._source.length_ns:
            steady_ns = time.monotonic_ns()
            return self._clock.at(steady_ns), steady_ns
        # some containers repeat a position, or know none
        self._steady_ns = max(self._opened_ns + self._source.position_ns(), self._steady_ns + 1000)
        return self._began_utc_ns + self._steady_ns - self._opened_ns, self._steady_ns
