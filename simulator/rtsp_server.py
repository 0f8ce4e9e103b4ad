"""Cameras that show rendered scenes over RTSP (RFC 2326), as JPEG in RTP over the same connection."""

import select
import socket
import socketserver
import struct
import time
from collections.abc import Mapping

from simulator.authority import Identity
from simulator.camera_server import Camera, Serving, basic
from simulator.ports import LOOPBACK
from simulator.rtp_jpeg import CLOCK_HZ, PAYLOAD_TYPE, packets, sender_report

_REPORT_S = 1.0
_STATUS = {200: "OK", 401: "Unauthorized", 404: "Not Found"}


class RtspServer(Serving):
    """`rtsp://127.0.0.1:<port>/<name>` shows the camera of that name. With `login` ("user:password") it asks for that
    (Basic); with an `identity` it is rtsps. Its sender reports say UTC, `ahead_s` wrong."""

    def __init__(
        self,
        cameras: Mapping[str, Camera],
        *,
        login: str = "",
        identity: Identity | None = None,
        ahead_s: float = 0.0,
    ) -> None:
        attributes = {"cameras": dict(cameras), "authorization": basic(login), "ahead_ns": int(ahead_s * 1e9)}
        server = _Server((LOOPBACK, 0), type("Handler", (_Handler,), attributes))
        super().__init__(cameras, server, scheme="rtsp", identity=identity)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(socketserver.StreamRequestHandler):
    cameras: Mapping[str, Camera] = {}
    authorization = ""
    ahead_ns = 0

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while (request := self._request()) is not None:
                camera = self._answer(*request)
                if camera is not None:
                    self._play(camera)
                    return
        except OSError:
            return  # whoever watched has gone

    def _request(self) -> tuple[str, str, dict[str, str]] | None:
        """Method, URL and headers; None at the end."""
        line = self.rfile.readline().decode("ascii", "replace").split()
        if len(line) < 2:
            return None
        headers = {}
        while header := self.rfile.readline().decode("ascii", "replace").strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        return line[0], line[1], headers

    def _answer(self, method: str, url: str, headers: dict[str, str]) -> Camera | None:
        """Reply; the camera, once it shall play."""
        name = url.partition("://")[2].partition("/")[2].removesuffix("/").removesuffix("/stream")
        camera = self.cameras.get(name)
        if method != "OPTIONS" and self.authorization and headers.get("authorization") != self.authorization:
            self._reply(401, headers, {"WWW-Authenticate": 'Basic realm="camera"'})
        elif camera is None:
            self._reply(404, headers)
        elif camera.shows == "gone":
            raise ConnectionResetError("nobody is there")
        elif method == "OPTIONS":
            self._reply(200, headers, {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"})
        elif method == "DESCRIBE":
            self._reply(200, headers, {"Content-Base": f"{url}/", "Content-Type": "application/sdp"}, body=_SDP)
        elif method == "SETUP":
            self._reply(200, headers, {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"})
        elif method == "PLAY":
            self._reply(200, headers, {"Session": "1"})
            return camera
        else:
            self._reply(200, headers)
        return None

    def _reply(
        self, status: int, request: dict[str, str], headers: Mapping[str, str] | None = None, *, body: str = ""
    ) -> None:
        lines = [f"RTSP/1.0 {status} {_STATUS[status]}", f"CSeq: {request.get('cseq', '0')}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        self.wfile.write("\r\n".join([*lines, "", body]).encode())

    def _play(self, camera: Camera) -> None:
        number, sequence, sent, reported = -1, 0, 0, 0.0
        while (shown := camera.next(number)) is not None:
            number, jpeg = shown
            timestamp = int(number / camera.fps * CLOCK_HZ)
            if time.monotonic() - reported > _REPORT_S:
                reported = time.monotonic()
                utc_ns = time.time_ns() + self.ahead_ns
                self._send(1, sender_report(utc_ns=utc_ns, timestamp=timestamp, packets_sent=sequence, bytes_sent=sent))
            for packet in packets(jpeg, sequence=sequence, timestamp=timestamp):
                self._send(0, packet)
                sequence += 1
                sent += len(packet)
            camera.mark_handed_out(number)
            if self._has_left():
                return

    def _send(self, channel: int, packet: bytes) -> None:
        self.wfile.write(struct.pack(">cBH", b"$", channel, len(packet)) + packet)

    def _has_left(self) -> bool:
        """Whether the other side hung up. What else it says while we play (keep-alives, reports) needs no answer."""
        readable, _, _ = select.select([self.request], [], [], 0)
        return bool(readable) and not self.request.recv(65536)


_SDP = "\r\n".join(
    [
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=camera",
        "t=0 0",
        f"m=video 0 RTP/AVP {PAYLOAD_TYPE}",
        "c=IN IP4 0.0.0.0",
        "a=control:stream",
        "",
    ]
)
