"""What the cloud says of devices."""

import json
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import ClientError
from botocore.model import OperationModel

from greengrass.component import BuiltComponent
from greengrass.deploy import Pin, deploy
from greengrass.devices import (
    Installed,
    core_device,
    core_devices,
    effective_deployments,
    executions,
    installed_components,
    watch_deployment,
)
from greengrass.policies import Pace
from greengrass.register import register
from models.errors import DeployError
from simulator.aws import Aws
from tests.greengrass.world import Cloud

GATEWAY = "tidegate.Gateway"


@pytest.fixture
def shop(cloud: Cloud, gateway: BuiltComponent) -> Cloud:
    cloud.add_group("shop", "one", "two", "three")
    register(gateway, cloud.store)
    return cloud


def _tell(local_cloud: Aws, thing: str, state: str) -> None:
    """A nucleus says how it is."""
    component = {"componentName": GATEWAY, "version": "0.1.0", "status": state, "statusDetails": "exit code 1"}
    report = {
        "ggcVersion": "2.6.0", "platform": "linux", "architecture": "aarch64",
        "overallDeviceStatus": "UNHEALTHY" if state == "BROKEN" else "HEALTHY", "components": [component],
    }  # fmt: skip
    place = f"{local_cloud.control_plane.endpoint}/simulator/fleet-status/{thing}"
    urlopen(Request(place, json.dumps(report).encode(), method="PUT"), timeout=5).close()


def test_a_device_that_was_never_heard_of_is_none_and_has_nothing(shop: Cloud) -> None:
    assert core_device("one") is None
    assert effective_deployments("one") == ()
    assert installed_components("one") == ()


def test_a_device_is_as_its_nucleus_told(shop: Cloud, local_cloud: Aws) -> None:
    _tell(local_cloud, "one", "BROKEN")
    _tell(local_cloud, "two", "RUNNING")

    one = core_device("one")
    assert one is not None
    assert (one.status, one.nucleus, one.platform) == ("UNHEALTHY", "2.6.0", "linux/aarch64")
    assert installed_components("one") == (Installed(GATEWAY, "0.1.0", "BROKEN", "exit code 1", True),)
    assert {name: device.status for name, device in core_devices("shop").items()} == {
        "one": "UNHEALTHY", "two": "HEALTHY",
    }  # fmt: skip


def test_an_effective_deployment_says_how_far_it_is_and_why(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")})
    shop.report("one", "FAILED", deployment_failure_cause="no room on the disk")
    shop.report("two")

    found = executions(deployment, ["one", "two", "three"])

    one, two = found["one"], found["two"]
    assert one is not None
    assert two is not None
    assert (one.status, one.reason, one.progress) == ("FAILED", "no room on the disk", "failed")
    assert (two.status, two.progress) == ("SUCCEEDED", "succeeded")
    assert found["three"] is None


def test_whoever_watches_sees_it_arrive(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")})
    arriving = iter([("one",), (), ("two", "three")])

    def time_passes(_: float) -> None:
        for thing in next(arriving):
            shop.report(thing)

    watched = watch_deployment(deployment, ["one", "two", "three"], 60, clock=lambda: 0.0, sleep=time_passes)

    assert list(watched) == [0, 1, 1, 3]


def test_many_that_are_missing_are_not_all_listed(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")})
    things = [f"gateway-{number:02}" for number in range(25)]

    with pytest.raises(DeployError, match=r"is not on gateway-00, .*, gateway-09 and 15 more after 0 s"):
        list(watch_deployment(deployment, things, 0))


def test_a_large_group_is_asked_about_all_at_once(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")})
    shop.report("one")
    calls: list[str] = []

    def note(model: OperationModel, **_: object) -> None:
        calls.append(model.name)

    for client in (shop.aws.greengrass, shop.aws.iot):
        client.meta.events.register("before-call", note)
    try:
        found = executions(deployment, ["one", *(f"gateway-{number}" for number in range(500))])
    finally:
        for client in (shop.aws.greengrass, shop.aws.iot):
            client.meta.events.unregister("before-call", note)

    assert [thing for thing, execution in found.items() if execution is not None] == ["one"]
    assert calls == ["GetDeployment", "ListJobExecutionsForJob"]


def test_the_job_behind_a_deployment_can_be_looked_at_and_not_be_changed(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")}, pace=Pace(per_minute=2))
    shop.report("one", "FAILED")
    shop.report("two")
    job = shop.aws.greengrass.get_deployment(deploymentId=deployment)["iotJobId"]

    described = shop.iot.describe_job(jobId=job)["job"]
    assert described["jobProcessDetails"] == {"numberOfFailedThings": 1, "numberOfSucceededThings": 1}
    assert described["jobExecutionsRolloutConfig"] == {"maximumPerMinute": 2}
    (failed,) = shop.iot.list_job_executions_for_job(jobId=job, status="FAILED")["executionSummaries"]
    assert failed["thingArn"].endswith(":thing/one")

    with pytest.raises(ClientError, match="CancelJob is not simulated"):
        shop.iot.cancel_job(jobId=job)
    with pytest.raises(ClientError, match="CreateJob is not simulated"):
        shop.iot.create_job(jobId="mine", targets=[described["targets"][0]], document="{}")
    with pytest.raises(shop.iot.exceptions.ResourceNotFoundException):
        shop.iot.describe_job(jobId="none")
