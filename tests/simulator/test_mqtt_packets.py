"""MQTT's packets, as a proxy reads them."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import mqtt_packets as mqtt


def _read(data: bytes) -> mqtt.Packet | None:
    async def read() -> mqtt.Packet | None:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        return await mqtt.read_packet(stream)

    return asyncio.run(read())


@settings(max_examples=50)
@given(topic=st.text(max_size=40), payload=st.binary(max_size=300), level=st.sampled_from([4, 5]))
def test_what_is_published_is_read_again(topic: str, payload: bytes, level: int) -> None:
    packet = _read(mqtt.publish(topic, payload, level))

    assert packet is not None
    assert packet.encoded() == mqtt.publish(topic, payload, level)
    assert mqtt.parse_publish(packet, level) == mqtt.Publish(topic, payload, None)


@settings(max_examples=50)
@given(kind=st.integers(0, 15), flags=st.integers(0, 15), body=st.binary(max_size=60), level=st.sampled_from([4, 5]))
def test_rubbish_is_said_to_be_none(kind: int, flags: int, body: bytes, level: int) -> None:
    packet = mqtt.Packet(kind, flags, body)
    assert _read(packet.encoded()) == packet
    for parse in (mqtt.parse_publish, mqtt.parse_subscribe):
        with contextlib.suppress(mqtt.NotMqttError):
            parse(packet, level)


@settings(max_examples=50)
@given(data=st.binary(max_size=20))
def test_a_stream_of_rubbish_ends(data: bytes) -> None:
    try:
        packet = _read(data)
    except mqtt.NotMqttError:
        return
    assert packet is None or data.startswith(packet.encoded()[:1])


def test_a_subscription_names_its_topics() -> None:
    three = b"\x00\x07" + b"\x00\x01a\x01" + b"\x00\x02bc\x00"
    five = b"\x00\x07" + b"\x00" + b"\x00\x01a\x01" + b"\x00\x02bc\x00"

    assert mqtt.parse_subscribe(mqtt.Packet(mqtt.SUBSCRIBE, 2, three), 4) == (b"\x00\x07", ["a", "bc"])
    assert mqtt.parse_subscribe(mqtt.Packet(mqtt.SUBSCRIBE, 2, five), 5) == (b"\x00\x07", ["a", "bc"])


@pytest.mark.parametrize("body", [b"", b"\x00\x04MQTT", b"\x00\x04MQTT\x03", b"\x00\x06MQIsdp\x03"])
def test_what_is_neither_version_is_refused(body: bytes) -> None:
    with pytest.raises(mqtt.NotMqttError):
        mqtt.protocol_level(mqtt.Packet(mqtt.CONNECT, 0, body))
