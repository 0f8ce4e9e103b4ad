"""The unmodified AWS SDK against our IPC server, with nucleus lite's limits and answers."""

import contextlib
import json
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from awsiot.eventstreamrpc import StreamClosedError
from awsiot.greengrasscoreipc import connect
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import (
    InvalidArgumentsError,
    JsonMessage,
    PublishMessage,
    ResourceNotFoundError,
    ServiceError,
    UnauthorizedError,
)

from models.errors import ConfigError
from models.mqtt import Broker, Connection
from models.topics import results_filter, shard_of
from simulator.broker import INGEST, LocalBroker
from simulator.nucleus.component import State
from simulator.nucleus.device_state import DeviceState
from simulator.nucleus.eventstream import Message, Parser, encode
from simulator.nucleus.ipc_server import IpcServer
from simulator.nucleus.personality import LITE
from tests.simulator.nucleus.rig import ACKS, RESULTS, THING, Rig, connect_frame
from tests.simulator.nucleus.rig import rig as a_rig
from tests.simulator.nucleus.waiting import eventually


@pytest.fixture
def rig(tmp_path: Path, thing: Callable[[str], Broker]) -> Iterator[Rig]:
    with a_rig(tmp_path, thing(THING), LITE) as found:
        yield found


@pytest.fixture
def talker(rig: Rig) -> Iterator[GreengrassCoreIPCClientV2]:
    client = rig.client("talker")
    yield client
    client.close().result(10)


@pytest.fixture
def mute(rig: Rig) -> Iterator[GreengrassCoreIPCClientV2]:
    client = rig.client("mute")
    yield client
    client.close().result(10)


@pytest.fixture
def cloud(thing: Callable[[str], Broker]) -> Iterator[Connection]:
    """Ingest's connection to the broker."""
    subscriptions = [results_filter(shard_of(THING))]
    with Connection(thing(INGEST), client_id=INGEST, subscriptions=subscriptions) as connection:
        assert connection.wait_until_ready(20)
        yield connection


def publish(client: GreengrassCoreIPCClientV2, payload: bytes, *, topic: str = RESULTS, qos: str = "1") -> None:
    client.publish_to_iot_core(topic_name=topic, qos=qos, payload=payload)


# --- to and from IoT Core


def test_a_message_reaches_the_broker_with_its_bytes(talker: GreengrassCoreIPCClientV2, cloud: Connection) -> None:
    publish(talker, bytes(range(256)))
    publish(talker, b"at most once", qos="0")
    messages = cloud.messages()
    assert [(message.topic, message.payload) for message in (next(messages), next(messages))] == [
        (RESULTS, bytes(range(256))),
        (RESULTS, b"at most once"),
    ]


def test_a_subscription_hears_what_comes_for_it_up_to_lites_limit(
    rig: Rig, talker: GreengrassCoreIPCClientV2, cloud: Connection
) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    talker.subscribe_to_iot_core(topic_name=ACKS, qos="1", on_stream_event=lambda event: heard.put(event.message))
    assert rig.connection.wait_until_ready(20)
    cloud.publish(ACKS, b"x" * 4_900)
    cloud.publish(ACKS, b"y" * 6_000)  # lost, and nobody is told: measured on lite
    cloud.publish(ACKS, b"z")
    first, second = heard.get(timeout=20), heard.get(timeout=20)
    assert (first.topic_name, first.payload, second.payload) == (ACKS, b"x" * 4_900, b"z")


def test_a_closed_subscription_hears_nothing_more_while_others_do(
    rig: Rig, talker: GreengrassCoreIPCClientV2, cloud: Connection
) -> None:
    gone: queue.Queue[Any] = queue.Queue()
    there: queue.Queue[Any] = queue.Queue()
    _, stream = talker.subscribe_to_iot_core(topic_name=ACKS, qos="1", on_stream_event=gone.put)
    talker.subscribe_to_iot_core(topic_name="tidegate/v1/acks/+", qos="1", on_stream_event=there.put)
    stream.close()
    talker.get_configuration()  # answered after the close was read: one connection keeps its order
    assert rig.connection.wait_until_ready(20)
    cloud.publish(ACKS, b"x")
    assert there.get(timeout=20).message.payload == b"x"
    assert gone.empty()


def test_a_payload_of_7200_bytes_passes_and_7300_close_the_connection(
    rig: Rig, talker: GreengrassCoreIPCClientV2, cloud: Connection
) -> None:
    publish(talker, b"a" * 7_200)
    assert len(next(cloud.messages()).payload) == 7_200
    fragile = rig.client("talker")
    with pytest.raises(StreamClosedError):
        publish(fragile, b"a" * 7_300)
    with contextlib.closing(rig.client("talker")) as reopened:
        publish(reopened, b"again")
    assert next(cloud.messages()).payload == b"again"


