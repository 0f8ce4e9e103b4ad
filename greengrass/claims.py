"""Fleet provisioning by claim: many devices share a certificate that can do nothing but ask for their own.

A device connects with the claim, sends a signing request, and names itself; the template says what becomes of it.
https://docs.aws.amazon.com/iot/latest/developerguide/provision-wo-cert.html
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from greengrass.aws import Aws, connect, is_missing, spoken_of
from greengrass.csr import SigningRequest
from greengrass.provision import Certificate, issue
from models.errors import DeployError

CERTIFICATE_ID = "AWS::IoT::Certificate::Id"


def template_body(*, groups: Sequence[str], policy: str, attributes: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The template by which a device that says its ThingName becomes that thing, in these groups, under this policy."""
    thing: dict[str, Any] = {"ThingName": {"Ref": "ThingName"}, "ThingGroups": list(groups)}
    if attributes:
        thing["AttributePayload"] = dict(attributes)
    return {
        "Parameters": {"ThingName": {"Type": "String"}, CERTIFICATE_ID: {"Type": "String"}},
        "Resources": {
            # a device that was cut off in the middle comes again: what is there already stays
            "thing": {
                "Type": "AWS::IoT::Thing",
                "OverrideSettings": {"AttributePayload": "MERGE", "ThingGroups": "DO_NOTHING"},
                "Properties": thing,
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": CERTIFICATE_ID}, "Status": "Active"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": policy}},
        },
    }


def ensure_template(
    name: str, body: Mapping[str, Any], *, role_arn: str, hook_arn: str | None = None, aws: Aws | None = None
) -> str:
    """Make the template if there is none, enabled; its ARN. DeployError where there is another one by that name.

    `role_arn` is what AWS IoT acts as; `hook_arn` a Lambda that may refuse a device (a claim that was stolen can name
    any thing otherwise).
    """
    aws = aws or connect()
    with spoken_of(f"provisioning template {name}"):
        found = _described(name, aws)
        if found is None:
            hook: Any = {"preProvisioningHook": {"targetArn": hook_arn}} if hook_arn else {}
            with suppress(aws.iot.exceptions.ResourceAlreadyExistsException):
                aws.iot.create_provisioning_template(
                    templateName=name,
                    templateBody=json.dumps(body),
                    enabled=True,
                    provisioningRoleArn=role_arn,
                    **hook,
                )
            found = aws.iot.describe_provisioning_template(templateName=name)
    if json.loads(found["templateBody"]) != body:
        raise DeployError(
            f"there is a provisioning template {name!r} already that says something else; choose another name"
        )
    return str(found["templateArn"])


def has_template(name: str, *, aws: Aws | None = None) -> bool:
    aws = aws or connect()
    with spoken_of(f"provisioning template {name}"):
        return _described(name, aws) is not None


def issue_claim(request: SigningRequest, policy: str, *, aws: Aws | None = None) -> Certificate:
    """A certificate that devices share until each has its own; it is under `policy` and belongs to no thing."""
    aws = aws or connect()
    claim = issue(request, aws=aws)
    with spoken_of(f"claim certificate {claim.id}"):
        aws.iot.attach_policy(policyName=policy, target=claim.arn)
        aws.iot.update_certificate(certificateId=claim.id, newStatus="ACTIVE")
    return claim


def _described(name: str, aws: Aws) -> Any:
    try:
        return aws.iot.describe_provisioning_template(templateName=name)
    except ClientError as exc:
        if is_missing(exc):
            return None
        raise
