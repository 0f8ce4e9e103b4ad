"""What every uplink keeps, on each adapter: in process, MQTT 3.1.1 and MQTT 5 by a real broker, IPC by the simulated
nucleus."""

import contextlib
import gc
import os
import random
import socket
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Protocol

import pytest
from awsiot.eventstreamrpc import _ProtocolContinuationHandler

from edge import uplink_aws, uplink_mqtt
from edge.config import UplinkConfig
from edge.uplink import UNANSWERED, Inbound, Uplink, open_uplink
from models.batch import batch_of
from models.errors import ConfigError, UplinkError
from models.health import Health
from models.mqtt import Connection
from models.topics import acks_topic, results_filter, results_topic, shard_of
from models.wire import StreamAck, encode_acks, encode_batch
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker
from simulator.small_cloud import SmallCloud, SmallUplink
from tests.contracts.impostor import Impostor, Unwilling
from tests.edge.lite import lite
from tests.left_open import sockets

THING = "line-1"
RESULTS, ACKS = results_topic(THING), acks_topic(THING)
MESSAGE = encode_batch(batch_of("00000000000000aa", 1, [Health(1, 60.0, "coco", 1, "d", "fp32")]))
ANSWER = encode_acks([StreamAck("00000000000000aa", 1)])


class Cloud(Protocol):
    """The far end: what arrived there, and what it sends."""

    def arrived(self) -> bytes: ...

    def answer(self, payload: bytes) -> None: ...

    def cut(self) -> None: ...

    def mend(self) -> None: ...


class NearCloud:
    """In the same process."""

    def __init__(self) -> None:
        self.uplink = SmallUplink(SmallCloud())
        self.uplink.deaf = True
        self._read = 0

    def arrived(self) -> bytes:
        assert self.uplink.cloud.messages > self._read
        self._read += 1
        return MESSAGE

    def answer(self, payload: bytes) -> None:
        self.uplink.inject(ACKS, payload)

    def cut(self) -> None:
        self.uplink.down = True

    def mend(self) -> None:
        self.uplink.down = False


class FarCloud:
    """Behind a broker that can be killed."""

    def __init__(self, broker: LocalBroker, authority: Authority, subscribed: Callable[[], bool]) -> None:
        self._broker = broker
        subscriptions = [results_filter(shard_of(THING))]
        identity = authority.device(INGEST).broker(broker.host, broker.port)
        self._connection = Connection(identity, client_id=INGEST, subscriptions=subscriptions)
        self._messages = self._connection.messages()
        self._subscribed = subscribed
        assert self._connection.wait_until_ready(20)

    def arrived(self) -> bytes:
        return next(self._messages).payload

    def answer(self, payload: bytes) -> None:
        assert self._subscribed()
        self._connection.publish(ACKS, payload)

    def cut(self) -> None:
        self._broker.kill()

    def mend(self) -> None:
        self._broker.start()
        assert self._connection.wait_until_ready(20)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def broker(tmp_path: Path, authority: Authority) -> Iterator[LocalBroker]:
    local = LocalBroker(tmp_path / "broker", authority)
    local.start()
    yield local
    local.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["small", "mqtt", "aws", "ipc"])
def ends(request: pytest.FixtureRequest, stack: ExitStack) -> tuple[Uplink, Cloud]:
    if request.param == "small":
        near = NearCloud()
        stack.callback(near.uplink.close)
        return near.uplink, near
    broker: LocalBroker = request.getfixturevalue("broker")
    authority: Authority = request.getfixturevalue("authority")
    if request.param == "ipc":
        return ipc_ends(broker, authority, stack, request.getfixturevalue("nucleus"))
    return mqtt_ends(request.param, broker, authority, stack)


def mqtt_ends(
    kind: Literal["mqtt", "aws"], broker: LocalBroker, authority: Authority, stack: ExitStack
) -> tuple[Uplink, Cloud]:
    if kind == "aws" and broker.kind != "mosquitto":
        pytest.skip("the embedded broker knows no MQTT 5; install mosquitto")
    own = authority.device(THING)
    config = UplinkConfig(kind, broker.host, broker.port, own.ca, own.certificate, own.key)
    uplink = open_uplink(config, gateway=THING)
    stack.callback(uplink.close)
    # it publishes nothing before it is subscribed, so the answer to what it published always arrives
    cloud = FarCloud(broker, authority, lambda: True)
    stack.callback(cloud.close)
    return uplink, cloud


