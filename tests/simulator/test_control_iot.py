"""IoT's control plane: ours where moto's has holes, moto's else, and 501 where neither has it."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from mypy_boto3_iot import IoTClient

from greengrass.csr import certificate_id, make_key, public_key_of, read_request
from simulator.aws import REGION, Aws
from simulator.control.faults import Fault
from simulator.control.templates import check_template, fill
from simulator.restjson import ApiError

ROLE = "arn:aws:iam::123456789012:role/registers-things"
BODY = {
    "Parameters": {"Serial": {"Type": "String"}, "Site": {"Type": "String", "Default": "plant"}},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Fn::Join": ["-", ["gateway", {"Ref": "Serial"}]]},
                "ThingGroups": [{"Ref": "Site"}],
                "AttributePayload": {"serial": {"Ref": "Serial"}},
            },
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "gateways"}},
    },
}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("aws")) as local:
        yield local


@pytest.fixture
def iot(aws: Aws) -> Iterator[IoTClient]:
    aws.forget()
    client: IoTClient = boto3.client(
        "iot",
        endpoint_url=aws.control_plane.iot_endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    yield client
    client.close()


def test_a_certificate_is_for_the_key_that_asked_and_moto_knows_it(iot: IoTClient) -> None:
    request = make_key("ingest")[1]  # the name of another: it must not get that

    made = iot.create_certificate_from_csr(certificateSigningRequest=request.decode(), setAsActive=True)

    assert public_key_of(made["certificatePem"]) == read_request(request, "it").public_key
    assert made["certificateId"] == certificate_id(made["certificatePem"])
    subject = x509.load_pem_x509_certificate(made["certificatePem"].encode()).subject
    assert "ingest" not in subject.rfc4514_string()
    described = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert described["status"] == "ACTIVE"


def test_a_request_that_is_none_is_refused(iot: IoTClient) -> None:
    with pytest.raises(iot.exceptions.InvalidRequestException, match="signing request cannot be used"):
        iot.create_certificate_from_csr(certificateSigningRequest="not a request")


def test_what_moto_knows_is_motos_and_what_neither_knows_is_501(aws: Aws, iot: IoTClient) -> None:
    iot.create_thing(thingName="one", attributePayload={"attributes": {"site": "plant"}})
    assert iot.describe_thing(thingName="one")["attributes"] == {"site": "plant"}
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="two")

    with pytest.raises(ClientError, match="ListAuditTasks is not simulated") as caught:
        iot.list_audit_tasks(startTime="2026-01-01", endTime="2026-01-02")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_faults_hit_motos_operations_too(aws: Aws, iot: IoTClient) -> None:
    aws.control_plane.faults.inject(Fault("CreateThing", "deny", times=1))

    with pytest.raises(ClientError, match="not authorized to perform: iot:CreateThing"):
        iot.create_thing(thingName="one")
    assert iot.list_things()["things"] == []


def test_devices_find_the_broker_or_are_told_that_there_is_none(aws: Aws, iot: IoTClient) -> None:
    with pytest.raises(iot.exceptions.InvalidRequestException, match="runs without a broker"):
        iot.describe_endpoint(endpointType="iot:Data-ATS")


def test_a_template_comes_back_as_it_was_made(iot: IoTClient) -> None:
    arguments: Any = {"templateName": "plant", "templateBody": json.dumps(BODY), "provisioningRoleArn": ROLE}
    iot.create_provisioning_template(**arguments, enabled=True)

    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_provisioning_template(**arguments)
    found = iot.describe_provisioning_template(templateName="plant")
    assert (json.loads(found["templateBody"]), found["enabled"]) == (BODY, True)

    iot.update_provisioning_template(templateName="plant", enabled=False)
    (listed,) = iot.list_provisioning_templates()["templates"]
    assert (listed["templateName"], listed["enabled"]) == ("plant", False)

    iot.delete_provisioning_template(templateName="plant")
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_provisioning_template(templateName="plant")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "with Resources"),
        ('{"Resources": {}}', "must have one certificate"),
        ('{"Resources": {"x": {"Type": "AWS::S3::Bucket"}}}', "got AWS::S3::Bucket"),
    ],
)
def test_a_template_that_is_none_is_refused(body: str, said: str) -> None:
    with pytest.raises(ApiError, match=said):
        check_template(body)


def test_a_template_is_filled_with_what_the_device_says() -> None:
    filled = fill(BODY, {"Serial": "7", "Site": "mill"}, "abc")

    assert (filled.thing, filled.groups, filled.policies, filled.active) == (
        "gateway-7",
        ("mill",),
        ("gateways",),
        True,
    )
    assert filled.attributes == {"serial": "7"}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({}, "needs the parameter Serial"), ({"Serial": "7", "Colour": "red"}, "no parameter Colour")],
)
def test_a_parameter_that_is_missing_or_too_many_is_named(parameters: dict[str, str], said: str) -> None:
    with pytest.raises(ApiError, match=said):
        fill(BODY, parameters, "abc")
