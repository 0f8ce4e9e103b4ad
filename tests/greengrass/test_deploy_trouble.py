"""Deploying when AWS throttles, refuses or loses answers, when others deploy too, and when whoever deploys dies."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from greengrass.aws import spoken_of
from greengrass.component import BuiltComponent, build_model
from greengrass.deploy import Pin, current_deployment, current_pins, deploy
from greengrass.register import register
from models.errors import DeployError
from simulator.aws import Aws
from simulator.control.faults import Fault
from tests.greengrass.world import Cloud, make_package

GATEWAY = "tidegate.Gateway"
MODEL = "tidegate.Model.coco"


@pytest.fixture
def shop(cloud: Cloud, gateway: BuiltComponent) -> Cloud:
    """A fleet of a gateway; the gateway component is registered."""
    cloud.add_group("shop", "one")
    register(gateway, cloud.store)
    return cloud


def test_what_somebody_else_deploys_at_the_same_moment_is_not_lost(shop: Cloud, tmp_path: Path) -> None:
    for release in (1, 2):
        register(build_model(make_package(tmp_path / str(release), release=release), tmp_path / "out"), shop.store)
    deploy("shop", {MODEL: Pin("1.0.0")})
    others = [{GATEWAY: Pin("0.1.0")}]

    def deploys_first(**_: object) -> None:
        if others:
            deploy("shop", others.pop())

    shop.aws.greengrass.meta.events.register("before-call.greengrassv2.CreateDeployment", deploys_first)
    try:
        deployment = deploy("shop", {MODEL: Pin("2.0.0")})
    finally:
        shop.aws.greengrass.meta.events.unregister("before-call.greengrassv2.CreateDeployment", deploys_first)

    assert current_pins("shop") == {GATEWAY: Pin("0.1.0"), MODEL: Pin("2.0.0")}
    assert current_deployment("shop") == deployment


class Died(BaseException):
    """What kill -9 would be."""


def test_whenever_it_is_killed_the_same_call_again_goes_on(shop: Cloud, tmp_path: Path) -> None:
    """After every call of AWS' in turn, when it was made but nothing learned of it, which is before the next one."""
    calls = dies_at = deployments = 0

    def count(**_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == dies_at:
            raise Died

    clients = (shop.aws.greengrass, shop.aws.iot, shop.store._s3)
    for client in clients:
        client.meta.events.register("after-call", count)
    try:
        finished = False
        while not finished:
            deployments += 1
            dies_at, calls = deployments, 0
            package = make_package(tmp_path / str(deployments), release=deployments)
            built = build_model(package, tmp_path / "out")
            try:
                register(built, shop.store)
                deploy("shop", {MODEL: Pin(built.version)})
                finished = True
            except Died:
                register(built, shop.store)
                deploy("shop", {MODEL: Pin(built.version)})
            dies_at = 0  # nobody dies of looking
            made = shop.aws.greengrass.list_deployments(historyFilter="ALL")["deployments"]
            assert len(made) == deployments
            assert current_pins("shop") == {MODEL: Pin(built.version)}
    finally:
        for client in clients:
            client.meta.events.unregister("after-call", count)
    assert deployments > 10


def test_throttling_is_outlasted_and_said_once(shop: Cloud, local_cloud: Aws, caplog: pytest.LogCaptureFixture) -> None:
    local_cloud.control_plane.faults.inject(Fault("CreateDeployment", "throttle", times=2))

    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")})

    assert current_deployment("shop") == deployment
    said = [record.getMessage() for record in caplog.records if record.name == "greengrass.aws"]
    assert said == ["AWS throttles CreateDeployment; trying again, more slowly"]


def test_an_answer_that_was_lost_makes_no_second_deployment(shop: Cloud, local_cloud: Aws) -> None:
    local_cloud.control_plane.faults.inject(Fault("CreateDeployment", "lose", times=1))

    deploy("shop", {GATEWAY: Pin("0.1.0")})

    assert len(shop.aws.greengrass.list_deployments(historyFilter="ALL")["deployments"]) == 1


def test_a_permission_that_is_missing_is_named_with_what_it_is_missing_on(shop: Cloud, local_cloud: Aws) -> None:
    local_cloud.control_plane.faults.inject(Fault("CreateDeployment", "deny"))

    said = (
        r"deployment to shop: access denied: grant arn:aws:iam::123456789012:user/operator the permission "
        r"greengrass:CreateDeployment on arn:aws:greengrass:eu-central-1:123456789012:\*$"
    )
    with pytest.raises(DeployError, match=said):
        deploy("shop", {GATEWAY: Pin("0.1.0")})
    assert current_deployment("shop") is None


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        ("AccessDenied", "Access Denied", "access denied to DoIt; grant it: Access Denied"),
        (
            "AccessDeniedException",
            "not authorized to perform: iot:CreateJob",
            "whoever calls the permission iot:",
        ),
        ("ExpiredTokenException", "expired", "does not know these credentials any more"),
        ("ThrottlingException", "Rate exceeded", "still throttles DoIt after 6 attempts"),
        ("ConflictException", "odd", "DoIt was refused with ConflictException: odd"),
    ],
)
def test_what_aws_refuses_is_one_line_that_says_what_to_do(code: str, message: str, said: str) -> None:
    with pytest.raises(DeployError, match=said) as caught, spoken_of("shop"):
        raise ClientError({"Error": {"Code": code, "Message": message}}, "DoIt")
    assert "\n" not in str(caught.value)
