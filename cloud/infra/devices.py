"""What devices may do: the IoT policies, and the role that core devices take by their certificate."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot

from cloud.infra.allow import allow, role
from cloud.infra.storage import COMPONENTS, Storage
from greengrass.device_policy import Account, core_device_policy, gateway_policy


@dataclass(frozen=True, slots=True)
class Devices:
    """By name, as `tidegate provision` takes them."""

    core_device_policy: str
    gateway_policy: str
    role_alias: str
    provisioning_role: str


def devices(stack: cdk.Stack, name: str, storage: Storage) -> Devices:
    """Make policies, role and alias."""
    home = Account(stack.region, stack.account, stack.partition)
    alias = iot.CfnRoleAlias(
        stack,
        "RoleAlias",
        role_alias=name,
        credential_duration_seconds=3600,
        role_arn=role(
            stack,
            "CoreDeviceRole",
            trusts="credentials.iot.amazonaws.com",
            only_here=False,  # the credentials provider tells no source account
            statements=[
                allow("s3:GetObject", on=storage.artifacts.arn_for_objects(f"{COMPONENTS}/*")),
                # the Java nucleus asks before it downloads
                allow("s3:GetBucketLocation", on=storage.artifacts.bucket_arn),
            ],
        ).role_arn,
    )
    core = iot.CfnPolicy(
        stack,
        "CoreDevicePolicy",
        policy_name=f"{name}-core-device",
        policy_document=core_device_policy(home, role_alias=name),
    )
    core.add_resource_dependency(alias)
    plain = iot.CfnPolicy(stack, "GatewayPolicy", policy_name=f"{name}-gateway", policy_document=gateway_policy(home))
    claims = role(stack, "ProvisioningRole", trusts="iot.amazonaws.com", statements=_may_provision(home, name))
    return Devices(core.ref, plain.ref, alias.ref, claims.role_arn)


def _may_provision(home: Account, name: str) -> list[iam.PolicyStatement]:
    """What AWS IoT does when a device comes with a claim: a thing, into its groups, with its certificate under one of
    our policies. AWS' own AWSIoTThingsRegistration allows all of it on everything."""
    things, groups, certificates = home.iot("thing/*"), home.iot("thinggroup/*"), home.iot("cert/*")
    return [
        allow("iot:CreateThing", "iot:UpdateThing", on=things),
        allow("iot:AddThingToThingGroup", on=[things, groups]),
        allow("iot:AttachThingPrincipal", on=[things, certificates]),
        allow("iot:AttachPolicy", "iot:AttachPrincipalPolicy", "iot:UpdateCertificate", on=certificates),
        allow("iot:GetPolicy", on=[home.iot(f"policy/{name}-core-device"), home.iot(f"policy/{name}-gateway")]),
        allow(
            "iot:DescribeThing",
            "iot:DescribeThingGroup",
            "iot:DescribeCertificate",
            "iot:ListAttachedPolicies",
            "iot:ListPrincipalPolicies",
            "iot:ListPrincipalThings",
            "iot:ListThingGroupsForThing",
            "iot:ListThingPrincipals",
            on="*",
        ),
    ]
