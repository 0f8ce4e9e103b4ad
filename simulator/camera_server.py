"""Cameras that show rendered scenes: MJPEG over HTTP, so that a gateway's real camera code reads them.

A camera runs whether or not anybody watches: frame `n` is due `n / fps` after the start, and who comes late has
missed what was before. Each frame carries its number in its pixels (models/framecode.py).
"""

import http.server
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import cv2
import numpy as np

from models.framecode import stamp
from simulator.ports import LOOPBACK
from simulator.scenes import Scene

_BOUNDARY = "tidegate"
_JPEG_QUALITY = 85


class Camera:
    """One scene at one rate, shared by all who watch it."""

    def __init__(self, scene: Scene, *, fps: float) -> None:
        self.scene = scene
        self.fps = fps
        self._news = threading.Condition()
        self._number = -1
        self._jpeg = b""
        self._closed = False
        self._handed_out: set[int] = set()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def next(self, after: int) -> tuple[int, bytes] | None:
        """The newest frame (number, JPEG) once there is one newer than `after`; None when the camera is closed."""
        with self._news:
            self._news.wait_for(lambda: self._closed or self._number > after)
            return None if self._closed else (self._number, self._jpeg)

    def mark_handed_out(self, number: int) -> None:
        with self._news:
            self._handed_out.add(number)

    @property
    def handed_out(self) -> frozenset[int]:
        """Numbers of the frames that were written to somebody's connection."""
        with self._news:
            return frozenset(self._handed_out)

    @property
    def number(self) -> int:
        """The number of the newest frame."""
        with self._news:
            return self._number

    def close(self) -> None:
        """Show nothing more: who watches is disconnected. Closing twice is fine."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._thread.join()

    def _run(self) -> None:
        started = time.monotonic()
        while not self._closed:
            number = max(self._number + 1, int((time.monotonic() - started) * self.fps))
            image, _ = self.scene.frame(number)
            _, jpeg = cv2.imencode(".jpg", stamp(image, number), (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
            due = started + number / self.fps
            with self._news:
                self._news.wait_for(lambda: self._closed, timeout=max(0.0, due - time.monotonic()))
                self._number, self._jpeg = number, np.asarray(jpeg).tobytes()
                self._news.notify_all()


class CameraServer:
    """`http://127.0.0.1:<port>/<name>` shows the camera of that name, which may hold slashes."""

    def __init__(self, cameras: Mapping[str, Camera]) -> None:
        self.cameras = dict(cameras)
        handler = type("Handler", (_Handler,), {"cameras": self.cameras})
        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="camera-server", daemon=True).start()

    def close(self) -> None:
        for camera in self.cameras.values():
            camera.close()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cameras: Mapping[str, Camera] = {}

    def do_GET(self) -> None:
        camera = self.cameras.get(self.path.strip("/"))
        if camera is None:
            self.send_error(404, f"no camera at {self.path}")
            return
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        number = -1
        try:
            while (shown := camera.next(number)) is not None:
                number, jpeg = shown
                head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                self.wfile.write(head.encode() + jpeg + b"\r\n")
                camera.mark_handed_out(number)
        except OSError:
            return  # whoever watched has gone

    def log_message(self, format: str, *args: object) -> None:
        """One line per request would be noise: a camera has no log."""
