"""What arrives is read in order; a flood neither fills the memory nor the log."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.inbox import Inbox
from models.mqtt import Message


def read(inbox: Inbox[Message], count: int) -> list[Message]:
    messages = inbox.messages()
    return [next(messages) for _ in range(count)]


@given(st.lists(st.binary(max_size=20), max_size=30))
def test_what_has_room_is_read_in_order_and_the_rest_is_dropped(payloads: list[bytes]) -> None:
    inbox = Inbox[Message](limit_messages=8, limit_bytes=64)
    kept: list[Message] = []
    for payload in payloads:
        message = Message("acks", payload)
        inbox.put(message)
        if not kept or (len(kept) < 8 and sum(len(one.payload) for one in kept) + len(payload) <= 64):
            kept.append(message)
    assert read(inbox, len(kept)) == kept


def test_a_flood_is_said_once_until_somebody_reads(caplog: pytest.LogCaptureFixture) -> None:
    inbox = Inbox[Message](limit_messages=2, limit_bytes=100)
    for _ in range(2):
        for number in range(10):
            inbox.put(Message("acks", bytes([number])))
        assert [message.payload for message in read(inbox, 2)] == [b"\0", b"\1"]
    assert [record.message for record in caplog.records] == ["more arrives on acks than can be read; dropping some"] * 2


def test_a_message_larger_than_the_inbox_is_read_where_nothing_else_waits() -> None:
    inbox = Inbox[Message](limit_messages=2, limit_bytes=10)
    inbox.put(Message("acks", b"x" * 100))
    inbox.put(Message("acks", b"y"))
    assert read(inbox, 1) == [Message("acks", b"x" * 100)]


def test_waiting_for_a_message_has_an_end() -> None:
    inbox = Inbox[Message](limit_messages=2, limit_bytes=100)
    assert inbox.receive(0.01) is None
    inbox.put(Message("acks", b"x"))
    assert inbox.receive(0.01) == Message("acks", b"x")


def test_closing_ends_whoever_reads_or_will() -> None:
    inbox = Inbox[Message](limit_messages=2, limit_bytes=100)
    reader = threading.Thread(target=lambda: list(inbox.messages()))
    reader.start()
    inbox.close()
    reader.join(5)
    assert not reader.is_alive()
    inbox.put(Message("acks", b"late"))
    assert list(inbox.messages()) == []


def test_what_came_before_closing_can_still_be_read() -> None:
    inbox = Inbox[Message](limit_messages=2, limit_bytes=100)
    inbox.put(Message("acks", b"x"))
    inbox.close()
    assert list(inbox.messages()) == [Message("acks", b"x")]
