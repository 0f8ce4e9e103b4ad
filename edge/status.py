"""What a running gateway says of itself to whoever asks on its own machine.

It answers on a socket in its state folder. A file there would have to be written every few seconds for a question that
is seldom asked, on an SD card; and it would outlive the gateway that wrote it.
"""

import contextlib
import errno
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.background import within
from edge.overview import Overview
from models.configuration import parse
from models.errors import ConfigError, TidegateError

log = logging.getLogger(__name__)

SOCKET = "status.sock"
_TIMEOUT_S = 5.0
_LEAVE_S = 1.0  # for a disk that hangs
_MOST_BYTES = 4 << 20
_NOBODY = (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class Status:
    """Which gateway it is, and how it is; `version` is tidegate's, `uplink` says how it reaches the cloud."""

    gateway: str
    pid: int
    version: str
    uplink: str
    overview: Overview


class StatusSocket:
    """Answers with `status()` until it is closed, on a thread of its own. A folder that takes no socket is said in the
    log: nothing depends on it."""

    def __init__(self, state: Path, status: Callable[[], Status]) -> None:
        self._status = status
        self._state = state
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            (state / SOCKET).unlink(missing_ok=True)  # of a process that was killed: the folder is ours alone
            with _reachable(state) as path:
                self._socket.bind(path)
            (state / SOCKET).chmod(0o600)
            self._socket.listen()
        except OSError as exc:
            log.warning("`tidegate gateway status` will not reach this gateway: %s", exc.strerror)
            self._socket.close()
            return
        threading.Thread(target=self._answer, name="status", daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more. Closing twice is fine."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # lets the thread go that waits for somebody
        self._socket.close()
        within(_LEAVE_S, self._clean_up)  # whoever asks learns from the closed socket, too

    def _clean_up(self) -> None:
        with contextlib.suppress(OSError):
            (self._state / SOCKET).unlink(missing_ok=True)

    def _answer(self) -> None:
        while True:
            try:
                asker, _ = self._socket.accept()
            except OSError:
                return
            # whoever asks and goes away, or does not listen, has had his turn
            with asker, contextlib.suppress(OSError):
                asker.settimeout(_TIMEOUT_S)
                asker.sendall(json.dumps(asdict(self._status())).encode())


def read_status(state: Path) -> Status | None:
    """How the gateway with this state folder is; None when none runs there.

    TidegateError when one runs that does not answer, may not be asked by this user, or speaks otherwise.
    """
    try:
        with _reachable(state) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(_TIMEOUT_S)
            asking.connect(path)
            answer = _read_all(asking)
    except PermissionError as exc:
        raise TidegateError(f"the gateway in {state} belongs to another user: ask as that one, or with sudo") from exc
    except TimeoutError as exc:
        raise TidegateError(f"a gateway runs in {state} but has not answered for {_TIMEOUT_S:g} s") from exc
    except OSError as exc:
        if exc.errno in _NOBODY:
            return None
        raise TidegateError(f"the gateway in {state} cannot be asked: {exc.strerror}") from exc
    try:
        return parse(Status, json.loads(answer), where=f"the gateway in {state}")
    except (ValueError, ConfigError) as exc:
        raise TidegateError(f"the gateway in {state} answers as another version of tidegate would: {exc}") from exc


def _read_all(asking: socket.socket) -> bytes:
    answer = bytearray()
    while len(answer) < _MOST_BYTES and (chunk := asking.recv(1 << 16)):
        answer += chunk
    return bytes(answer)


@contextmanager
def _reachable(state: Path) -> Iterator[str]:
    """The socket's path, however long the folder's own is: a socket's address holds 107 bytes."""
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)
