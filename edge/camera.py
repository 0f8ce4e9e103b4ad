"""Looking through a camera. OpenCV lives here."""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import cv2
import numpy as np

from models import framecode
from models.detections import UInt8
from models.errors import CameraError
from models.frame import Frame

OPEN_TIMEOUT_S = 5.0
_WAITING = 2  # frames of a live camera that may wait for the model; with more of them results would lag behind
_MOST_OF = 0.8  # a read that fails after so much of the stall time has timed out
_MISSING_TAIL = 0.02  # a container's frame count is an estimate; a file that ends earlier than this is cut off


class StalledError(CameraError):
    """The camera is there but shows nothing new."""


class Camera(Protocol):
    """An iterator of frames, with numbers that rise. It ends at the end of a file, or after `close`, which any thread
    may call; whatever else stops it raises CameraError, and StalledError where the camera is there but shows nothing
    new."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Tally:
    """What became of one camera's frames since the process started; lives on when the camera is opened again.

    `seen`: delivered by the camera; `skipped`: of those, the ones for which the model had no time or that were above
    the rate cap; `missed`: counted by the camera but never seen by us. `last` is the newest frame's number, -1 before
    the first.
    """

    last: int = -1
    seen: int = 0
    skipped: int = 0
    missed: int = 0


def prepare_opencv() -> None:
    """Set what OpenCV keeps for the whole process. Call it before the first camera is opened."""
    cv2.setNumThreads(1)  # its thread pool costs a gateway more than it gives: the cores are for the model
    # a camera that is away is said once, by us, not by each try
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def open_file(path: Path, tally: Tally, *, fps: float | None = None) -> Camera:
    """Every frame of a video file from number `tally.last` + 1 on, at most `fps` a second."""
    return _FileCamera(path, tally, fps)


def open_live(uri: str, tally: Tally, *, numbered: bool = False, fps: float | None = None, stall_s: float) -> Camera:
    """The newest frames of http(s):// (MJPEG), rtsp(s)://, usb:N or /dev/videoN; CameraError when it is not there.

    `numbered` reads each frame's number from its pixels, and skips what is not newer than `tally.last`; else frames
    are counted on from there.
    """
    return _LiveCamera(uri, tally, numbered=numbered, fps=fps, stall_s=stall_s)


def public(uri: str) -> str:
    """The URI as it may be printed: without a password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":***@")


class _FileCamera:
    def __init__(self, path: Path, tally: Tally, fps: float | None) -> None:
        if not path.is_file():
            raise CameraError(f"camera file {path} is not there; expected a video file")
        self._path = path
        self._tally = tally
        self._period_s = 1 / fps if fps else 0.0
        self._closed = threading.Event()
        capture = _open_capture(str(path), cv2.CAP_FFMPEG, (cv2.CAP_PROP_N_THREADS, 1))
        if capture is None:
            raise CameraError(f"camera file {path} is not a video that OpenCV can read")
        self._capture = capture

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from self._frames()
        finally:
            # here, for `close` may be called by another thread while this one grabs
            self._capture.release()

    def close(self) -> None:
        self._closed.set()

    def _frames(self) -> Iterator[Frame]:
        number = 0
        due = time.monotonic()
        while not self._closed.is_set() and self._capture.grab():
            # grabbing on to where we were is exact; seeking lands on key frames, and differs by container
            if number > self._tally.last:
                self._closed.wait(due - time.monotonic())
                due = max(due + self._period_s, time.monotonic())
                image = _retrieve(self._capture)
                if image is None or self._closed.is_set():
                    break
                self._tally.last = number
                self._tally.seen += 1
                yield Frame(image, number, time.time_ns(), time.monotonic_ns())
            number += 1
        if not self._closed.is_set():
            self._check_whole(number)

    def _check_whole(self, frames: int) -> None:
        promised = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if frames < promised * (1 - _MISSING_TAIL) - 2:
            raise CameraError(
                f"camera file {self._path} is damaged: of the {promised} frames it names only {frames} can be read"
            )


