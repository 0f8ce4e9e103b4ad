"""How a deployment is carried out."""

import json
from collections.abc import Callable

import pytest

from greengrass.component import BuiltComponent
from greengrass.deploy import Pin, deploy, deployment_status
from greengrass.policies import Pace, Policies
from greengrass.register import register
from models.errors import UsageError
from tests.greengrass.world import Cloud

GATEWAY = "tidegate.Gateway"


@pytest.fixture
def shop(cloud: Cloud, gateway: BuiltComponent) -> Cloud:
    cloud.add_group("shop", "one", "two")
    register(gateway, cloud.store)
    return cloud


def test_policies_and_pace_are_what_greengrass_takes(shop: Cloud) -> None:
    policies = Policies(on_failure="DO_NOTHING", update="SKIP_NOTIFY_COMPONENTS", update_timeout_s=5)
    pace = Pace(per_minute=50, abort_percent=20, abort_after=3, timeout_minutes=30)

    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")}, policies=policies, pace=pace)

    found = shop.aws.greengrass.get_deployment(deploymentId=deployment)
    assert found["deploymentPolicies"] == policies.document()
    assert found["iotJobConfiguration"] == pace.document()
    assert json.loads(shop.report("one"))["failureHandlingPolicy"] == "DO_NOTHING"


def test_other_policies_make_another_deployment_and_none_given_keep_the_one_there_is(shop: Cloud) -> None:
    first = deploy("shop", {GATEWAY: Pin("0.1.0")}, policies=Policies())
    assert deploy("shop", {}, policies=Policies()) == first
    second = deploy("shop", {}, policies=Policies(on_failure="DO_NOTHING"))

    assert second != first
    assert deploy("shop", {}) == second


def test_a_group_is_told_no_faster_than_asked_for_and_not_at_all_after_too_many_failures(shop: Cloud) -> None:
    deployment = deploy("shop", {GATEWAY: Pin("0.1.0")}, pace=Pace(per_minute=1, abort_percent=100))
    shop.report("one", "FAILED", deployment_failure_cause="exit 1")

    assert "execution" not in shop.jobs.start_next_pending_job_execution(thingName="two")
    assert deployment_status(deployment) == "CANCELED"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Policies(update_timeout_s=0), r"update_timeout_s must be in 1\.\.86400 seconds, got 0"),
        (lambda: Pace(per_minute=1001), r"per_minute must be in 1\.\.1000, got 1001"),
        (lambda: Pace(abort_percent=0), r"abort_percent must be in 0\.01\.\.100, got 0"),
        (lambda: Pace(timeout_minutes=-1), "timeout_minutes must be in"),
    ],
)
def test_a_policy_out_of_range_is_said_before_aws_is_asked(make: Callable[[], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
