"""The local broker lets each device speak for itself only, whichever program it is."""

import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import UplinkError
from models.mqtt import Broker, Connection, Message
from models.topics import acks_topic, results_filter, results_topic, shard_of
from simulator.authority import Authority
from simulator.broker import INGEST, LocalBroker

WAIT_S = 15


@pytest.fixture(scope="module", params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBroker]:
    if request.param == "mosquitto" and shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin") is None:
        pytest.skip("mosquitto is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    broker = LocalBroker(folder, Authority(folder / "certificates"), embedded=request.param == "amqtt")
    broker.start()
    yield broker
    broker.close()


class Client:
    """A connection whose messages can be waited for."""

    def __init__(self, broker: LocalBroker, folder: Path, name: str, *topics: str) -> None:
        identity = Authority(folder / "certificates").device(name)
        self.connection = Connection(identity.broker(broker.host, broker.port), client_id=name, subscriptions=topics)
        self.inbox: queue.Queue[Message] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()
        assert self.connection.wait_until_ready(WAIT_S)

    def _run(self) -> None:
        for message in self.connection.messages():
            self.inbox.put(message)


@pytest.fixture
def clients(broker: LocalBroker) -> Iterator[dict[str, Client]]:
    folder = broker.folder
    clients = {
        INGEST: Client(broker, folder, INGEST, results_filter(shard_of("honest")), results_filter(shard_of("evil"))),
        "honest": Client(broker, folder, "honest", acks_topic("honest")),
        "evil": Client(broker, folder, "evil", acks_topic("evil")),
    }
    yield clients
    for client in clients.values():
        client.connection.close()


def test_results_and_acknowledgements_reach_whom_they_are_for(clients: dict[str, Client]) -> None:
    clients["honest"].connection.publish(results_topic("honest"), b"batch")
    assert clients[INGEST].inbox.get(timeout=WAIT_S) == Message(results_topic("honest"), b"batch")
    clients[INGEST].connection.publish(acks_topic("honest"), b"ack")
    assert clients["honest"].inbox.get(timeout=WAIT_S).payload == b"ack"
    assert clients["evil"].inbox.empty()


def test_a_gateway_cannot_speak_for_another(clients: dict[str, Client]) -> None:
    clients["evil"].connection.publish(results_topic("honest"), b"forged")
    clients["evil"].connection.publish(acks_topic("honest"), b"forged")
    clients["honest"].connection.publish(results_topic("honest"), b"after")
    # what was forged came first, and did not get through
    assert clients[INGEST].inbox.get(timeout=WAIT_S).payload == b"after"
    assert clients["honest"].inbox.empty()


def test_whoever_shows_no_certificate_is_kept_out(broker: LocalBroker) -> None:
    ca = Authority(broker.folder / "certificates").ca
    with Connection(Broker(broker.host, broker.port, ca), client_id="nobody") as nobody:
        assert not nobody.wait_until_ready(2)
        with pytest.raises(UplinkError, match="not connected"):
            nobody.publish(results_topic("nobody"), b"hello")


def test_connections_come_back_after_the_broker_was_killed(broker: LocalBroker, clients: dict[str, Client]) -> None:
    broker.kill()
    broker.start()
    for client in clients.values():
        assert client.connection.wait_until_ready(WAIT_S)
    clients["honest"].connection.publish(results_topic("honest"), b"again")
    assert clients[INGEST].inbox.get(timeout=WAIT_S).payload == b"again"
