"""What the rule hands on keeps every byte, and what it cannot have made is told from it."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.rule import PARTITION_KEY, SQL, message_of, record_of
from models.errors import WireError
from models.mqtt import Message
from models.topics import results_topic

TOPIC = results_topic("gw-1")


@given(st.binary(max_size=2000))
def test_every_payload_comes_through(payload: bytes) -> None:
    assert message_of(record_of(Message(TOPIC, payload))) == Message(TOPIC, payload)


@given(st.binary(max_size=200))
def test_no_record_does_anything_but_raise_our_error(record: bytes) -> None:
    with contextlib.suppress(WireError):
        message_of(record)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"TG\x02\x00",  # a payload as it was sent
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'{"data": "VEc="}',
        b'{"topic": "t"}',
        b'{"data": "not base64", "topic": "t"}',
        b'{"data": 7, "topic": "t"}',
        b'{"data": "\xc3\xa4", "topic": "t"}',
        b"[" * 100_000,
    ],
)
def test_what_the_rule_cannot_have_made(record: bytes) -> None:
    with pytest.raises(WireError, match="does something else write to the stream"):
        message_of(record)


def test_what_the_rule_selects() -> None:
    # https://docs.aws.amazon.com/iot/latest/developerguide/iot-sql-functions.html
    assert SQL == "SELECT encode(*, 'base64') AS data, topic() AS topic FROM 'tidegate/v1/results/+/+'"
    assert json.loads(record_of(Message(TOPIC, b"TG"))) == {"data": "VEc=", "topic": TOPIC}


def test_the_partition_key_is_the_gateway() -> None:
    segment = int(PARTITION_KEY.removeprefix("${topic(").removesuffix(")}"))

    assert TOPIC.split("/")[segment - 1] == "gw-1"
