"""Finding room on the loopback interface, and waiting for somebody to listen there."""

import socket
import time

from models.errors import TidegateError

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on now. Kept by its user over restarts, so it cannot be left to the server."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def wait_until_listening(port: int, *, timeout_s: float) -> None:
    """Return once a TCP connection to the port succeeds; TidegateError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TidegateError(f"nothing listens on {LOOPBACK}:{port} after {timeout_s:g} s")