def test_with_the_broker_down_every_message_is_refused_and_afterwards_taken(
    rig: Rig, talker: GreengrassCoreIPCClientV2, broker: LocalBroker
) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    talker.subscribe_to_iot_core(topic_name=ACKS, qos="1", on_stream_event=heard.put)
    broker.kill()
    eventually(lambda: not rig.connection.connected)
    with pytest.raises(ServiceError):
        publish(talker, b"x")
    with pytest.raises(ServiceError):
        talker.subscribe_to_iot_core(topic_name="tidegate/v1/acks/+", qos="1", on_stream_event=heard.put)
    broker.start()
    eventually(lambda: rig.connection.connected)
    publish(talker, b"x")


def test_a_subscription_survives_the_brokers_restart(
    rig: Rig, talker: GreengrassCoreIPCClientV2, cloud: Connection, broker: LocalBroker
) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    talker.subscribe_to_iot_core(topic_name=ACKS, qos="1", on_stream_event=heard.put)
    broker.kill()
    eventually(lambda: not rig.connection.connected and not cloud.connected)
    broker.start()
    assert rig.connection.wait_until_ready(20)
    assert cloud.wait_until_ready(20)
    cloud.publish(ACKS, b"back")
    assert heard.get(timeout=20).message.payload == b"back"


@pytest.mark.parametrize(
    ("topic", "error"),
    [
        ("elsewhere/x", UnauthorizedError),
        ("", InvalidArgumentsError),
        ("tidegate/v1/#", InvalidArgumentsError),
        ("tidegate/v1/2/3/4/5/6/7/8", ServiceError),  # IoT Core: at most 7 slashes
        ("tidegate/v1/" + "x" * 256, ServiceError),
    ],
)
def test_topics_are_checked(talker: GreengrassCoreIPCClientV2, topic: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        publish(talker, b"x", topic=topic)


def test_a_component_without_permission_is_refused_everything_but_its_configuration(
    mute: GreengrassCoreIPCClientV2,
) -> None:
    with pytest.raises(UnauthorizedError):
        publish(mute, b"x")
    with pytest.raises(UnauthorizedError):
        mute.subscribe_to_iot_core(topic_name=ACKS, qos="1", on_stream_event=print)
    with pytest.raises(UnauthorizedError):
        mute.publish_to_topic(topic="local/a", publish_message=PublishMessage())
    with pytest.raises(UnauthorizedError):
        mute.subscribe_to_topic(topic="local/a", on_stream_event=print)
    assert mute.get_configuration().value == {"number": 1}


# --- between components


def test_an_empty_local_message_is_refused(talker: GreengrassCoreIPCClientV2) -> None:
    with pytest.raises(InvalidArgumentsError):
        talker.publish_to_topic(topic="local/a", publish_message=PublishMessage())


def test_a_local_message_keeps_its_kind_and_its_topic(talker: GreengrassCoreIPCClientV2) -> None:
    heard: queue.Queue[Any] = queue.Queue()
    talker.subscribe_to_topic(topic="local/+", on_stream_event=heard.put)
    talker.publish_to_topic(
        topic="local/b", publish_message=PublishMessage(json_message=JsonMessage(message={"a": [1]}))
    )
    document = heard.get(timeout=20).json_message
    assert (document.message, document.context.topic) == ({"a": [1]}, "local/b")


# --- configuration and state


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["deep"], {"x": 1, "y": {"z": "end"}}),
        (["deep", "y"], {"z": "end"}),
        (["number"], {"number": 60}),  # a scalar comes under its last key
        (["deep", "y", "z"], {"z": "end"}),
        (["flag"], {"flag": True}),
        (["list"], {"list": [1]}),
    ],
)
def test_configuration_is_read_by_key_path(talker: GreengrassCoreIPCClientV2, path: list[str], value: object) -> None:
    assert talker.get_configuration(key_path=path).value == value


def test_configuration_that_is_not_there_is_said_to_be_missing(talker: GreengrassCoreIPCClientV2) -> None:
    assert talker.get_configuration(component_name="mute", key_path=["number"]).value == {"number": 1}
    for component, path in (("talker", ["none"]), ("talker", ["number", "below"]), ("nobody", [])):
        with pytest.raises(ResourceNotFoundError):
            talker.get_configuration(component_name=component, key_path=path)


def test_an_update_is_merged_kept_and_told_to_those_who_watch(
    tmp_path: Path, talker: GreengrassCoreIPCClientV2, mute: GreengrassCoreIPCClientV2
) -> None:
    seen: queue.Queue[Any] = queue.Queue()
    unrelated: queue.Queue[Any] = queue.Queue()
    mute.subscribe_to_configuration_update(component_name="talker", key_path=["deep"], on_stream_event=seen.put)
    mute.subscribe_to_configuration_update(component_name="talker", key_path=["flag"], on_stream_event=unrelated.put)
    talker.update_configuration(key_path=["deep", "y"], value_to_merge={"new": 2})
    event = seen.get(timeout=20).configuration_update_event
    assert (event.component_name, event.key_path) == ("talker", ["deep", "y", "new"])
    assert talker.get_configuration(key_path=["deep", "y"]).value == {"z": "end", "new": 2}
    assert unrelated.empty()
    kept = DeviceState.load(tmp_path / "root" / "config" / "state.json")
    assert kept.components["talker"].configuration["deep"]["y"] == {"z": "end", "new": 2}


