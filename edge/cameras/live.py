"""A live camera: its newest frames, and never a backlog."""

import threading
import time
from collections import deque
from collections.abc import Iterator

from edge.cameras.camera import Sight, StalledError, Tally
from edge.cameras.clock import UtcClock
from edge.cameras.motion import Stillness
from edge.cameras.ring import Picture, Pictures
from edge.cameras.sight import SightWatch
from edge.cameras.source import LiveSource
from edge.cameras.view import View
from models import framecode
from models.detections import UInt8
from models.errors import CameraError
from models.frame import Frame

_WAITING = 2  # frames that may wait for the model; with more of them results would lag behind
_MOST_OF = 0.8  # a read that fails after so much of the stall time has timed out
_LATE_NS = 10_000_000_000  # what a source says about its pictures' times is believed up to here


class LiveCamera:
    """A thread of its own reads as fast as the camera shows, because what is not read waits in buffers and gets old.

    Frames are counted on from `tally.last`; with `numbered` each frame's number is read from its pixels, and what is
    not newer than `tally.last` is passed over. What is above `fps` is skipped. `name` says in errors which camera.
    """

    def __init__(
        self,
        source: LiveSource,
        tally: Tally,
        *,
        name: str,
        numbered: bool,
        fps: float | None,
        stall_s: float,
        view: View,
        sight: SightWatch,
        stillness: Stillness | None,
        keep: int,
    ) -> None:
        self._source = source
        self._pictures = Pictures(source, view, keep=keep)
        self._tally = tally
        self._name = name
        self._numbered = numbered
        self._period_s = 1 / fps if fps else 0.0
        self._stall_s = stall_s
        self._watch = sight
        self._stillness = stillness
        self._clock = UtcClock()
        self._steady_ns = 0
        self._news = threading.Condition()
        self._waiting: deque[tuple[Frame, Picture]] = deque()
        self._shown_at = time.monotonic()
        self._sight: Sight = "ok"
        self._failure: Exception | None = None
        self._closed = False
        threading.Thread(target=self._read, name="camera", daemon=True).start()

    @property
    def sight(self) -> Sight:
        return self._sight

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._next()) is not None:
            yield frame

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._tally.skipped += len(self._waiting)
            self._waiting.clear()
            self._news.notify_all()

    def _next(self) -> Frame | None:
        with self._news:
            left_s = self._stall_s  # from here on: the model may have kept us longer than that
            asked = time.monotonic()
            while not (self._waiting or self._failure or self._closed):
                if left_s <= 0:
                    raise self._stalled()
                self._news.wait(left_s)
                # pictures that are held back show that the camera lives
                left_s = max(asked, self._shown_at) + self._stall_s - time.monotonic()
            if self._closed:
                return None
            if not self._waiting:
                assert self._failure is not None
                raise self._failure
            frame, picture = self._waiting.popleft()
            self._pictures.deliver(picture)
            return frame

    def _stalled(self) -> StalledError:
        why = f" (its frame numbers are not above {self._tally.last})" if self._numbered else ""
        return StalledError(f"camera {self._name} has shown nothing new for {self._stall_s:g} s{why}")

    def _read(self) -> None:
        # only this thread touches the source: releasing it while another thread grabs would crash
        try:
            self._read_until_closed()
        except Exception as exc:  # whoever takes frames learns of it; on this thread nobody would
            with self._news:
                self._failure = exc
                self._news.notify_all()
        finally:
            self._source.release()

    def _read_until_closed(self) -> None:
        due = 0.0
        unread = 0  # frames above the cap since the last one read; their numbers are unknown
        while not self._closed:
            asked = time.monotonic()
            there = self._source.grab()
            now = time.monotonic()
            if not there and now - asked > _MOST_OF * self._stall_s:
                raise self._stalled()  # the source's own time-out was faster than whoever waits for a frame
            if not there:
                raise CameraError(f"camera {self._name} has gone away")
            if now < due:
                unread += 1
                continue
            steady_ns = self._taken_ns()
            image = self._pictures.retrieve()
            if image is None:
                raise CameraError(f"camera {self._name} sends pictures that cannot be decoded")
            last = self._tally.last
            number, missed = last + unread + 1, 0
            if self._numbered:
                counted, image = framecode.read(image)
                if counted <= last:
                    continue  # shown again after a reconnect
                missed = max(0, counted - number) if last >= 0 else 0
                number = counted
            due = max(due + self._period_s, now - self._period_s) if self._period_s else 0.0
            self._show(image, number, steady_ns, unread=unread, missed=missed)
            unread = 0

    def _taken_ns(self) -> int:
        """When the picture grabbed last was taken; later than the one before, whatever the source says."""
        now_ns = time.monotonic_ns()
        taken_ns = self._source.taken_ns()
        if taken_ns is None or not 0 <= now_ns - taken_ns <= _LATE_NS:
            taken_ns = now_ns
        self._steady_ns = max(taken_ns, self._steady_ns + 1000)
        return self._steady_ns

    def _show(self, image: UInt8, number: int, steady_ns: int, *, unread: int, missed: int) -> None:
        sight = self._watch.see(image, steady_ns)
        changed = sight != self._sight
        picture = self._pictures.look(image) if changed or sight == "ok" else None
        if picture is not None and not changed and self._is_still(picture, steady_ns):
            self._pictures.drop(picture)
            picture = None
        with self._news:
            if self._closed:
                return  # nobody takes it; and the tally may be another's by now, if the camera was opened again
            self._shown_at = time.monotonic()
            self._sight = sight
            self._tally.last = number
            self._tally.seen += unread + 1
            self._tally.skipped += unread
            self._tally.missed += missed
            if picture is None:
                self._tally.still += 1
                return
            if len(self._waiting) == _WAITING:
                self._pictures.drop(self._waiting.popleft()[1])
                self._tally.skipped += 1
            self._waiting.append((Frame(picture.image, number, self._clock.at(steady_ns), steady_ns), picture))
            self._news.notify_all()

    def _is_still(self, picture: Picture, steady_ns: int) -> bool:
        return self._stillness is not None and self._stillness.holds_back(picture.image, steady_ns)
