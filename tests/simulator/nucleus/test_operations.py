"""Each fact of what the two nuclei answer over IPC, as a line, asked by the unmodified AWS SDK."""

import contextlib
import functools
import json
import queue
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from awscrt.exceptions import AwsCrtError
from awsiot.eventstreamrpc import StreamClosedError
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import (
    BinaryMessage,
    ConfigurationValidityReport,
    InvalidArgumentsError,
    JsonMessage,
    Metric,
    PublishMessage,
    ResourceNotFoundError,
    ServiceError,
    UnauthorizedError,
)

from models.mqtt import Broker, Connection
from models.topics import results_filter, shard_of
from simulator.bad_link import BadLink
from simulator.broker import INGEST, LocalBroker
from simulator.nucleus.eventstream import Message, Parser
from simulator.nucleus.personality import PERSONALITIES
from tests.simulator.nucleus.rig import ACKS, RESULTS, THING, Rig, connect_frame, request_frame, rig
from tests.simulator.nucleus.waiting import eventually

Act = Callable[["Probe"], object]
CLOSED = (StreamClosedError, AwsCrtError)  # the connection is gone


@dataclass
class Probe:
    """Who asks."""

    rig: Rig
    link: BadLink  # between the device and the broker
    cloud: Connection
    heard: "queue.Queue[Any]" = field(default_factory=queue.Queue)

    @functools.cached_property
    def talker(self) -> GreengrassCoreIPCClientV2:
        return self.rig.client("talker")

    @functools.cached_property
    def mute(self) -> GreengrassCoreIPCClientV2:
        return self.rig.client("mute")

    def close(self) -> None:
        for name in {"talker", "mute"} & self.__dict__.keys():
            with contextlib.suppress(*CLOSED):
                self.__dict__[name].close().result(10)

    def publish(self, payload: bytes, *, qos: str = "1", topic: str = RESULTS) -> object:
        self.talker.publish_to_iot_core(topic_name=topic, qos=qos, payload=payload)
        return "ok"

    def arrives(self, payload: bytes) -> object:
        """Whether what is published is what the cloud hears."""
        self.publish(payload)
        return self.reaches_cloud(payload)

    def reaches_cloud(self, payload: bytes) -> bool:
        while (message := self.cloud.receive(20)) is not None:
            if message.payload == payload:
                return True
        return False

    def taken(self, *payloads: bytes, qos: str = "1", last: object = "ok") -> object:
        """What becomes of the last one, when all others are taken."""
        for payload in payloads:
            last = self.publish(payload, qos=qos)
        return last

    def echo(self, topic: str, mode: str | None = None) -> object:
        """Whether a component hears on this filter what it publishes itself."""
        self.talker.subscribe_to_topic(topic=topic, receive_mode=mode, on_stream_event=self.heard.put)
        self.talker.publish_to_topic(
            topic="local/a", publish_message=PublishMessage(json_message=JsonMessage(message={"a": 1}))
        )
        self.talker.get_configuration()  # one connection keeps its order
        return not self.heard.empty()

    def inbound(self, size: int) -> object:
        """Whether a message of so many bytes arrives before the next one does."""
        self.talker.subscribe_to_iot_core(topic_name=ACKS, qos="1", on_stream_event=self.heard.put)
        assert self.rig.connection.wait_until_ready(20)
        following = secrets.token_bytes(8)  # one of an earlier fact may still come
        self.cloud.publish(ACKS, bytes(size))
        self.cloud.publish(ACKS, following)
        payloads = iter(lambda: self.heard.get(timeout=20).message.payload, following)
        return size in [len(payload) for payload in payloads]

    @contextlib.contextmanager
    def broker_down(self) -> Iterator[None]:
        self.link.cut()
        eventually(lambda: not self.rig.connection.connected)
        try:
            yield
        finally:
            self.link.mend()
            eventually(lambda: self.rig.connection.connected)

    def frames(self, *requests: bytes) -> list[Message]:
        """What comes back from the bare socket, after the answer to connect."""
        answer = self.rig.knock(connect_frame(self.rig.token("talker")), *requests)
        return Parser(limit_bytes=1 << 20).feed(answer)[1:]


