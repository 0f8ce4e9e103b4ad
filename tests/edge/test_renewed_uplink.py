"""An uplink takes a new identity when the old connection has gone, and not before."""

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.renewed_uplink import RenewedUplink
from edge.uplink import Inbound
from models.errors import ConfigError, UplinkError


class Line:
    """A connection that can go down."""

    limit_bytes = 100

    def __init__(self) -> None:
        self.up = True
        self.sent: list[bytes] = []
        self.closed = False
        self.inbox: queue.Queue[Inbound | None] = queue.Queue()

    def publish(self, topic: str, payload: bytes) -> None:
        if not self.up:
            raise UplinkError("down")
        self.sent.append(payload)

    def messages(self) -> Iterator[Inbound]:
        while (message := self.inbox.get()) is not None:
            yield message

    def close(self) -> None:
        self.closed = True
        self.inbox.put(None)


class Opener:
    """Opens lines, unless it is told that the files are half replaced."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.broken = False

    def __call__(self) -> Line:
        if self.broken:
            raise ConfigError("key and certificate do not belong together")
        self.lines.append(Line())
        return self.lines[-1]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "certificate.pem"
    path.write_text("old")
    return path


def _replace(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_text("new")
    new.replace(file)


def _fails(uplink: RenewedUplink) -> None:
    with pytest.raises(UplinkError):
        uplink.publish("topic", b"1")


def test_while_the_connection_holds_nothing_is_touched(file: Path) -> None:
    opener = Opener()
    uplink = RenewedUplink(opener, [file])
    _replace(file)

    uplink.publish("topic", b"1")

    assert [line.sent for line in opener.lines] == [[b"1"]]


def test_a_connection_that_went_is_left_to_come_back_while_the_files_are_the_same(file: Path) -> None:
    opener = Opener()
    uplink = RenewedUplink(opener, [file])
    opener.lines[0].up = False

    _fails(uplink)

    assert len(opener.lines) == 1
    assert not opener.lines[0].closed


def test_with_new_files_another_one_takes_its_place_and_is_listened_to(file: Path) -> None:
    opener = Opener()
    uplink = RenewedUplink(opener, [file])
    messages = uplink.messages()
    opener.lines[0].inbox.put(Inbound("acks", b"1"))
    assert next(messages).payload == b"1"
    opener.lines[0].up = False
    _replace(file)

    _fails(uplink)
    uplink.publish("topic", b"2")

    assert opener.lines[0].closed
    assert opener.lines[1].sent == [b"2"]
    opener.lines[1].inbox.put(Inbound("acks", b"2"))
    assert next(messages).payload == b"2"
    uplink.close()
    assert list(messages) == []


def test_files_that_are_missing_or_half_replaced_are_waited_for(file: Path) -> None:
    opener = Opener()
    uplink = RenewedUplink(opener, [file])
    opener.lines[0].up = False
    file.unlink()
    _fails(uplink)
    file.write_text("new")
    opener.broken = True
    _fails(uplink)
    assert len(opener.lines) == 1

    opener.broken = False
    _fails(uplink)
    uplink.publish("topic", b"3")

    assert opener.lines[1].sent == [b"3"]


def test_once_closed_nothing_is_opened_any_more(file: Path) -> None:
    opener = Opener()
    uplink = RenewedUplink(opener, [file])
    opener.lines[0].up = False
    _replace(file)
    uplink.close()

    _fails(uplink)

    assert len(opener.lines) == 1
