"""A broker, and things that connect to it, on loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.mqtt import Broker
from simulator.authority import Authority
from simulator.broker import LocalBroker


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def broker(tmp_path: Path, authority: Authority) -> Iterator[LocalBroker]:
    """A broker with TLS and device certificates: mosquitto, or amqtt where that is not installed."""
    local = LocalBroker(tmp_path / "broker", authority)
    local.start()
    yield local
    local.close()


@pytest.fixture
def thing(broker: LocalBroker, authority: Authority) -> Callable[[str], Broker]:
    """How a thing of this name, with its certificate, connects to the broker."""
    return lambda name: authority.device(name).broker(broker.host, broker.port)