def local_message(probe: Probe) -> object:
    probe.talker.subscribe_to_topic(topic="local/a", on_stream_event=probe.heard.put)
    probe.talker.publish_to_topic(
        topic="local/a", publish_message=PublishMessage(binary_message=BinaryMessage(message=b"\x00\xff"))
    )
    return probe.heard.get(timeout=20).binary_message.message


def watched_update(probe: Probe) -> object:
    probe.mute.subscribe_to_configuration_update(
        component_name="talker", key_path=["deep"], on_stream_event=probe.heard.put
    )
    probe.talker.update_configuration(key_path=["deep", "y"], value_to_merge={"new": 2})
    return probe.heard.get(timeout=20).configuration_update_event.key_path


def bad_token(probe: Probe) -> object:
    answers = Parser(limit_bytes=10_000).feed(probe.rig.knock(connect_frame("0000")))
    return [dict(answer.headers) for answer in answers]


def flags(probe: Probe, *requests: tuple[str, dict[str, Any]]) -> object:
    frames = [request_frame(number, *request) for number, request in enumerate(requests, 1)]
    return [answer.headers[":message-flags"] for answer in probe.frames(*frames)]


def error_keys(probe: Probe) -> object:
    return sorted(json.loads(probe.frames(request_frame(1, "Nonsense", {}))[0].payload))


def message_of_error(probe: Probe) -> object:
    with pytest.raises(UnauthorizedError) as refusal:
        probe.publish(b"x", topic="elsewhere")
    return refusal.value.message is not None


def while_frozen(act: Act, probe: Probe) -> object:
    probe.link.knobs.dead = True  # nothing arrives, and nobody is told
    try:
        return act(probe)
    except ServiceError:
        return ServiceError
    finally:
        probe.link.mend()


def while_down(act: Act, probe: Probe) -> object:
    with probe.broker_down():
        try:
            return act(probe)
        except ServiceError:
            return ServiceError


def delivered_afterwards(probe: Probe) -> object:
    with probe.broker_down():
        try:
            probe.publish(b"kept")
        except ServiceError:
            return ServiceError
    return probe.reaches_cloud(b"kept")


def shadow(probe: Probe) -> object:
    probe.talker.update_thing_shadow(thing_name=THING, shadow_name="s", payload=b'{"state": {"reported": {"a": 1}}}')
    names = probe.talker.list_named_shadows_for_thing(thing_name=THING).results
    found = json.loads(probe.talker.get_thing_shadow(thing_name=THING, shadow_name="s").payload)
    probe.talker.delete_thing_shadow(thing_name=THING, shadow_name="s")
    return names, found["state"]


def listed(probe: Probe) -> object:
    return [component.component_name for component in probe.talker.list_components().components]


def paused(probe: Probe) -> object:
    component = probe.rig.device.component("mute")
    assert component is not None
    eventually(lambda: component.pid is not None)
    probe.talker.pause_component(component_name="mute")
    eventually(lambda: process_state(component.pid) == "T")
    probe.talker.resume_component(component_name="mute")
    eventually(lambda: process_state(component.pid) == "S")
    return "paused and resumed"


def restarted(probe: Probe) -> object:
    component = probe.rig.device.component("mute")
    assert component is not None
    eventually(lambda: component.pid is not None)
    before = component.pid
    status = probe.talker.restart_component(component_name="mute").restart_status
    eventually(lambda: component.pid not in (None, before))
    return status


def process_state(pid: int | None) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def get(path: list[str], probe: Probe) -> object:
    return probe.talker.get_configuration(key_path=path).value


SUBSCRIBE = ("SubscribeToTopic", {"topic": "local/x"})
GET = ("GetConfiguration", {"keyPath": ["number"]})
UNKNOWN: tuple[str, dict[str, Any]] = ("Nonsense", {})