class _LiveCamera:
    """A thread of its own reads as fast as the camera shows, because what is not read waits in buffers and gets old."""

    def __init__(self, uri: str, tally: Tally, *, numbered: bool, fps: float | None, stall_s: float) -> None:
        self._uri = public(uri)
        self._tally = tally
        self._numbered = numbered
        self._period_s = 1 / fps if fps else 0.0
        self._stall_s = stall_s
        self._news = threading.Condition()
        self._waiting: deque[Frame] = deque()
        self._failure: CameraError | None = None
        self._closed = False
        capture = _open_live_capture(uri, stall_s)
        if capture is None:
            raise CameraError(f"camera {self._uri} does not answer; is it on, and is the address right?")
        self._thread = threading.Thread(target=self._read, args=(capture,), name="camera", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self._next()) is not None:
            yield frame

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _next(self) -> Frame | None:
        with self._news:
            moved = self._news.wait_for(lambda: self._waiting or self._failure or self._closed, timeout=self._stall_s)
            if self._closed:
                return None
            if self._waiting:
                return self._waiting.popleft()
            if self._failure is not None:
                raise self._failure
            assert not moved
            raise self._stalled()

    def _stalled(self) -> StalledError:
        why = f" (its frame numbers are not above {self._tally.last})" if self._numbered else ""
        return StalledError(f"camera {self._uri} has shown nothing new for {self._stall_s:g} s{why}")

    def _read(self, capture: cv2.VideoCapture) -> None:
        # only this thread touches the capture: releasing it while another thread grabs would crash
        try:
            self._read_until_closed(capture)
        except CameraError as exc:
            with self._news:
                self._failure = exc
                self._news.notify_all()
        finally:
            capture.release()

    def _read_until_closed(self, capture: cv2.VideoCapture) -> None:
        due = 0.0
        unread = 0  # frames above the cap since the last one read; their numbers are unknown
        while not self._closed:
            asked = time.monotonic()
            there = capture.grab()
            captured_at_ns = time.time_ns()
            now = time.monotonic()
            if not there and now - asked > _MOST_OF * self._stall_s:
                raise self._stalled()  # OpenCV's own time-out was faster than whoever waits for a frame
            if not there:
                raise CameraError(f"camera {self._uri} has gone away")
            if now < due:
                self._tally.seen += 1
                self._tally.skipped += 1
                unread += 1
                continue
            image = _retrieve(capture)
            if image is None:
                raise CameraError(f"camera {self._uri} sends pictures that cannot be decoded")
            number = self._tally.last + unread + 1
            if self._numbered:
                counted, image = framecode.read(image)
                if counted <= self._tally.last:
                    continue  # shown again after a reconnect
                if self._tally.last >= 0:
                    self._tally.missed += max(0, counted - number)
                number = counted
            due = max(due + self._period_s, now - self._period_s) if self._period_s else 0.0
            unread = 0
            self._deliver(Frame(image, number, captured_at_ns, time.monotonic_ns()))

    def _deliver(self, frame: Frame) -> None:
        with self._news:
            if self._closed:
                return  # nobody takes it; and the tally may be another's by now, if the camera was opened again
            self._tally.last = frame.number
            self._tally.seen += 1
            if len(self._waiting) == _WAITING:
                self._waiting.popleft()
                self._tally.skipped += 1
            self._waiting.append(frame)
            self._news.notify_all()


def _open_live_capture(uri: str, stall_s: float) -> "cv2.VideoCapture | None":
    if uri.startswith(("usb:", "/dev/video")):
        index = int(uri.removeprefix("usb:").removeprefix("/dev/video"))
        return _open_capture(index, cv2.CAP_V4L2, (cv2.CAP_PROP_BUFFERSIZE, 1))
    # One thread, or the decoder holds frames back (and memory). Measured on MJPEG over HTTP: open takes 20 ms and
    # frames come at once, at 1, 5 and 15 fps; FFMPEG's `fflags nobuffer` throws the first frames away and `probesize`
    # gains nothing.
    return _open_capture(
        uri,
        cv2.CAP_FFMPEG,
        (cv2.CAP_PROP_N_THREADS, 1),
        (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(OPEN_TIMEOUT_S * 1000)),
        (cv2.CAP_PROP_READ_TIMEOUT_MSEC, max(1, int(stall_s * 1000))),
    )


def _open_capture(source: str | int, backend: int, *parameters: tuple[int, int]) -> "cv2.VideoCapture | None":
    capture = cv2.VideoCapture(source, backend, [value for parameter in parameters for value in parameter])
    return capture if capture.isOpened() else None


def _retrieve(capture: cv2.VideoCapture) -> UInt8 | None:
    shown, image = capture.retrieve()
    return np.asarray(image, np.uint8) if shown else None