def test_a_component_cannot_grant_itself_more(talker: GreengrassCoreIPCClientV2) -> None:
    with pytest.raises(InvalidArgumentsError):
        talker.update_configuration(
            key_path=["accessControl"], value_to_merge={"aws.greengrass.ipc.pubsub": {}, "x": 1}
        )
    with pytest.raises(ResourceNotFoundError):
        talker.subscribe_to_configuration_update(component_name="nobody", on_stream_event=print)


def test_a_component_reports_its_state_and_errored_has_it_started_again(
    rig: Rig, talker: GreengrassCoreIPCClientV2
) -> None:
    component = rig.device.component("talker")
    assert component is not None
    eventually(lambda: component.pid is not None)
    before = component.pid
    talker.update_state(state="RUNNING")
    assert component.pid == before
    talker.update_state(state="ERRORED")
    eventually(lambda: component.pid not in (None, before), what="a new process")
    assert component.state is State.RUNNING
    with pytest.raises(InvalidArgumentsError):
        talker.update_state(state="BORED")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.subscribe_to_component_updates(on_stream_event=print),
        lambda client: client.defer_component_update(deployment_id="d", recheck_after_ms=0),
        lambda client: client.list_components(),
        lambda client: client.pause_component(component_name="mute"),
        lambda client: client.resume_component(component_name="mute"),
        lambda client: client.stop_component(component_name="mute"),
        lambda client: client.restart_component(component_name="mute"),
        lambda client: client.get_thing_shadow(thing_name=THING),
        lambda client: client.update_thing_shadow(thing_name=THING, shadow_name="s", payload=b"{}"),
        lambda client: client.delete_thing_shadow(thing_name=THING, shadow_name="s"),
        lambda client: client.get_secret_value(secret_id="s"),
        lambda client: client.put_component_metric(metrics=[]),
    ],
)
def test_what_lite_lacks_is_a_service_error_and_the_connection_lives(
    talker: GreengrassCoreIPCClientV2, call: Callable[[GreengrassCoreIPCClientV2], object]
) -> None:
    with pytest.raises(ServiceError):
        call(talker)
    assert talker.get_configuration(key_path=["number"]).value == {"number": 60}


def test_an_answer_longer_than_a_frame_is_a_service_error(talker: GreengrassCoreIPCClientV2) -> None:
    for key in ("a", "b"):
        talker.update_configuration(value_to_merge={key: "x" * 6_000})
    with pytest.raises(ServiceError):
        talker.get_configuration()
    assert talker.get_configuration(key_path=["a"]).value == {"a": "x" * 6_000}


# --- who does not keep to the protocol


def test_a_wrong_token_gets_no_answer_at_all(rig: Rig) -> None:
    assert rig.knock(connect_frame("0000")) == b""
    with pytest.raises(Exception, match=r"(?i)closed"):
        connect(ipc_socket=str(rig.server.path), authtoken="0000")


def test_the_answers_have_lites_headers(rig: Rig) -> None:
    headers: dict[str, int | str] = {
        ":content-type": "application/json",
        "service-model-type": "aws.greengrass#GetConfigurationRequest",
        ":message-type": 0,
        ":message-flags": 0,
        ":stream-id": 1,
        "operation": "aws.greengrass#GetConfiguration",
    }
    unknown = {**headers, ":stream-id": 2, "operation": "aws.greengrass#Nonsense"}
    answer = rig.knock(
        connect_frame(rig.token("mute")),
        encode(Message(headers, b'{"keyPath": ["number"]}')),
        encode(Message(unknown, b"{}")),
    )
    acknowledged, response, error = Parser(limit_bytes=10_000).feed(answer)
    assert acknowledged == Message({":message-type": 5, ":message-flags": 1, ":stream-id": 0})
    assert response == Message(
        {
            ":content-type": "application/json",
            "service-model-type": "aws.greengrass#GetConfigurationResponse",
            ":message-type": 0,
            ":message-flags": 0,
            ":stream-id": 1,
        },
        b'{"value": {"number": 1}}',
    )
    assert error.headers["service-model-type"] == "aws.greengrass#ServiceError"
    assert (error.headers[":message-type"], error.headers[":message-flags"], error.headers[":stream-id"]) == (1, 2, 2)
    assert json.loads(error.payload).keys() == {"_message", "_errorCode"}


def test_a_socket_path_that_is_too_long_is_refused(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="may be 107 bytes long"):
        IpcServer(tmp_path / ("x" * 100) / "ipc", rig.server._operations, LITE)