FACTS: list[tuple[str, Act, object, object]] = [
    # what GREENGRASS.md says | the act | lite | java
    ("local messages", local_message, b"\x00\xff", b"\x00\xff"),
    ("own messages, no wildcard", partial(Probe.echo, topic="local/a"), True, True),
    ("own messages on a wildcard", partial(Probe.echo, topic="local/+"), True, False),
    ("... of all", partial(Probe.echo, topic="local/+", mode="RECEIVE_ALL_MESSAGES"), True, True),
    ("... of others", partial(Probe.echo, topic="local/+", mode="RECEIVE_MESSAGES_FROM_OTHERS"), False, False),
    ("publish to IoT Core", partial(Probe.arrives, payload=b"x"), True, True),
    ("subscribe to IoT Core", partial(Probe.inbound, size=4_900), True, True),
    ("6,000 B from IoT Core", partial(Probe.inbound, size=6_000), False, True),
    ("configuration", partial(get, ["deep", "y"]), {"z": "end"}, {"z": "end"}),
    ("a scalar under its last key", partial(get, ["number"]), {"number": 60}, {"number": 60}),
    ("no such key", partial(get, ["none"]), ResourceNotFoundError, ResourceNotFoundError),
    ("update and watch it", watched_update, ["deep", "y", "new"], ["deep", "y", "new"]),
    ("update_state", lambda probe: probe.mute.update_state(state="RUNNING") and "ok", "ok", "ok"),
    ("component updates", lambda probe: probe.mute.subscribe_to_component_updates(on_stream_event=print) and "ok",
     ServiceError, "ok"),
    ("defer without a subscription", lambda probe: probe.talker.defer_component_update(deployment_id="d"),
     ServiceError, InvalidArgumentsError),
    ("judge configurations", lambda probe: probe.talker.subscribe_to_validate_configuration_updates(
        on_stream_event=print) and "ok", ServiceError, "ok"),
    ("judge what nobody asked for", lambda probe: probe.talker.send_configuration_validity_report(
        configuration_validity_report=ConfigurationValidityReport(status="ACCEPTED", deployment_id="d")),
     ServiceError, InvalidArgumentsError),
    ("shadows", shadow, ServiceError, (["s"], {"reported": {"a": 1}})),
    ("another's shadow", lambda probe: probe.talker.get_thing_shadow(thing_name="other"), ServiceError,
     UnauthorizedError),
    ("secrets", lambda probe: probe.talker.get_secret_value(secret_id="camera-1").secret_value.secret_string,
     ServiceError, "hush"),
    ("no such secret", lambda probe: probe.talker.get_secret_value(secret_id="camera-2"), ServiceError,
     ResourceNotFoundError),
    ("metrics", lambda probe: probe.talker.put_component_metric(metrics=[Metric(name="n", unit="Count", value=1)]),
     ServiceError, UnauthorizedError),
    ("list components", listed, ServiceError, ["mute", "talker"]),
    ("pause and resume", paused, ServiceError, "paused and resumed"),
    ("pause what is not allowed", lambda probe: probe.talker.pause_component(component_name="talker"), ServiceError,
     UnauthorizedError),
    ("restart", restarted, ServiceError, "SUCCEEDED"),
    ("stop", lambda probe: probe.talker.stop_component(component_name="nobody"), ServiceError, ResourceNotFoundError),
    ("no permission", lambda probe: probe.mute.subscribe_to_topic(topic="local/a", on_stream_event=print),
     UnauthorizedError, UnauthorizedError),
    ("an error's `.message`", message_of_error, False, True),
    ("an error's keys", error_keys, ["_errorCode", "_message"], ["_errorCode", "_message", "message"]),
    ("flags of an answer", lambda probe: flags(probe, GET), [0], [2]),
    ("flags of a subscription", lambda probe: flags(probe, SUBSCRIBE), [0], [0]),
    ("flags of an error", lambda probe: flags(probe, UNKNOWN), [2], [2]),
    ("a bad token", bad_token, [], [{":message-type": 5, ":message-flags": 0, ":stream-id": 0}]),
    ("7,200 B", partial(Probe.arrives, payload=bytes(7_200)), True, True),
    ("7,300 B", partial(Probe.arrives, payload=bytes(7_300)), CLOSED, True),
    ("128 KiB", partial(Probe.arrives, payload=bytes(131_072)), CLOSED, True),
    ("128 KiB and one", partial(Probe.publish, payload=bytes(131_073)), CLOSED, ServiceError),
    ("ten before PUBACK", partial(while_frozen, lambda probe: probe.taken(*[b"x"] * 10)), "ok", "ok"),
    ("eleven before PUBACK", partial(while_frozen, lambda probe: probe.taken(*[b"x"] * 11)), ServiceError, "ok"),
    ("15,000 B before PUBACK", partial(while_frozen, lambda probe: probe.taken(*[bytes(5_000)] * 3)), "ok", "ok"),
    ("15,001 B before PUBACK", partial(while_frozen, lambda probe: probe.taken(*[bytes(5_000)] * 3, b"x")),
     ServiceError, "ok"),
    ("QoS 0 beside them", partial(while_frozen, lambda probe: (probe.taken(*[b"x"] * 10), probe.taken(b"", qos="0"))),
     ("ok", "ok"), ("ok", "ok")),
    ("broker down", delivered_afterwards, ServiceError, True),
    ("broker down, QoS 0", partial(while_down, lambda probe: probe.publish(b"x", qos="0")), ServiceError, ServiceError),
    ("broker down, 2.5 MiB", partial(while_down, lambda probe: probe.taken(b"", *[bytes(131_072)] * 20)), ServiceError,
     "ok"),
    ("broker down, and one more", partial(while_down, lambda probe: probe.taken(b"", *[bytes(131_072)] * 20, b"x")),
     ServiceError, ServiceError),
    ("7 slashes", partial(Probe.publish, payload=b"", topic="tidegate/v1/2/3/4/5/6/7"), "ok", "ok"),
    ("8 slashes", partial(Probe.publish, payload=b"", topic="tidegate/v1/2/3/4/5/6/7/8"), ServiceError, ServiceError),
    ("256 characters", partial(Probe.publish, payload=b"", topic="tidegate/v1/" + "x" * 244), "ok", "ok"),
    ("257 characters", partial(Probe.publish, payload=b"", topic="tidegate/v1/" + "x" * 245), ServiceError,
     ServiceError),
]  # fmt: skip