def ipc_ends(broker: LocalBroker, authority: Authority, stack: ExitStack, nucleus: Connection) -> tuple[Uplink, Cloud]:
    uplink = open_uplink(UplinkConfig("ipc"), gateway=THING)
    stack.callback(uplink.close)
    cloud = FarCloud(broker, authority, lambda: nucleus.wait_until_ready(20))
    stack.callback(cloud.close)
    return uplink, cloud


@pytest.fixture
def nucleus(
    broker: LocalBroker, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """Nucleus lite's IPC, to which this process is the gateway component; its connection to the broker."""
    identity = authority.device(THING).broker(broker.host, broker.port)
    with lite(THING, tmp_path / "root", identity, {}) as nucleus:
        for name, value in nucleus.environment.items():
            monkeypatch.setenv(name, value)
        yield nucleus.connection


def publish_patiently(uplink: Uplink, topic: str, payload: bytes) -> None:
    """As a shipper does: try again while it raises."""
    deadline = time.monotonic() + 20
    while True:
        try:
            uplink.publish(topic, payload)
            return
        except UplinkError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


Ends = tuple[Uplink, Cloud]


def test_a_message_arrives_as_it_was(ends: Ends) -> None:
    uplink, cloud = ends
    publish_patiently(uplink, RESULTS, MESSAGE)
    assert cloud.arrived() == MESSAGE


def test_an_answer_arrives_with_its_topic(ends: Ends) -> None:
    uplink, cloud = ends
    publish_patiently(uplink, RESULTS, MESSAGE)
    cloud.arrived()
    cloud.answer(ANSWER)
    assert next(uplink.messages()) == Inbound(ACKS, ANSWER)


def test_what_is_larger_than_the_limit_is_refused_and_nothing_breaks(ends: Ends) -> None:
    uplink, cloud = ends
    publish_patiently(uplink, RESULTS, MESSAGE)
    cloud.arrived()
    with pytest.raises(UplinkError, match=f"above the uplink's limit of {uplink.limit_bytes}"):
        uplink.publish(RESULTS, b"x" * (uplink.limit_bytes - len(RESULTS) + 1))
    uplink.publish(RESULTS, MESSAGE)
    assert cloud.arrived() == MESSAGE


def test_while_the_cloud_is_cut_off_publishing_raises_and_works_again_afterwards(ends: Ends) -> None:
    uplink, cloud = ends
    publish_patiently(uplink, RESULTS, MESSAGE)
    cloud.arrived()
    cloud.cut()
    deadline = time.monotonic() + 20
    with pytest.raises(UplinkError):  # noqa: PT012 -- a broker's end is noticed with the next packet or two
        while time.monotonic() < deadline:
            uplink.publish(RESULTS, MESSAGE)
            time.sleep(0.05)
    cloud.mend()
    publish_patiently(uplink, RESULTS, MESSAGE)
    assert cloud.arrived() == MESSAGE
    cloud.answer(ANSWER)
    assert next(uplink.messages()) == Inbound(ACKS, ANSWER)


def test_what_was_sent_is_forgotten(ends: Ends) -> None:
    uplink, cloud = ends
    alive = []
    for _ in range(2):
        for _ in range(20):
            publish_patiently(uplink, RESULTS, MESSAGE)
            assert cloud.arrived() == MESSAGE
        gc.collect()
        # by type(): asked for their class, some objects of other libraries warn
        kinds = Counter(map(type, gc.get_objects()))
        alive.append(sum(kinds[kind] for kind in kinds if issubclass(kind, Future | _ProtocolContinuationHandler)))
    assert alive[1] <= alive[0] + 5, "a year has half a million minutes"


def test_closing_ends_the_messages(ends: Ends) -> None:
    uplink, _ = ends
    threading.Timer(0.1, uplink.close).start()
    assert list(uplink.messages()) == []


def test_after_closing_nothing_is_taken_and_closing_again_is_harmless(ends: Ends) -> None:
    uplink, _ = ends
    publish_patiently(uplink, RESULTS, MESSAGE)
    uplink.close()
    with pytest.raises(UplinkError):
        uplink.publish(RESULTS, MESSAGE)
    uplink.close()


def test_a_closed_connection_to_a_broker_has_no_socket_left(broker: LocalBroker, authority: Authority) -> None:
    before = sockets()
    identity = authority.device(THING).broker(broker.host, broker.port)
    connection = Connection(identity, client_id=THING, subscriptions=[ACKS])
    assert connection.wait_until_ready(20)
    connection.close()
    assert sockets() <= before


def test_what_is_larger_than_any_answer_of_ours_breaks_nothing(ends: Ends) -> None:
    uplink, cloud = ends
    publish_patiently(uplink, RESULTS, MESSAGE)
    cloud.arrived()
    cloud.answer(b"x" * 200_000)
    cloud.answer(ANSWER)
    messages = uplink.messages()
    # some uplinks keep it to themselves; those that don't leave it to the shipper to say so
    while (message := next(messages)).payload != ANSWER:
        assert len(message.payload) == 200_000


@pytest.mark.parametrize("kind", ["mqtt", "aws"])
def test_a_message_of_just_the_limit_arrives(
    kind: Literal["mqtt", "aws"], broker: LocalBroker, authority: Authority, stack: ExitStack
) -> None:
    uplink, cloud = mqtt_ends(kind, broker, authority, stack)
    largest = random.Random(0).randbytes(uplink.limit_bytes - len(RESULTS))
    publish_patiently(uplink, RESULTS, largest)
    assert cloud.arrived() == largest


def test_a_broker_that_takes_less_than_ours_is_told_apart_from_one_that_is_away(
    broker: LocalBroker, authority: Authority, stack: ExitStack
) -> None:
    if broker.kind != "mosquitto":
        pytest.skip("the embedded broker knows no MQTT 5; install mosquitto")
    with (broker.folder / "mosquitto.conf").open("a") as config:
        config.write("max_packet_size 50000\n")
    broker.close()
    broker.start()
    uplink, cloud = mqtt_ends("aws", broker, authority, stack)
    publish_patiently(uplink, RESULTS, MESSAGE)
    assert cloud.arrived() == MESSAGE
    with pytest.raises(UplinkError, match="at most 50000 bytes; set limit_bytes of the uplink to 49984 or less"):
        uplink.publish(RESULTS, b"x" * 49_984)
    largest = b"x" * (49_984 - len(RESULTS))
    uplink.publish(RESULTS, largest)
    assert cloud.arrived() == largest


def test_a_topic_that_the_policy_does_not_name_is_refused_and_said(
    broker: LocalBroker, authority: Authority, stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    uplink, cloud = mqtt_ends("aws", broker, authority, stack)
    publish_patiently(uplink, RESULTS, MESSAGE)
    cloud.arrived()
    uplink.publish(results_topic("another"), MESSAGE)
    uplink.publish(results_topic("another"), MESSAGE)
    uplink.publish(RESULTS, MESSAGE)
    assert cloud.arrived() == MESSAGE

    def said() -> int:
        return sum("it refuses what is published" in record.message for record in caplog.records)

    until = time.monotonic() + 10
    while not said() and time.monotonic() < until:  # the broker's answers come on a thread of the SDK's
        time.sleep(0.01)
    assert said() == 1


@pytest.mark.parametrize("kind", ["mqtt", "aws"])
def test_small_messages_do_not_wait_for_one_another(
    kind: Literal["mqtt", "aws"], broker: LocalBroker, authority: Authority, stack: ExitStack
) -> None:
    uplink, _ = mqtt_ends(kind, broker, authority, stack)
    publish_patiently(uplink, RESULTS, MESSAGE)
    assert [without_delay for without_delay in connections_to(broker.port) if not without_delay] == []
    # one is this process' own: ingest's stand-in
    assert len(connections_to(broker.port)) == 2


# paho forgets its socket when a handshake fails; Python closes it
forgetful = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@forgetful
@pytest.mark.parametrize("kind", ["mqtt", "aws"])
def test_an_impostor_hears_nothing(
    kind: Literal["mqtt", "aws"], authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # that the same client does speak to a server that is right, the next test but one shows
    own = authority.device(THING)
    identities = {
        "of another authority": Authority(tmp_path / "another").server(),
        "of another name": authority.server_elsewhere("elsewhere.example"),
        "of yesterday": authority.server_of_before(),
    }
    with ExitStack() as stack:
        impostors = {
            what: stack.enter_context(Impostor(identity, clients=authority.ca)) for what, identity in identities.items()
        }
        uplinks = []
        for impostor in impostors.values():
            config = UplinkConfig(kind, "localhost", impostor.port, own.ca, own.certificate, own.key)
            uplinks.append(uplink := open_uplink(config, gateway=THING))
            stack.callback(uplink.close)
        for what, impostor in impostors.items():
            impostor.wait(40)
            assert (impostor.heard, impostor.turned_away > 0) == (b"", True), what
        for uplink in uplinks:
            with pytest.raises(UplinkError, match="not connected"):
                uplink.publish(RESULTS, MESSAGE)


@forgetful
@pytest.mark.parametrize("kind", ["mqtt", "aws"])
def test_a_broker_that_only_ever_listens_does_not_keep_a_gateway_from_leaving(
    kind: Literal["mqtt", "aws"], authority: Authority
) -> None:
    own = authority.device(THING)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        uplink = open_uplink(UplinkConfig(kind, "localhost", port, own.ca, own.certificate, own.key), gateway=THING)
        connection, _ = silent.accept()
        closing = threading.Thread(target=uplink.close)
        closing.start()
        closing.join(4)
        assert not closing.is_alive()
        connection.close()


@pytest.mark.parametrize(("kind", "version"), [("mqtt", 4), ("aws", 5)])
def test_a_gateway_that_may_not_hear_its_acknowledgements_says_why_and_sends_nothing_until_it_may(
    kind: Literal["mqtt", "aws"],
    version: int,
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (uplink_aws, uplink_mqtt):
        monkeypatch.setattr(module, "_ASK_AGAIN_S", 0.2)
    own = authority.device(THING)
    with ExitStack() as stack:
        broker = stack.enter_context(Unwilling(authority.server(), clients=authority.ca, version=version))
        config = UplinkConfig(kind, "localhost", broker.port, own.ca, own.certificate, own.key)
        uplink = open_uplink(config, gateway=THING)
        stack.callback(uplink.close)
        deadline = time.monotonic() + 20
        while f"subscription to {ACKS}" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(UplinkError, match=f"subscri.* to {ACKS}"):
            uplink.publish(RESULTS, MESSAGE)
        broker.refuses = False
        publish_patiently(uplink, RESULTS, MESSAGE)


@pytest.mark.parametrize(("kind", "version"), [("mqtt", 4), ("aws", 5)])
def test_a_broker_that_answers_for_nothing_does_not_fill_the_memory(
    kind: Literal["mqtt", "aws"], version: int, authority: Authority
) -> None:
    own = authority.device(THING)
    with ExitStack() as stack:
        broker = stack.enter_context(Unwilling(authority.server(), clients=authority.ca, version=version))
        broker.refuses = False
        broker.hangs = True
        config = UplinkConfig(kind, "localhost", broker.port, own.ca, own.certificate, own.key)
        stack.callback((uplink := open_uplink(config, gateway=THING)).close)
        publish_patiently(uplink, RESULTS, MESSAGE)
        for _ in range(UNANSWERED - 1):
            uplink.publish(RESULTS, MESSAGE)
        for _ in range(3):
            with pytest.raises(UplinkError, match="has not answered for 16 messages"):
                uplink.publish(RESULTS, MESSAGE)


@pytest.mark.parametrize(("kind", "version"), [("mqtt", 4), ("aws", 5)])
def test_a_broker_that_talks_rubbish_is_connected_to_again(
    kind: Literal["mqtt", "aws"], version: int, authority: Authority
) -> None:
    own = authority.device(THING)
    connack = b"\x20\x03\x00\x00\x00" if version == 5 else b"\x20\x02\x00\x00"
    with ExitStack() as stack:
        broker = stack.enter_context(Unwilling(authority.server(), clients=authority.ca, version=version))
        broker.refuses = False
        broker.rubbish = [
            connack + b"\x32\x09\x00\x05\xff\xfe\xfd\xfc\xfb\x00\x01",  # a topic that is no UTF-8
            connack + b"\x90\x01\x00" + b"\x40\x00",  # packets that are too short for what they are
            b"\xf0\xff\xff\xff\xff\xff",
        ]
        uplink = open_uplink(
            UplinkConfig(kind, "localhost", broker.port, own.ca, own.certificate, own.key), gateway=THING
        )
        stack.callback(uplink.close)
        deadline = time.monotonic() + 60
        while broker.rubbish and time.monotonic() < deadline:
            with contextlib.suppress(UplinkError):  # or it is taken, and goes nowhere
                uplink.publish(RESULTS, MESSAGE)
            time.sleep(0.05)
        assert not broker.rubbish
        publish_patiently(uplink, RESULTS, MESSAGE)


def connections_to(port: int) -> list[bool]:
    """Of each TCP connection of this process to the port: whether it sends without delay."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as own:
                if own.family in (socket.AF_INET, socket.AF_INET6) and own.getpeername()[1] == port:
                    found.append(bool(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        except OSError:
            continue
    return found


def test_a_cloud_that_is_away_at_the_start_is_no_error_until_something_is_published(broker: LocalBroker) -> None:
    broker.close()
    uplink = open_uplink(UplinkConfig("mqtt", "localhost", broker.port), gateway=THING)
    with pytest.raises(UplinkError, match="not connected"):
        uplink.publish(RESULTS, MESSAGE)
    uplink.close()


def test_an_ipc_uplink_opens_its_connection_again_after_the_nucleus_closed_it(
    broker: LocalBroker, authority: Authority, nucleus: Connection, stack: ExitStack
) -> None:
    uplink, cloud = ipc_ends(broker, authority, stack, nucleus)
    uplink.publish(RESULTS, MESSAGE)
    assert cloud.arrived() == MESSAGE
    uplink.limit_bytes = 10_000  # type: ignore[misc]
    with pytest.raises(UplinkError, match="the connection to the nucleus is gone"):
        uplink.publish(RESULTS, b"x" * 9_000)
    publish_patiently(uplink, RESULTS, MESSAGE)
    assert cloud.arrived() == MESSAGE
    cloud.answer(ANSWER)
    assert next(uplink.messages()) == Inbound(ACKS, ANSWER)


def test_opening_the_connection_again_and_again_leaves_no_threads_behind(
    broker: LocalBroker, authority: Authority, nucleus: Connection, stack: ExitStack
) -> None:
    uplink, _ = ipc_ends(broker, authority, stack, nucleus)
    uplink.limit_bytes = 10_000  # type: ignore[misc]

    def reopen() -> int:
        publish_patiently(uplink, RESULTS, MESSAGE)
        with pytest.raises(UplinkError):
            uplink.publish(RESULTS, b"x" * 9_000)
        return len(list(Path("/proc/self/task").iterdir()))

    counts = [reopen() for _ in range(30)]
    assert counts[-1] <= counts[0] + 3, counts


def test_a_topic_that_access_control_does_not_name_is_refused_with_advice(nucleus: Connection) -> None:
    uplink = open_uplink(UplinkConfig("ipc"), gateway=THING)
    with pytest.raises(UplinkError, match="accessControl of this component's configuration must allow it"):
        uplink.publish("elsewhere", MESSAGE)
    uplink.close()


def test_ipc_outside_greengrass_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SVCUID", raising=False)
    with pytest.raises(ConfigError, match="is for a component that Greengrass started"):
        open_uplink(UplinkConfig("ipc"), gateway=THING)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        (UplinkConfig("mqtt"), "needs host"),
        (UplinkConfig("aws", "iot.example", 8883, Path("ca.pem")), "needs host .*, ca, certificate and key"),
        (
            UplinkConfig("aws", "localhost", 8883, Path("/nowhere"), Path("/nowhere"), Path("/nowhere")),
            "TLS files of the broker cannot be used",
        ),
        (UplinkConfig("mqtt", "broker.example"), "needs TLS: set ca"),
        (UplinkConfig("mqtt", "127.0.0.1", 1883, ca=Path("/nowhere.pem")), "TLS files of the broker cannot be used"),
    ],
)
def test_a_broker_is_verified_or_refused(config: UplinkConfig, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        open_uplink(config, gateway=THING)
