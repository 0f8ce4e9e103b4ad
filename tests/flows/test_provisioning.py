"""From a device without a name to one that reports, and on to its next certificate: desk, cloud and device together."""

import json
import queue
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from edge.config import UplinkConfig
from edge.enrol import enrol
from edge.identity import CURRENT, switch
from edge.uplink import Inbound, Uplink, open_uplink
from edge.uplink_aws import AwsUplink
from greengrass.groups import things_in
from greengrass.provision import certificates
from models.errors import UplinkError
from models.mqtt import Broker, Connection
from models.topics import acks_topic, results_topic
from simulator.authority import Authority
from simulator.aws import Aws
from simulator.broker import INGEST, LocalBroker
from simulator.control.faults import Fault
from simulator.device_door import DeviceDoor
from tidegate import main

WAIT_S = 15
ROLE = "arn:aws:iam::123456789012:role/tidegate"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@dataclass(frozen=True, slots=True)
class Site:
    """An account, its broker behind its door, and a desk and devices with folders in `folder`."""

    folder: Path
    aws: Aws
    authority: Authority
    broker: LocalBroker
    door: DeviceDoor
    ingest: Connection

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(f"//{self.door.address}")
        return parts.hostname or "", parts.port or 0

    def identity(self, device: str) -> Path:
        return self.folder / device / "identity"

    def at(self, folder: Path) -> Broker:
        """The door, with the key and certificate in a folder."""
        return Broker(*self.address, self.authority.ca, folder / "certificate.pem", folder / "private.key")

    def connect(self, device: str) -> Connection:
        broker = self.at(self.identity(device) / CURRENT)
        connection = Connection(broker, client_id=device, subscriptions=[acks_topic(device)])
        assert connection.wait_until_ready(WAIT_S)
        return connection

    def expect(self, topic: str, payload: bytes) -> None:
        """Ingest receives this next."""
        message = self.ingest.receive(WAIT_S)
        assert message is not None
        assert (message.topic, message.payload) == (topic, payload)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder / "certificates")
    broker = LocalBroker(folder / "broker", authority)
    broker.start()
    with Aws(folder / "control-plane", authority=authority) as aws:
        plane = aws.control_plane
        with DeviceDoor(plane.account, plane.enrolment, authority, (broker.host, broker.port)) as door:
            plane.iot.data_endpoint = door.address
            identity = authority.device(INGEST).broker(broker.host, broker.port)
            with Connection(identity, client_id=INGEST, subscriptions=["tidegate/v1/results/#"]) as ingest:
                assert ingest.wait_until_ready(WAIT_S)
                yield Site(folder, aws, authority, broker, door, ingest)
    broker.close()


