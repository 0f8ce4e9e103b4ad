"""Telling systemd how the service is (sd_notify(3)): the protocol is a datagram, so no library is needed."""

import contextlib
import os
import socket


def notify(*news: str) -> None:
    """Tell systemd "READY=1", "STATUS=..." and the like, if it started this process and wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    # a systemd that does not listen is no reason to stop looking through cameras
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as link:
        link.setblocking(False)
        link.connect("\0" + address[1:] if address.startswith("@") else address)
        link.sendall("\n".join(news).encode())


class Watchdog:
    """Tells systemd, as often as it asks for, that the gateway works, so that one that does not is started anew.

    A gateway works unless a camera shows pictures and none of them comes to an end for `patience_s`. Where nobody asks
    nothing is done. Time is in seconds of a clock that never jumps.
    """

    def __init__(self, *, patience_s: float, now: float) -> None:
        asked_s = _asked_s()
        self._every_s = asked_s / 2 if asked_s else None
        self._patience_s = patience_s
        self._told = now
        self._moved = now
        self._done = -1

    def be_patient_for(self, patience_s: float) -> None:
        """From now on."""
        self._patience_s = patience_s

    def look(self, now: float, *, done: int, showing: bool) -> None:
        """To be called more often than systemd asks. `done` changes while frames come to an end, `showing`: some camera
        shows pictures."""
        if self._every_s is None:
            return
        if done != self._done or not showing:
            self._done, self._moved = done, now
        if now - self._told >= self._every_s and now - self._moved < self._patience_s:
            self._told = now
            notify("WATCHDOG=1")


def _asked_s() -> float | None:
    asked_us, of_whom = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not asked_us.isdigit() or of_whom not in ("", str(os.getpid())):
        return None
    return int(asked_us) / 1e6
