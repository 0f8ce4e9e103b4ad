"""Videos, network cameras and USB cameras, through OpenCV."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from edge.cameras.uri import LOCAL, TLS, local_index, public
from models.detections import UInt8
from models.errors import CameraError

OPEN_TIMEOUT_S = 5.0
_RAW_PIXELS = 640 * 480  # larger pictures don't fit through USB 2 often enough as they are
_MJPG = cv2.VideoWriter.fourcc(*"MJPG")
_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_OPENCVS_OWN = "rtsp_transport;tcp"  # what it asks FFMPEG for where nothing is set
_ENVIRONMENT = threading.Lock()
_MISSING_TAIL = 0.02  # a container's frame count is an estimate; a file that ends earlier than this is cut off


def prepare_opencv() -> None:
    """Set what OpenCV keeps for the whole process. Call it before the first camera is opened."""
    cv2.setNumThreads(1)  # its thread pool costs a gateway more than it gives: the cores are for the model
    # a camera that is away is said once, by us, not by each try
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class _Capture:
    """What all kinds have in common."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture

    def grab(self) -> bool:
        try:
            return bool(self._capture.grab())
        except cv2.error:  # a driver's answer that OpenCV does not expect
            return False

    def retrieve(self, into: UInt8 | None) -> UInt8 | None:
        # OpenCV brings an array of its own where `into` has another shape
        try:
            shown, image = self._capture.retrieve(into)
        except cv2.error:
            return None
        return np.asarray(image, np.uint8) if shown else None

    def release(self) -> None:
        self._capture.release()


class VideoFile(_Capture):
    """Every picture of a video file."""

    def __init__(self, path: Path) -> None:
        capture = _open(str(path), cv2.CAP_FFMPEG, (cv2.CAP_PROP_N_THREADS, 1))
        if capture is None:
            raise CameraError(f"camera file {path} is not a video that OpenCV can read")
        super().__init__(capture)
        self._path = path
        self._pictures = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._period_ns = 1e9 / fps if 0.01 <= fps <= 1000 else 0.0

    @property
    def length_ns(self) -> int:
        return int(self._pictures * self._period_ns)

    def position_ns(self) -> int:
        return int(max(0.0, self._capture.get(cv2.CAP_PROP_POS_MSEC)) * 1e6)

    def ended(self, pictures: int) -> None:
        if pictures < self._pictures * (1 - _MISSING_TAIL) - 2:
            raise CameraError(
                f"camera file {self._path} is damaged: "
                f"of the {self._pictures} frames it names only {pictures} can be read"
            )


class NetworkCamera(_Capture):
    """http(s):// (MJPEG) or rtsp(s)://. `ca` (PEM) must vouch for the certificate of one with an s; else anybody's
    will do."""

    def __init__(self, uri: str, *, stall_s: float, ca: Path | None = None) -> None:
        # One thread, or the decoder holds frames back (and memory). Measured on MJPEG over HTTP: open takes 20 ms and
        # frames come at once, at 1, 5 and 15 fps; FFMPEG's `fflags nobuffer` throws the first frames away and
        # `probesize` gains nothing.
        with _tls_options(uri, ca):
            capture = _open(
                uri,
                cv2.CAP_FFMPEG,
                (cv2.CAP_PROP_N_THREADS, 1),
                (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(OPEN_TIMEOUT_S * 1000)),
                (cv2.CAP_PROP_READ_TIMEOUT_MSEC, max(1, int(stall_s * 1000))),
            )
        if capture is None:
            trust = f", and did {ca} sign its certificate" if ca else ""
            raise CameraError(f"camera {public(uri)} does not answer; is it on, and is the address right{trust}?")
        super().__init__(capture)
        self._tells_utc = uri.startswith("rtsp")

    def taken_ns(self) -> int | None:
        if not self._tells_utc:
            return None
        # FFMPEG's start_time_realtime: UTC of the stream's beginning by the camera's sender reports (RFC 3550, 6.4.1);
        # nothing sensible before the first of them
        began_us = self._capture.get(cv2.CAP_PROP_STREAM_OPEN_TIME_USEC)
        if began_us <= 0:
            return None
        taken_utc_ns = int(began_us * 1000) + int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return time.monotonic_ns() - (time.time_ns() - taken_utc_ns)


class UsbCamera(_Capture):
    """usb:N or /dev/videoN (V4L2); `size` (width, height) is asked of it, and it gives what it has."""

    def __init__(self, uri: str, *, size: tuple[int, ...] | None) -> None:
        assert uri.startswith(LOCAL)
        index = local_index(uri)
        wanted = list(zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), size or (), strict=False))
        capture = None
        if size is not None and size[0] * size[1] > _RAW_PIXELS:
            capture = _open(index, cv2.CAP_V4L2, (cv2.CAP_PROP_BUFFERSIZE, 1), (cv2.CAP_PROP_FOURCC, _MJPG), *wanted)
        if capture is None:
            capture = _open(index, cv2.CAP_V4L2, (cv2.CAP_PROP_BUFFERSIZE, 1), *wanted)
        if capture is None:
            raise CameraError(f"camera {uri} does not answer; is it plugged in, and may this user read /dev/video*?")
        super().__init__(capture)

    def taken_ns(self) -> int | None:
        # the kernel's time stamp of the buffer, CLOCK_MONOTONIC in all drivers of this century (V4L2: Buffers)
        return int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)


@contextmanager
def _tls_options(uri: str, ca: Path | None) -> Iterator[None]:
    """FFMPEG's options for a camera that is opened meanwhile, which OpenCV takes from the environment alone."""
    if not uri.startswith(TLS):
        yield
        return
    with _ENVIRONMENT:  # one at a time, or one camera's certificate would be checked by another's authority
        before = os.environ.get(_OPTIONS)
        if ca is not None:
            os.environ[_OPTIONS] = f"{before or _OPENCVS_OWN}|tls_verify;1|ca_file;{ca}"
        try:
            yield
        finally:
            os.environ.pop(_OPTIONS, None)
            if before is not None:
                os.environ[_OPTIONS] = before


def _open(source: str | int, backend: int, *parameters: tuple[int, int]) -> "cv2.VideoCapture | None":
    capture = cv2.VideoCapture(source, backend, [value for parameter in parameters for value in parameter])
    return capture if capture.isOpened() else None
