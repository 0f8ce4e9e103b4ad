"""A Raspberry Pi's camera module, through Picamera2, which is imported only when such a camera is asked for.

Picamera2 comes with Raspberry Pi OS (python3-picamera2), not from PyPI: the gateway's virtual environment must be made
with --system-site-packages. Written after the Picamera2 manual, chapters 4 and 6.
"""

import time
from typing import Any

import numpy as np

from edge.cameras.uri import local_index
from models.detections import UInt8
from models.errors import CameraError

_SIZE = (640, 480)
_BUFFERS = 4  # with fewer the sensor waits for us (manual 4.2.1.3)


class PiCamera:
    """picamera:N; `size` (width, height) is what the image processor scales the sensor's picture to."""

    def __init__(self, uri: str, *, size: tuple[int, ...] | None) -> None:
        self._uri = uri
        self._camera, self._map = _start(uri, size or _SIZE)
        self._request: Any = None

    def grab(self) -> bool:
        self._let_go()
        try:
            self._request = self._camera.capture_request()
        except RuntimeError as exc:
            raise CameraError(f"camera {self._uri} has gone away: {exc}") from exc
        return self._request is not None

    def taken_ns(self) -> int | None:
        since_boot_ns = self._request.get_metadata().get("SensorTimestamp")
        if since_boot_ns is None:
            return None
        # libcamera counts from boot, suspended time included (controls.yaml: SensorTimestamp, CLOCK_BOOTTIME)
        return int(since_boot_ns) + time.monotonic_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def retrieve(self, into: UInt8 | None) -> UInt8 | None:
        with self._map(self._request, "main") as mapped:
            if into is None or into.shape != mapped.array.shape:
                into = np.empty(mapped.array.shape, np.uint8)
            np.copyto(into, mapped.array)
        self._let_go()
        return into

    def release(self) -> None:
        self._let_go()
        self._camera.stop()
        self._camera.close()

    def _let_go(self) -> None:
        """Give the sensor its buffer back: while we hold it, it has one less to fill."""
        if self._request is not None:
            self._request.release()
            self._request = None


def _start(uri: str, size: tuple[int, ...]) -> tuple[Any, Any]:
    """The camera, and what maps a picture's memory."""
    try:
        from picamera2 import MappedArray, Picamera2
    except ImportError as exc:
        raise CameraError(
            f"camera {uri} needs picamera2, which is not installed; on Raspberry Pi OS: apt install python3-picamera2, "
            f"and a virtual environment made with --system-site-packages"
        ) from exc
    try:
        camera = Picamera2(local_index(uri))
        # libcamera names the order of bits, not of bytes: its RGB888 is OpenCV's BGR (manual 4.2.2)
        camera.configure(
            camera.create_video_configuration(
                main={"size": tuple(size), "format": "RGB888"}, buffer_count=_BUFFERS, queue=False
            )
        )
        camera.start()
    except (RuntimeError, IndexError) as exc:
        raise CameraError(f"camera {uri} does not answer: {exc}; is its ribbon cable seated?") from exc
    return camera, MappedArray
