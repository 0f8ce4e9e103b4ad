"""What devices may do, asked as AWS IoT would: does a statement cover this action on this resource?"""

import fnmatch
import json
from typing import Any

import pytest

from greengrass.device_policy import THING, Account, core_device_policy, gateway_policy
from models.topics import acks_topic, results_topic

HOME = Account("eu-central-1", "123456789012")
FAR = Account("us-gov-west-1", "123456789012", "aws-us-gov")
OTHERS = ("pi-10", "pi", "xpi-1", "camera")
POLICIES = {"gateway": gateway_policy(HOME), "core device": core_device_policy(HOME, role_alias="tidegate")}


def allowed(policy: dict[str, Any], action: str, resource: str, *, thing: str = "pi-1") -> bool:
    """Whether the thing may; `*` covers anything, slashes too."""
    for statement in policy["Statement"]:
        actions, resources = statement["Action"], statement["Resource"]
        patterns = [resources] if isinstance(resources, str) else resources
        if action in ([actions] if isinstance(actions, str) else actions) and any(
            fnmatch.fnmatchcase(HOME.iot(resource), pattern.replace(THING, thing)) for pattern in patterns
        ):
            return True
    return False


@pytest.mark.parametrize("name", POLICIES)
def test_a_gateway_sends_its_results_and_hears_its_acknowledgements(name: str) -> None:
    policy = POLICIES[name]

    assert allowed(policy, "iot:Connect", "client/pi-1")
    assert allowed(policy, "iot:Publish", f"topic/{results_topic('pi-1')}")
    assert allowed(policy, "iot:Subscribe", f"topicfilter/{acks_topic('pi-1')}")
    assert allowed(policy, "iot:Receive", f"topic/{acks_topic('pi-1')}")


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("other", OTHERS)
def test_no_gateway_speaks_or_listens_as_another(name: str, other: str) -> None:
    policy = POLICIES[name]

    assert not allowed(policy, "iot:Connect", f"client/{other}")
    assert not allowed(policy, "iot:Publish", f"topic/{results_topic(other)}")
    assert not allowed(policy, "iot:Subscribe", f"topicfilter/{acks_topic(other)}")
    assert not allowed(policy, "iot:Receive", f"topic/{acks_topic(other)}")
    assert not allowed(policy, "iot:Publish", f"topic/$aws/things/{other}/jobs/start-next")


@pytest.mark.parametrize("name", POLICIES)
def test_no_gateway_acknowledges_or_reads_results(name: str) -> None:
    policy = POLICIES[name]

    assert not allowed(policy, "iot:Publish", f"topic/{acks_topic('pi-1')}")
    assert not allowed(policy, "iot:Subscribe", "topicfilter/tidegate/v1/results/+/+")
    assert not allowed(policy, "iot:Subscribe", "topicfilter/#")
    assert not allowed(policy, "iot:Subscribe", "topicfilter/tidegate/v1/acks/+")


def test_a_nucleus_gets_its_jobs_and_its_role() -> None:
    policy = POLICIES["core device"]

    assert allowed(policy, "iot:Connect", "client/pi-1#2")
    assert allowed(policy, "iot:Subscribe", "topicfilter/$aws/things/pi-1/jobs/notify-namespace-aws-gg-deployment")
    assert allowed(policy, "iot:Publish", "topic/$aws/things/pi-1/greengrassv2/health/json")
    assert allowed(policy, "iot:AssumeRoleWithCertificate", "rolealias/tidegate")
    assert not allowed(policy, "iot:AssumeRoleWithCertificate", "rolealias/admin")


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_fits_what_iot_takes(name: str) -> None:
    # https://docs.aws.amazon.com/general/latest/gr/iot-core.html: 2048 characters without white space
    document = POLICIES[name] if name == "gateway" else core_device_policy(FAR, role_alias="TidegateTokenExchange")
    assert len(json.dumps(document, separators=(",", ":"))) <= 2048
