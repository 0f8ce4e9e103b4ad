"""What a device may do, as the document of an AWS IoT policy. One document serves a whole fleet. Pure.

A thing is named by `${iot:Connection.Thing.ThingName}`, which AWS IoT puts in for each connection: no gateway can speak
as another. That works where the certificate is attached to its thing as EXCLUSIVE_THING, or where the MQTT client id is
the thing's name, which it is for our own uplink and for a nucleus' first connection.
https://docs.aws.amazon.com/iot/latest/developerguide/thing-policy-variables.html
https://docs.aws.amazon.com/greengrass/v2/developerguide/device-auth.html
"""

from dataclasses import dataclass
from typing import Any

THING = "${iot:Connection.Thing.ThingName}"
RESULTS = f"tidegate/v1/results/*/{THING}"
CLAIM_CLIENTS = "tidegate-claim-"  # how the client ids of devices begin that ask for their own certificate
ACKS = f"tidegate/v1/acks/{THING}"


@dataclass(frozen=True, slots=True)
class Account:
    """Where the devices are at home. `partition`: `aws`, but for China and the clouds of governments."""

    region: str
    account: str
    partition: str = "aws"

    def iot(self, resource: str) -> str:
        """The ARN of something of AWS IoT, like `topic/...`."""
        return f"arn:{self.partition}:iot:{self.region}:{self.account}:{resource}"


def gateway_policy(home: Account) -> dict[str, Any]:
    """For a gateway that speaks to AWS IoT Core itself: send its results, hear its acknowledgements."""
    return _policy(
        _allow("iot:Connect", home.iot(f"client/{THING}")),
        _allow("iot:Publish", home.iot(f"topic/{RESULTS}")),
        _allow("iot:Subscribe", home.iot(f"topicfilter/{ACKS}")),
        _allow("iot:Receive", home.iot(f"topic/{ACKS}")),
    )


def core_device_policy(home: Account, *, role_alias: str) -> dict[str, Any]:
    """For a Greengrass core device: the above, what the nucleus needs, and the role behind the alias."""
    own = f"$aws/things/{THING}"
    # IoT takes 2,048 characters of policy, so what belongs together by action is together
    return _policy(
        # the Java nucleus opens further connections as THING#2, THING#3 ...; THING* would be other things too
        _allow("iot:Connect", home.iot(f"client/{THING}"), home.iot(f"client/{THING}#*")),
        _allow(
            "iot:Publish",
            home.iot(f"topic/{RESULTS}"),
            home.iot(f"topic/{own}/greengrass*/health/json"),
            home.iot(f"topic/{own}/jobs/*"),
            home.iot(f"topic/{own}/shadow/*"),
        ),
        _allow(
            "iot:Subscribe",
            home.iot(f"topicfilter/{ACKS}"),
            home.iot(f"topicfilter/{own}/jobs/*"),
            home.iot(f"topicfilter/{own}/shadow/*"),
        ),
        _allow(
            "iot:Receive", home.iot(f"topic/{ACKS}"), home.iot(f"topic/{own}/jobs/*"), home.iot(f"topic/{own}/shadow/*")
        ),
        _allow("iot:AssumeRoleWithCertificate", home.iot(f"rolealias/{role_alias}")),
        # asked by HTTPS, where there is no connection to take a thing's name from; reads all
        {
            "Effect": "Allow",
            "Action": [
                "greengrass:GetComponentVersionArtifact",
                "greengrass:GetDeploymentConfiguration",
                "greengrass:ListThingGroupsForCoreDevice",
                "greengrass:ResolveComponentCandidates",
            ],
            "Resource": "*",
        },
    )


def claim_policy(home: Account, template: str) -> dict[str, Any]:
    """For the certificate that many devices share until each has its own: ask for one, by this template, no more."""
    topics = ("$aws/certificates/create-from-csr/json", f"$aws/provisioning-templates/{template}/provision/json")
    answers = [f"{topic}/{answer}" for topic in topics for answer in ("accepted", "rejected")]
    return _policy(
        _allow("iot:Connect", home.iot(f"client/{CLAIM_CLIENTS}*")),
        _allow("iot:Publish", *(home.iot(f"topic/{topic}") for topic in topics)),
        _allow("iot:Subscribe", *(home.iot(f"topicfilter/{topic}") for topic in answers)),
        _allow("iot:Receive", *(home.iot(f"topic/{topic}") for topic in answers)),
    )


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(action: str, *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": list(resources)}
