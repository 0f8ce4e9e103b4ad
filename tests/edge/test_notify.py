"""systemd is told that the gateway works, and is not told so when it does not."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.notify import Watchdog, notify


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        """What came since the last call."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    name = str(tmp_path / "notify")
    systemd = Systemd(name if request.param == "path" else f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", name if request.param == "path" else f"@{name}")
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield systemd
    systemd.close()


def test_systemd_hears_the_news(systemd: Systemd) -> None:
    notify("READY=1", "STATUS=coco@3 runs")
    assert systemd.heard() == ["READY=1\nSTATUS=coco@3 runs"]


def test_without_systemd_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")


def test_a_systemd_that_does_not_listen_is_not_waited_for(systemd: Systemd) -> None:
    for _ in range(10_000):
        notify("WATCHDOG=1")
    assert len(systemd.heard()) < 10_000, "its queue was full"


def test_a_gateway_that_works_says_so_twice_as_often_as_it_must(systemd: Systemd) -> None:
    watchdog = Watchdog(patience_s=60, now=0)
    said = []
    for second in range(1, 121):
        watchdog.look(second, done=second, showing=True)
        said += [second for _ in systemd.heard()]
    assert said == [30, 60, 90, 120]


def test_a_gateway_whose_frames_come_to_no_end_falls_silent(systemd: Systemd) -> None:
    watchdog = Watchdog(patience_s=60, now=0)
    said = []
    for second in range(1, 301):
        watchdog.look(second, done=min(second, 100), showing=True)
        said += [second for _ in systemd.heard()]
    assert said == [30, 60, 90, 120, 150], "and 60 s later systemd starts it anew"


def test_a_gateway_without_pictures_is_not_to_blame(systemd: Systemd) -> None:
    watchdog = Watchdog(patience_s=60, now=0)
    for second in range(1, 301):
        watchdog.look(second, done=0, showing=False)
    assert len(systemd.heard()) == 10


@pytest.mark.parametrize(("usec", "pid"), [("", ""), ("soon", ""), ("60000000", "another")])
def test_nobody_who_does_not_ask_is_told(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, usec: str, pid: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    # not among the parameters: pytest-xdist wants the same names in all its processes
    monkeypatch.setenv("WATCHDOG_PID", pid and str(os.getpid() + 1))
    watchdog = Watchdog(patience_s=60, now=0)
    watchdog.look(1000, done=1, showing=True)
    assert systemd.heard() == []