@pytest.fixture
def site(opened: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    opened.aws.forget()
    for name, value in opened.aws.environment.items():
        monkeypatch.setenv(name, value)
    iot = boto3.client("iot")
    iot.create_role_alias(roleAlias="tidegate", roleArn=ROLE)
    iot.create_policy(policyName="tidegate-core-device", policyDocument='{"Version": "2012-10-17", "Statement": []}')
    iot.close()
    return Site(tmp_path, opened.aws, opened.authority, opened.broker, opened.door, opened.ingest)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run(*arguments: str) -> Any:
        capsys.readouterr()
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def _provision(site: Site, call: Callable[..., Any], device: str) -> str:
    """What docs/provisioning.md says for one device; its certificate's id."""
    where = ("--folder", str(site.identity(device)))
    out = site.folder / "desk"
    request = call("gateway", "identity", "request", *where, "--name", device)["request"]
    call("provision", "device", device, "--csr", request, "--group", "shop", "--out", str(out))
    certificate = str(out / device / "certificate.pem")
    return str(call("gateway", "identity", "install", *where, certificate)["certificate"])


def _claim(site: Site, call: Callable[..., Any]) -> Path:
    claim = site.folder / "claim"
    call("provision", "claim", "plant", "--group", "shop", "--role-arn", ROLE, "--out", str(claim))
    return claim


def test_a_device_whose_key_never_left_it_reports_as_itself_and_as_nobody_else(
    site: Site, call: Callable[..., Any]
) -> None:
    _provision(site, call, "line-1")

    with site.connect("line-1") as device:
        device.publish(results_topic("line-2"), b"forged")
        device.publish(results_topic("line-1"), b"batch")
        site.expect(results_topic("line-1"), b"batch")
        site.ingest.publish(acks_topic("line-1"), b"ack")
        assert device.receive(WAIT_S) is not None
    # and its key was not sent along
    assert not list((site.folder / "desk").rglob("*.key"))


def test_the_uplink_to_aws_goes_through_the_same_door(site: Site, call: Callable[..., Any]) -> None:
    if site.broker.kind != "mosquitto":
        pytest.skip("mosquitto is not installed, and the embedded broker knows no MQTT 5")
    _provision(site, call, "line-1")
    current = site.identity("line-1") / CURRENT
    host, port = site.address

    uplink = AwsUplink(
        host=host, port=port, ca=site.authority.ca, certificate=current / "certificate.pem",
        key=current / "private.key", client_id="line-1", subscription=acks_topic("line-1"), limit_bytes=5000,
    )  # fmt: skip
    _until(lambda: _published(uplink))
    site.expect(results_topic("line-1"), b"batch")
    uplink.close()


def test_many_devices_provision_themselves_by_one_claim(site: Site, call: Callable[..., Any]) -> None:
    claim = _claim(site, call)

    for device in ("line-1", "line-2"):
        call(
            "gateway", "identity", "claim", "--folder", str(site.identity(device)), "--name", device,
            "--template", "plant", "--claim", str(claim), "--endpoint", site.door.address,
            "--ca", str(site.authority.ca),
        )  # fmt: skip

    assert things_in("shop") == ("line-1", "line-2")
    with site.connect("line-1") as one, site.connect("line-2") as two:
        for device, connection in (("line-1", one), ("line-2", two)):
            connection.publish(results_topic(device), b"batch")
            site.expect(results_topic(device), b"batch")


def test_a_throttled_cloud_is_asked_again(site: Site, call: Callable[..., Any]) -> None:
    claim = _claim(site, call)
    site.aws.control_plane.faults.inject(
        Fault("CreateCertificateFromCsr", "throttle", times=2), Fault("RegisterThing", "fail", times=1)
    )
    waits: list[float] = []
    folder = site.identity("line-1")

    staged = enrol(folder, name="line-1", template="plant", broker=site.at(claim), sleep=waits.append)
    switch(folder, staged)

    assert len(waits) == 3
    site.connect("line-1").close()


def test_an_answer_that_gets_lost_costs_a_certificate_and_no_device(site: Site, call: Callable[..., Any]) -> None:
    claim = _claim(site, call)
    site.aws.control_plane.faults.inject(Fault("RegisterThing", "lose", times=1))
    folder = site.identity("line-1")

    staged = enrol(
        folder, name="line-1", template="plant", broker=site.at(claim), answer_s=0.5, sleep=lambda seconds: None
    )
    used = switch(folder, staged)

    site.connect("line-1").close()
    assert len(certificates("line-1")) == 2
    call("provision", "retire", "line-1", "--keep", used)
    site.connect("line-1").close()


@pytest.mark.parametrize(
    ("template", "said"), [("plant", "not authorized to perform: iot:RegisterThing"), ("none", "no template none is")]
)
def test_a_cloud_that_refuses_is_quoted(site: Site, call: Callable[..., Any], template: str, said: str) -> None:
    claim = _claim(site, call)
    if template == "plant":
        site.aws.control_plane.faults.inject(Fault("RegisterThing", "deny"))

    with pytest.raises(UplinkError, match=said):
        enrol(site.identity("line-1"), name="line-1", template=template, broker=site.at(claim))
    assert certificates("line-1") == ()


def test_a_claim_that_has_ended_is_not_let_in_and_one_that_is_in_may_do_no_more(
    site: Site, call: Callable[..., Any]
) -> None:
    claim = _claim(site, call)
    with Connection(site.at(claim), client_id="tidegate-claim-x", subscriptions=["$aws/certificates/#"]) as thief:
        assert thief.wait_until_ready(WAIT_S)
        thief.publish(results_topic("line-1"), b"forged")
        assert site.ingest.receive(1) is None

    iot = boto3.client("iot")
    (certificate,) = iot.list_certificates()["certificates"]
    iot.update_certificate(certificateId=certificate["certificateId"], newStatus="INACTIVE")
    iot.close()
    with pytest.raises(UplinkError, match="did not let the claim in within 1 s"):
        enrol(site.identity("line-1"), name="line-1", template="plant", broker=site.at(claim), connect_s=1)


def test_a_certificate_is_rotated_without_a_gap_and_without_a_restart(site: Site, call: Callable[..., Any]) -> None:
    old = _provision(site, call, "line-1")
    where = ("--folder", str(site.identity("line-1")))
    out = site.folder / "desk"
    with site.connect("line-1") as device:
        request = call("gateway", "identity", "request", *where, "--name", "line-1")["request"]
        new = call("provision", "rotate", "line-1", "--csr", request, "--out", str(out))["certificate"]
        device.publish(results_topic("line-1"), b"by the old one")
        site.expect(results_topic("line-1"), b"by the old one")

        # tried before it is used: the connection by the same name is interrupted, and comes back by itself
        certificate = str(out / "line-1" / "certificate.pem")
        endpoint = ("--endpoint", site.door.address, "--ca", str(site.authority.ca), "--name", "line-1")
        assert call("gateway", "identity", "install", *where, certificate, *endpoint)["certificate"] == new
        assert device.wait_until_ready(WAIT_S)

        call("provision", "retire", "line-1", "--keep", new)
        _until(lambda: not device.connected)
        assert device.wait_until_ready(WAIT_S)
        device.publish(results_topic("line-1"), b"by the new one")
        site.expect(results_topic("line-1"), b"by the new one")

    assert {item.id: item.status for item in certificates("line-1")} == {old: "INACTIVE", new: "ACTIVE"}


def test_the_uplink_to_aws_takes_the_new_certificate_when_the_old_one_ends(
    site: Site, call: Callable[..., Any]
) -> None:
    if site.broker.kind != "mosquitto":
        pytest.skip("mosquitto is not installed, and the embedded broker knows no MQTT 5")
    _provision(site, call, "line-1")
    current = site.identity("line-1") / CURRENT
    host, port = site.address
    config = UplinkConfig(
        kind="aws", host=host, port=port, ca=site.authority.ca, certificate=current / "certificate.pem",
        key=current / "private.key",
    )  # fmt: skip
    uplink = open_uplink(config, gateway="line-1")
    heard: queue.Queue[Inbound] = queue.Queue()

    def listen() -> None:
        for message in uplink.messages():
            heard.put(message)

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        _until(lambda: _published(uplink))
        site.expect(results_topic("line-1"), b"batch")
        where = ("--folder", str(site.identity("line-1")))
        out = site.folder / "desk"
        request = call("gateway", "identity", "request", *where, "--name", "line-1")["request"]
        new = call("provision", "rotate", "line-1", "--csr", request, "--out", str(out))["certificate"]
        call("gateway", "identity", "install", *where, str(out / "line-1" / "certificate.pem"))
        assert _published(uplink)  # by the old one still
        site.expect(results_topic("line-1"), b"batch")

        call("provision", "retire", "line-1", "--keep", new)
        _until(lambda: not _published(uplink))
        _until(lambda: _published(uplink))
        site.ingest.publish(acks_topic("line-1"), b"ack")
        assert heard.get(timeout=WAIT_S).payload == b"ack"
    finally:
        uplink.close()
        listening.join()
        while site.ingest.receive(0.2) is not None:
            pass  # what was published while waiting


def test_a_certificate_that_does_not_work_is_not_used(
    site: Site, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("edge.commands.gateway_identity._CONNECT_S", 1.0)
    old = _provision(site, call, "line-1")
    where = ("--folder", str(site.identity("line-1")))
    request = call("gateway", "identity", "request", *where, "--name", "line-1")["request"]
    rotated = call("provision", "rotate", "line-1", "--csr", request, "--out", str(site.folder / "desk"))
    iot = boto3.client("iot")
    iot.update_certificate(certificateId=rotated["certificate"], newStatus="INACTIVE")
    iot.close()

    endpoint = ["--endpoint", site.door.address, "--ca", str(site.authority.ca), "--name", "line-1"]
    certificate = str(site.folder / "desk" / "line-1" / "certificate.pem")
    assert main(["gateway", "identity", "install", *where, certificate, *endpoint]) == 1

    assert "the old one stays in use" in capsys.readouterr().err
    assert call("gateway", "identity", "show", *where)["certificate"] == old


def test_whoever_talks_rubbish_at_the_door_is_shown_out_and_others_are_not_disturbed(
    site: Site, call: Callable[..., Any]
) -> None:
    _provision(site, call, "line-1")
    with site.connect("line-1") as device:
        for rubbish in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 8):
            with socket.create_connection(site.address, 5) as stranger:
                stranger.sendall(rubbish)

        device.publish(results_topic("line-1"), b"batch")
        site.expect(results_topic("line-1"), b"batch")


def _published(uplink: Uplink) -> bool:
    try:
        uplink.publish(results_topic("line-1"), b"batch")
    except UplinkError:
        return False
    return True


def _until(happens: Callable[[], bool]) -> None:
    for _ in range(WAIT_S * 50):
        if happens():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")
