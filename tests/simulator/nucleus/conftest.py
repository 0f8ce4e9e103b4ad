"""A broker, and things that connect to it, on loopback."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from models.mqtt import Broker
from simulator.authority import Authority
from simulator.aws import Aws
from simulator.broker import LocalBroker
from tests.simulator.nucleus.desk import BUCKET, Desk


@pytest.fixture(autouse=True)
def _no_bug_is_only_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A device outlives its bugs and logs them; here they fail the test."""
    yield
    bugs = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.exc_info and record.name.startswith("simulator")
    ]
    assert not bugs


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[LocalBroker]:
    """A broker with TLS and device certificates: mosquitto, or amqtt where that is not installed.

    A test that kills it starts it again.
    """
    local = LocalBroker(tmp_path_factory.mktemp("broker"), authority)
    local.start()
    yield local
    local.close()


@pytest.fixture(scope="module")
def thing(broker: LocalBroker, authority: Authority) -> Callable[[str], Broker]:
    """How a thing of this name, with its certificate, connects to the broker."""
    return lambda name: authority.device(name).broker(broker.host, broker.port)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("control-plane")) as local:
        yield local


@pytest.fixture
def desk(aws: Aws, thing: Callable[[str], Broker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A cloud to deploy from, and the devices that a test starts."""
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack:
        desk = Desk(aws, thing, tmp_path, stack)
        with contextlib.suppress(desk.s3.exceptions.BucketAlreadyOwnedByYou):
            desk.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield desk


@pytest.fixture
def unique() -> str:
    """A prefix for names: the cloud is shared by all tests."""
    return f"t{uuid.uuid4().hex[:8]}"