@pytest.fixture(scope="module")
def link(broker: LocalBroker) -> Iterator[BadLink]:
    with BadLink(broker.port) as found:
        yield found


@pytest.fixture(scope="module", params=["lite", "java"])
def device(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    thing: Callable[[str], Broker],
    link: BadLink,
) -> Iterator[Rig]:
    broker = replace(thing(THING), port=link.port)
    personality = PERSONALITIES[request.param]
    with rig(tmp_path_factory.mktemp("device"), broker, personality, secrets={"camera-1": "hush"}) as found:
        yield found


@pytest.fixture(scope="module")
def cloud(thing: Callable[[str], Broker]) -> Iterator[Connection]:
    with Connection(thing(INGEST), client_id=INGEST, subscriptions=[results_filter(shard_of(THING))]) as connection:
        assert connection.wait_until_ready(20)
        yield connection


@pytest.fixture
def probe(device: Rig, link: BadLink, cloud: Connection) -> Iterator[Probe]:
    eventually(lambda: device.connection.unacknowledged.messages == 0)
    with contextlib.closing(Probe(device, link, cloud)) as found:
        yield found


@pytest.mark.parametrize(("act", "lite", "java"), [fact[1:] for fact in FACTS], ids=[fact[0] for fact in FACTS])
def test_the_nucleus_answers_as_the_real_one_does(
    request: pytest.FixtureRequest, probe: Probe, act: Act, lite: object, java: object
) -> None:
    expected = lite if request.node.callspec.params["device"] == "lite" else java
    found: object
    try:
        found = act(probe)
    except (ServiceError, UnauthorizedError, InvalidArgumentsError, ResourceNotFoundError, *CLOSED) as exc:
        found = CLOSED if isinstance(exc, CLOSED) else type(exc)
    assert found == expected
