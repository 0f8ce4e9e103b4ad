"""Cameras that show rendered scenes: MJPEG over HTTP, so that a gateway's real camera code reads them.

A camera runs whether or not anybody watches: frame `n` is due `n / fps` after the start, and who comes late has
missed what was before. Each frame carries its number in its pixels (models/framecode.py).
"""

import base64
import http.server
import socketserver
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self

import cv2
import numpy as np

from models.detections import UInt8
from models.framecode import stamp
from simulator.authority import Identity
from simulator.ports import LOOPBACK
from simulator.scenes import Scene

_BOUNDARY = "tidegate"
_JPEG_QUALITY = 85

Shows = Literal["scene", "frozen", "black", "cover", "garbage", "nothing", "gone"]


class Camera:
    """One scene at one rate, shared by all who watch it.

    `shows` may be changed at any time: the "scene"; "frozen", its last picture again and again, though numbers go on;
    "black" with a sensor's noise; a "cover" on the lens, dim and even; "garbage" instead of JPEG; "nothing" at all,
    with connections left open; or it is "gone", and hangs up. Without `stamped` pictures carry no numbers. `started_s`:
    when it started, by the monotonic clock.
    """

    def __init__(self, scene: Scene, *, fps: float, stamped: bool = True) -> None:
        self.scene = scene
        self.fps = fps
        self.shows: Shows = "scene"
        self._stamped = stamped
        self._image: UInt8 = np.zeros((0, 0, 3), np.uint8)
        self._news = threading.Condition()
        self._number = -1
        self._jpeg = b""
        self._closed = False
        self._handed_out: set[int] = set()
        self.started_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def next(self, after: int) -> tuple[int, bytes] | None:
        """The newest frame (number, JPEG) once there is one newer than `after`; None when it is closed or gone."""
        with self._news:
            self._news.wait_for(lambda: self._closed or (self._number > after and self.shows != "nothing"))
            return None if self._closed or self.shows == "gone" else (self._number, self._jpeg)

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
        while not self._closed:
            number = max(self._number + 1, int((time.monotonic() - self.started_s) * self.fps))
            jpeg = self._shot(number)
            due = self.started_s + number / self.fps
            with self._news:
                self._news.wait_for(lambda: self._closed, timeout=max(0.0, due - time.monotonic()))
                if self.shows == "nothing":
                    self._number = number
                    continue
                self._number, self._jpeg = number, jpeg
                self._news.notify_all()

    def _shot(self, number: int) -> bytes:
        if self.shows == "garbage":
            return np.random.default_rng(number).bytes(2000)
        if self.shows == "scene" or not self._image.size:
            self._image = self.scene.frame(number).image
        image = self._image
        if self.shows in ("black", "cover"):
            level = 4 if self.shows == "black" else 50
            noise = np.random.default_rng(number).normal(level, 4, image.shape)
            image = np.clip(noise, 0, 255).astype(np.uint8)
        shot = stamp(image, number) if self._stamped else image
        _, jpeg = cv2.imencode(".jpg", shot, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
        return np.asarray(jpeg).tobytes()


class Serving:
    """Cameras that a server shows, from now on until `close`; by TLS if it has an `identity`."""

    def __init__(
        self, cameras: Mapping[str, Camera], server: socketserver.TCPServer, *, scheme: str, identity: Identity | None
    ) -> None:
        self.cameras = dict(cameras)
        self._server = server
        if identity is not None:
            server.socket = identity.serving(server.socket)
        self.url = f"{scheme}{'s' if identity else ''}://{LOOPBACK}:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, name="camera-server", daemon=True).start()

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


def basic(login: str) -> str:
    """What a request's Authorization must be for "user:password"; empty for no login at all."""
    return f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""


class CameraServer(Serving):
    """`http://127.0.0.1:<port>/<name>` shows the camera of that name, which may hold slashes. With `login`
    ("user:password") it asks for that (Basic); with an `identity` it is https."""

    def __init__(self, cameras: Mapping[str, Camera], *, login: str = "", identity: Identity | None = None) -> None:
        handler = type("Handler", (_Handler,), {"cameras": dict(cameras), "authorization": basic(login)})
        server = http.server.ThreadingHTTPServer((LOOPBACK, 0), handler)
        server.daemon_threads = True
        super().__init__(cameras, server, scheme="http", identity=identity)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cameras: Mapping[str, Camera] = {}
    authorization = ""

    def do_GET(self) -> None:
        if self.authorization and self.headers.get("Authorization") != self.authorization:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        camera = self.cameras.get(self.path.strip("/"))
        if camera is None:
            self.send_error(404, f"no camera at {self.path}")
            return
        if camera.shows == "gone":
            self.close_connection = True
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
