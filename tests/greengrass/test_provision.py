"""Identities: made once, for keys that never leave the device, and usable only when all is done."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from greengrass.csr import make_key, public_key_of, read_request
from greengrass.groups import things_in
from greengrass.provision import certificates, groups_of, policies_of
from greengrass.things import THING_TYPE, Description, describe
from models.errors import UsageError
from simulator.aws import Aws
from simulator.control.faults import Fault
from tests.greengrass.world import Cloud, answer_of, error_of
from tidegate import main

ROLE = "arn:aws:iam::123456789012:role/fetches-artifacts"


@pytest.fixture
def iot(cloud: Cloud, local_cloud: Aws) -> Iterator[Cloud]:
    """An account with a broker's address and a role alias."""
    local_cloud.control_plane.iot.data_endpoint = "broker.example:8883"
    cloud.iot.create_role_alias(roleAlias="tidegate", roleArn=ROLE)
    yield cloud
    local_cloud.control_plane.iot.data_endpoint = ""


@pytest.fixture
def csr(tmp_path: Path) -> str:
    return _csr(tmp_path / "one.csr")


def _csr(file: Path) -> str:
    file.write_bytes(make_key(file.stem)[1])
    return str(file)


@pytest.fixture
def provision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """`tidegate provision` with a folder of its own."""

    def call(action: str, *arguments: str) -> Any:
        out = ("--out", str(tmp_path / "out")) if action in ("device", "rotate", "claim") else ()
        return answer_of(capsys, "provision", action, *arguments, *out)

    return call


def test_a_device_gets_a_certificate_for_its_own_key_under_a_policy_in_its_groups(
    iot: Cloud, csr: str, provision: Any, tmp_path: Path
) -> None:
    made = provision("device", "one", "--csr", csr, "--group", "shop", "--group", "shop_coco-ring-0")

    (certificate,) = certificates("one")
    assert public_key_of(certificate.pem) == read_request(Path(csr).read_bytes(), csr).public_key
    assert (certificate.id, certificate.status) == (made["certificate"], "ACTIVE")
    assert policies_of(certificate) == ("tidegate-core-device",)
    document = iot.iot.get_policy(policyName="tidegate-core-device")["policyDocument"]
    assert "${iot:Connection.Thing.ThingName}" in document
    assert things_in("shop") == ("one",)
    assert things_in("shop_coco-ring-0") == ("one",)
    assert (tmp_path / "out" / "one" / "certificate.pem").read_text() == certificate.pem


@pytest.mark.parametrize(("kind", "service"), [("lite", "NucleusLite"), ("java", "Nucleus")])
def test_a_nucleus_gets_the_settings_that_it_reads(
    iot: Cloud, csr: str, provision: Any, tmp_path: Path, kind: str, service: str
) -> None:
    provision("device", "one", "--csr", csr, "--nucleus", kind)

    settings = yaml.safe_load((tmp_path / "out" / "one" / "nucleus.yaml").read_bytes())
    assert settings["system"]["thingName"] == "one"
    assert settings["system"]["privateKeyPath"] == "/etc/tidegate/identity/current/private.key"
    configuration = settings["services"][f"aws.greengrass.{service}"]["configuration"]
    assert configuration["iotDataEndpoint"] == "broker.example:8883"
    assert (configuration["awsRegion"], configuration["iotRoleAlias"]) == ("eu-central-1", "tidegate")


def test_a_gateway_without_a_nucleus_gets_its_uplink_and_no_role(
    iot: Cloud, csr: str, provision: Any, tmp_path: Path
) -> None:
    iot.iot.delete_role_alias(roleAlias="tidegate")

    made = provision("device", "one", "--csr", csr, "--nucleus", "none")

    assert made["policy"] == "tidegate-gateway"
    uplink = (tmp_path / "out" / "one" / "uplink.toml").read_text()
    assert 'host = "broker.example"\nport = 8883' in uplink


