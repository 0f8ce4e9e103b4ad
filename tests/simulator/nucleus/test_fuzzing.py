"""Whatever bytes a client sends, it can only end its own connection: the server and all others go on."""

import json
import struct
import zlib
from collections.abc import Callable, Iterator

import pytest
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from models.mqtt import Broker
from simulator.nucleus.eventstream import Message, encode
from simulator.nucleus.personality import JAVA, PERSONALITIES
from tests.simulator.nucleus.rig import ACKS, RESULTS, THING, Rig, connect_frame, request_frame, rig

Move = Callable[[Rig], bytes]


@pytest.fixture(scope="module", params=["lite", "java"])
def device(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, thing: Callable[[str], Broker]
) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("device")
    with rig(folder, thing(THING), PERSONALITIES[request.param], secrets={"camera-1": "hush"}) as found:
        yield found


@pytest.fixture(scope="module")
def neighbour(device: Rig) -> Iterator[GreengrassCoreIPCClientV2]:
    """Somebody else, connected all the time."""
    client = device.client("mute")
    yield client
    client.close().result(10)


# --- requests that are frames, with contents that make little sense

topics = st.sampled_from(
    [
        "local/a",
        "local/#",
        "local/#/x",
        RESULTS,
        ACKS,
        "tidegate/v1/+",
        "tidegate/v1/#/x",
        "tidegate/v1/\0",
        "",
        "x" * 300,
    ]
)
words = st.text(max_size=5) | st.sampled_from(["talker", "mute", "nobody", THING, "camera-1", "RUNNING", "ERRORED"])
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words | topics
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=8
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "topic": topics | documents,
        "topicName": topics | documents,
        "payload": st.sampled_from(["", "eA==", "no base64", "eyJzdGF0ZSI6IHt9fQ==", "W1tb"]) | documents,
        "qos": st.sampled_from(["0", "1", 2]) | documents,
        "publishMessage": st.fixed_dictionaries({"jsonMessage": st.fixed_dictionaries({"message": documents})})
        | documents,
        "receiveMode": st.sampled_from(["RECEIVE_ALL_MESSAGES", "RECEIVE_MESSAGES_FROM_OTHERS"]) | documents,
        "keyPath": st.lists(words, max_size=40) | documents,
        "valueToMerge": documents,
        "componentName": words | documents,
        "thingName": words | documents,
        "shadowName": words | documents,
        "secretId": words | documents,
        "state": words | documents,
        "metrics": documents,
        "configurationValidityReport": st.just({"status": "REJECTED", "message": 1}) | documents,
        "recheckAfterMs": documents,
        "deploymentId": words | documents,
    },
)
operations = st.sampled_from([*sorted(JAVA.operations), "Nonsense", ""])
streams = st.sampled_from([1, 2, 3, 0, -1, 2**31 - 1])  # few, so that they are used again
calls = st.builds(request_frame, streams, operations, requests)

header_names = st.sampled_from([":message-type", ":message-flags", ":stream-id", ":version", "operation", "x"])
header_values = st.integers(-(2**31), 2**31 - 1) | st.sampled_from(
    ["aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToTopic", "0.1.0", ""]
)
strange = st.builds(Message, st.dictionaries(header_names, header_values), st.binary(max_size=100)).map(encode)
closes = streams.map(lambda number: encode(Message({":message-type": 0, ":message-flags": 2, ":stream-id": number})))


# --- frames that are none


def cut(frame: bytes, at: int) -> bytes:
    return frame[: at % len(frame)]


def flipped(frame: bytes, bit: int) -> bytes:
    """With one bit turned round, wherever that is: lengths, CRCs, headers or payload."""
    place, within = divmod(bit % (len(frame) * 8), 8)
    return frame[:place] + bytes([frame[place] ^ (1 << within)]) + frame[place + 1 :]


def framed(total: int, headers_length: int, rest: bytes) -> bytes:
    """A frame that says of itself what it likes, with the CRCs that go with it."""
    lengths = struct.pack(">II", total, headers_length)
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + rest
    return body + struct.pack(">I", zlib.crc32(body))


def lying(total: int, headers_length: int, rest: bytes, *, honest: bool) -> bytes:
    return framed(len(rest) + 16 if honest else total, headers_length, rest)


def unknown_header(kind: int, value: bytes) -> bytes:
    header = bytes([1]) + b"h" + bytes([kind]) + value
    return framed(16 + len(header), len(header), header)


def call(payload: bytes) -> bytes:
    """An operation with this payload, whatever it is."""
    return encode(
        Message({":message-type": 0, ":stream-id": 1, "operation": "aws.greengrass#GetConfiguration"}, payload)
    )


sizes = st.sampled_from([0, 1, 15, 16, 17, 10_000, 10_001, 1 << 24, (1 << 24) + 1, 2**32 - 1])
broken = (
    st.builds(cut, calls, st.integers(0, 10_000))
    | st.builds(flipped, calls, st.integers(0, 80_000))
    | st.builds(lying, sizes, sizes, st.binary(max_size=60), honest=st.booleans())
    | st.builds(unknown_header, st.integers(0, 255), st.binary(max_size=20))
    | st.binary(max_size=200)
)
moves = calls | strange | closes | broken | st.just(b"again")  # b"again": connect once more


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(sent=st.lists(moves, max_size=5), known=st.booleans(), slice_bytes=st.sampled_from([1, 7, 1 << 16]))
@example(sent=[b"\xff" * 65_536], known=False, slice_bytes=1 << 16)
@example(sent=[b"[" * 9_000], known=True, slice_bytes=1 << 16)
@example(sent=[call(b'{"a":' * 900 + b"1" + b"}" * 900)], known=True, slice_bytes=1 << 16)
@example(sent=[call(b'{"topic": "\\ud800"}'), call(b'{"qos": NaN}')], known=True, slice_bytes=1)
@example(sent=[call(b'{"a": "\xed\xa0\x80"}')], known=True, slice_bytes=1)
@example(sent=[request_frame(1, "SubscribeToIoTCore", {"topicName": "tidegate/v1/#/x"})], known=True, slice_bytes=1)
@example(sent=[request_frame(1, "SubscribeToTopic", {"topic": "local/a"})] * 2, known=True, slice_bytes=1)
def test_no_bytes_disturb_anybody_else(
    device: Rig, neighbour: GreengrassCoreIPCClientV2, sent: list[bytes], known: bool, slice_bytes: int
) -> None:
    hello = connect_frame(device.token("talker"))
    stream = (hello if known else b"") + b"".join(hello if move == b"again" else move for move in sent)
    device.knock(*(stream[start : start + slice_bytes] for start in range(0, len(stream), slice_bytes)))
    assert neighbour.get_configuration(key_path=["number"]).value == {"number": 1}


def test_an_update_answered_for_another_deployment_or_twice_is_said(device: Rig) -> None:
    """Out of order: answers that no notice asked for."""
    frames = [
        request_frame(1, "SubscribeToComponentUpdates", {}),
        request_frame(2, "DeferComponentUpdate", {"deploymentId": "d", "recheckAfterMs": 0}),
    ]
    answer = device.knock(connect_frame(device.token("talker")), *frames)
    assert b"ServiceError" in answer


def test_a_frame_in_single_bytes_is_a_frame(device: Rig) -> None:
    frames = connect_frame(device.token("mute")) + request_frame(1, "GetConfiguration", {"keyPath": ["number"]})
    answer = device.knock(*(frames[place : place + 1] for place in range(len(frames))))
    assert json.dumps({"value": {"number": 1}}).encode() in answer
