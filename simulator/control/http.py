"""HTTP on loopback, in front of something that answers requests."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from simulator.restjson import INVALID, ApiError, Request, Response, serialize_error

LOOPBACK = "127.0.0.1"
MAX_BODY_BYTES = 16 << 20

# None: no answer, the connection is cut
Answer = Callable[[Request], Response | None]


class LoopbackServer:
    """Listens when constructed, gone when closed; `answer` is called on a thread per request and never raises."""

    def __init__(self, port: int, answer: Answer) -> None:
        """`port` 0 lets the system choose."""
        self._server = _Server((LOOPBACK, port), answer)
        self.endpoint = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Answer) -> None:
        super().__init__(address, _Handler)
        self.answer = answer


class _Handler(BaseHTTPRequestHandler):
    """HTTP to `answer` and back. One request a connection: nothing lingers when the server closes."""

    server: _Server
    timeout = 30

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            error = ApiError(INVALID, f"the body has {length} bytes, at most {MAX_BODY_BYTES}", status=413)
            response: Response | None = serialize_error(error)
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            response = self.server.answer(Request(self.command, self.path, headers, body))
        if response is None:
            return  # the connection is closed without a word
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """A line per request says nothing that the events don't."""