def test_provisioning_again_makes_nothing_twice(iot: Cloud, csr: str, provision: Any) -> None:
    first = provision("device", "one", "--csr", csr, "--group", "shop")
    again = provision("device", "one", "--csr", csr, "--group", "shop")

    assert again["certificate"] == first["certificate"]
    assert len(iot.iot.list_certificates()["certificates"]) == 1


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(iot: Cloud, csr: str, provision: Any) -> None:
    said = provision("device", "one", "--csr", csr, "--group", "shop", "--dry-run")

    assert (said["new_thing"], said["new_certificate"], said["new_groups"]) == (True, True, ["shop"])
    assert iot.iot.list_things()["things"] == []
    assert iot.iot.list_certificates()["certificates"] == []
    assert things_in("shop") is None


class Died(BaseException):
    """What kill -9 would be."""


def test_whenever_it_is_killed_no_door_is_open_and_the_same_call_again_goes_on(
    iot: Cloud, provision: Any, tmp_path: Path
) -> None:
    calls = dies_at = number = 0

    def count(**_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == dies_at:
            raise Died

    iot.aws.iot.meta.events.register("after-call", count)
    try:
        finished = False
        while not finished:
            number += 1
            thing = f"gateway-{number}"
            arguments = ("device", thing, "--csr", _csr(tmp_path / f"{thing}.csr"), "--group", "shop")
            dies_at, calls = number, 0
            try:
                provision(*arguments)
                finished = True
            except Died:
                dies_at = 0
                groups = groups_of(thing)
                if any(item.active for item in certificates(thing)):
                    assert groups == ("shop",)
                provision(*arguments)
            dies_at = 0
            (certificate,) = certificates(thing)
            assert certificate.active
            assert groups_of(thing) == ("shop",)
    finally:
        iot.aws.iot.meta.events.unregister("after-call", count)
    assert number > 10
    # of those that died before they could write down what they got, nothing that works is left
    listed = iot.iot.list_certificates()["certificates"]
    assert sum(item["status"] == "ACTIVE" for item in listed) == number
    assert len(listed) <= number + 1


def test_rings_of_one_model_are_disjoint(
    iot: Cloud, csr: str, provision: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    provision("device", "one", "--csr", csr, "--group", "shop_coco-ring-1", "--group", "shop_dog-ring-0")

    said = error_of(capsys, 2, "provision", "device", "one", "--csr", csr, "--group", "shop_coco-ring-0")

    assert "one would be in the rings shop_coco-ring-0 and shop_coco-ring-1" in said
    assert things_in("shop_coco-ring-0") is None


def test_a_policy_of_that_name_that_says_something_else_is_left_and_said(iot: Cloud, csr: str, provision: Any) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": []})
    iot.iot.create_policy(policyName="tidegate-core-device", policyDocument=document)

    assert provision("device", "one", "--csr", csr)["policy_is_ours"] is False
    assert iot.iot.get_policy(policyName="tidegate-core-device")["policyDocument"] == document


def test_without_a_role_alias_nothing_is_made(
    iot: Cloud, csr: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    iot.iot.delete_role_alias(roleAlias="tidegate")

    said = error_of(capsys, 1, "provision", "device", "one", "--csr", csr, "--out", str(tmp_path / "out"))
    assert "there is no role alias 'tidegate'" in said
    assert iot.iot.list_things()["things"] == []

    made = answer_of(
        capsys, "provision", "device", "one", "--csr", csr, "--out", str(tmp_path / "out"), "--role-arn", ROLE
    )
    assert made["certificate"]
    assert iot.iot.describe_role_alias(roleAlias="tidegate")["roleAliasDescription"]["roleArn"] == ROLE


def test_a_permission_that_is_missing_is_named(
    iot: Cloud, csr: str, local_cloud: Aws, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    local_cloud.control_plane.faults.inject(Fault("CreateCertificateFromCsr", "deny"))

    said = error_of(capsys, 1, "provision", "device", "one", "--csr", csr, "--out", str(tmp_path / "out"))

    assert "the permission iot:CreateCertificateFromCsr on arn:aws:iot:eu-central-1:123456789012:*" in said


# -- rotation


def test_a_rotation_adds_a_certificate_and_ends_the_old_one_only_when_told_which_is_used(
    iot: Cloud, csr: str, provision: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = provision("device", "one", "--csr", csr, "--group", "shop")["certificate"]

    turned = provision("rotate", "one", "--csr", _csr(tmp_path / "next.csr"))
    new = turned["certificate"]
    assert turned["still_active"] == [old]
    assert {item.id: item.status for item in certificates("one")} == {old: "ACTIVE", new: "ACTIVE"}
    assert [policies_of(item) for item in certificates("one")] == [("tidegate-core-device",)] * 2
    assert provision("rotate", "one", "--csr", str(tmp_path / "next.csr"))["certificate"] == new

    assert "no active certificate f00" in error_of(capsys, 1, "provision", "retire", "one", "--keep", "f00")
    foreseen = provision("retire", "one", "--keep", new, "--dry-run")
    assert foreseen["ended"] == [{"id": old, "was": "ACTIVE", "is": "INACTIVE"}]
    assert provision("retire", "one", "--keep", new)["ended"] == foreseen["ended"]
    assert {item.id: item.status for item in certificates("one")} == {old: "INACTIVE", new: "ACTIVE"}

    assert provision("retire", "one", "--keep", new, "--delete")["ended"][0]["is"] == "deleted"
    assert [item.id for item in certificates("one")] == [new]
    assert provision("retire", "one", "--keep", new, "--delete")["ended"] == []


def test_show_says_what_a_device_has(iot: Cloud, csr: str, provision: Any, capsys: pytest.CaptureFixture[str]) -> None:
    provision("device", "one", "--csr", csr, "--group", "shop")

    shown = provision("show", "one")
    assert shown["groups"] == ["shop"]
    assert [item["status"] for item in shown["certificates"]] == ["ACTIVE"]
    assert main(["provision", "show", "one"]) == 0
    assert "one is in shop" in capsys.readouterr().out


def test_a_device_that_is_removed_leaves_nothing(iot: Cloud, csr: str, provision: Any) -> None:
    provision("device", "one", "--csr", csr, "--group", "shop", "--group", "shop_coco-ring-0")
    iot.jobs.get_pending_job_executions(thingName="one")

    assert provision("remove", "one", "--dry-run")["groups"] == ["shop", "shop_coco-ring-0"]
    assert things_in("shop") == ("one",)
    provision("remove", "one")

    assert iot.iot.list_things()["things"] == []
    assert iot.iot.list_certificates()["certificates"] == []
    assert things_in("shop_coco-ring-0") == ()
    assert iot.aws.greengrass.list_core_devices()["coreDevices"] == []


# -- claims


def test_a_claim_can_do_nothing_but_ask_for_devices_own_certificates(
    iot: Cloud, provision: Any, tmp_path: Path
) -> None:
    made = provision("claim", "plant", "--group", "shop", "--role-arn", ROLE)
    again = provision("claim", "plant", "--group", "shop", "--role-arn", ROLE)

    assert made == again
    template = iot.iot.describe_provisioning_template(templateName="plant")
    thing = json.loads(template["templateBody"])["Resources"]["thing"]["Properties"]
    assert (template["enabled"], thing["ThingGroups"]) == (True, ["shop"])
    policy = json.loads(iot.iot.get_policy(policyName="plant-claim")["policyDocument"])
    assert {statement["Action"] for statement in policy["Statement"]} == {
        "iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive",
    }  # fmt: skip
    assert all("*" not in resource.rstrip("*") for s in policy["Statement"] for resource in s["Resource"])
    (certificate,) = iot.iot.list_certificates()["certificates"]
    assert certificate["status"] == "ACTIVE"
    assert (tmp_path / "out" / "private.key").stat().st_mode & 0o777 == 0o600


def test_a_template_that_says_something_else_is_not_overwritten(
    iot: Cloud, provision: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    provision("claim", "plant", "--group", "shop", "--role-arn", ROLE)

    said = error_of(capsys, 1, "provision", "claim", "plant", "--group", "store", "--role-arn", ROLE)

    assert "a provisioning template 'plant' already that says something else" in said


def test_a_claims_dry_run_makes_nothing(iot: Cloud, provision: Any) -> None:
    said = provision("claim", "plant", "--group", "shop", "--role-arn", ROLE, "--dry-run")

    assert (said["new_template"], said["new_claim"]) == (True, True)
    assert iot.iot.list_certificates()["certificates"] == []
    assert things_in("shop") is None


# -- what is no request


def _request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM)


def _forged() -> bytes:
    """A request whose signature does not belong to it."""
    request = x509.load_pem_x509_csr(make_key("one")[1])
    der = bytearray(request.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: b"", "is not a certificate signing request"),
        (lambda: b"\xff\xfe", "is not a certificate signing request"),
        (lambda: _request(ec.generate_private_key(ec.SECP256K1())), "AWS IoT takes the curves"),
        (lambda: _request(rsa.generate_private_key(65537, 1024)), "keys of RSA from 2048 bits on"),
        (_forged, "not signed by its own key"),
        (lambda: b"".join(make_key("one")), "must not leave the device"),
    ],
)  # fmt: skip
def test_what_is_no_request_is_said_before_aws_is_asked(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read_request(make(), "one.csr")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("thing", ["a/b", "", "ä"])
def test_a_name_that_aws_would_not_take_is_said(
    iot: Cloud, csr: str, capsys: pytest.CaptureFixture[str], thing: str
) -> None:
    assert main(["provision", "device", thing, "--csr", csr]) in (1, 2)
    assert iot.iot.list_things()["things"] == []


def test_what_a_device_is_can_be_said_at_once_and_later(
    iot: Cloud, csr: str, provision: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    provision("device", "line-1", "--csr", csr, "--hardware", "rpi5", "--site", "north")
    assert describe(["line-1"]) == {"line-1": Description("rpi5", "north")}

    said = provision("describe", "line-1", "--timezone", "Europe/Berlin", "--tag", "roof", "--tag", "dock")

    assert said["attributes"] == {"timezone": "Europe/Berlin", "tags": "dock,roof"}
    assert describe(["line-1"]) == {"line-1": Description("rpi5", "north", "Europe/Berlin", ("dock", "roof"))}
    assert main(["provision", "describe", "line-1", "--site", "south", "--dry-run"]) == 0
    assert "line-1 would be described: site south" in capsys.readouterr().out
    assert describe(["line-1"])["line-1"].site == "north"


def test_what_others_say_of_a_thing_stays(iot: Cloud, provision: Any) -> None:
    iot.iot.create_thing(thingName="line-9", attributePayload={"attributes": {"owner": "ann", "rack": "7"}})

    provision("describe", "line-9", "--hardware", "rpi5", "--site", "north")

    found = iot.iot.describe_thing(thingName="line-9")
    assert found["attributes"] == {"owner": "ann", "rack": "7", "hardware": "rpi5", "site": "north"}
    assert found["thingTypeName"] == THING_TYPE, "without one a thing has three attributes at most"


def test_many_things_are_read_in_few_calls(iot: Cloud) -> None:
    names = [f"many-{number:02d}" for number in range(30)]
    for name in names:
        iot.iot.create_thing(thingName=name, attributePayload={"attributes": {"site": name[-1]}})

    found = describe([*names, "nobody"])

    assert found == {name: Description(site=name[-1]) for name in names}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--timezone", "Berlin"), 2, "'Berlin' is no time zone; give an IANA name such as Europe/Berlin"),
        (("--timezone", "../etc/passwd"), 2, "is no time zone"),
        (("--site", "Am Markt 3"), 2, "--site must be of A-Z a-z 0-9"),
        (("--tag", "a,b"), 2, "--tag must be of A-Z a-z 0-9"),
        ((), 2, "nothing is said about it"),
        (("--site", "north"), 1, "there is no thing 'nobody'; make it with `tidegate provision device`"),
    ],
)
def test_a_wrong_description_is_told_in_one_line(
    iot: Cloud, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, message: str
) -> None:
    assert message in error_of(capsys, code, "provision", "describe", "nobody", *words)


def test_a_time_zone_that_somebody_else_wrote_wrong_is_named(iot: Cloud) -> None:
    iot.iot.create_thing(thingName="line-9", attributePayload={"attributes": {"timezone": "CEST"}})

    with pytest.raises(UsageError, match="thing line-9: 'CEST' is no time zone"):
        describe(["line-9"])
