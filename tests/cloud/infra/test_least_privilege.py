"""A right to write to everything is found, however it is written down."""

from typing import Any

import pytest

from cloud.infra.least_privilege import wide_writes

BUCKET = {"Fn::GetAtt": ["Bucket", "Arn"]}


def role(**statement: Any) -> dict[str, Any]:
    """A template with one role that may do this."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
    return {"Resources": {"Role": {"Properties": {"Policies": [{"PolicyDocument": document}]}}}}


def test_reads_of_everything_and_writes_of_something_are_fine() -> None:
    assert wide_writes(role(Action=["greengrass:GetComponent", "s3:ListAllMyBuckets"], Resource="*")) == []
    assert wide_writes(role(Action=["s3:PutObject", "s3:*"], Resource=BUCKET)) == []
    assert wide_writes(role(Action="iot:Publish", Resource="arn:aws:iot:r:1:topic/a/*")) == []
    assert wide_writes(role(Action="s3:*", Resource={"Fn::Join": ["", [BUCKET, "/*"]]})) == []


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", "*"),
        (["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::bucket/*", "*"]),
        ("*", "*"),
        ("s3:*", "*"),
        ("iot:Publish", "arn:aws:iot:eu-central-1:123456789012:*"),
        ("iot:Publish", {"Fn::Join": ["", ["arn:aws:iot:", {"Ref": "AWS::Region"}, ":1:*"]]}),
        ("iot:Publish", {"Fn::Sub": "arn:aws:iot:${AWS::Region}:${AWS::AccountId}:*"}),
        ("s3:DeleteObject", "arn:aws:s3:::*"),
        ("s3:DeleteObject", "arn:aws:s3:::*/*"),
        ("sts:AssumeRole", "*"),
        ("iot:AssumeRoleWithCertificate", "*"),
    ],
)
def test_writes_of_everything_are_not(action: Any, resource: Any) -> None:
    (complaint,) = wide_writes(role(Action=action, Resource=resource))

    assert complaint.startswith("Role: ")


def test_everything_but_something_is_everything() -> None:
    assert wide_writes(role(NotAction="iam:*", Resource=BUCKET)) == ["Role: allows everything but something"]
    assert wide_writes(role(Action="s3:GetObject", NotResource=BUCKET)) == ["Role: allows everything but something"]


def test_what_cannot_be_looked_into_is_said() -> None:
    template = {"Resources": {"Role": {"Properties": {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/Administrator"]}}}}

    assert wide_writes(template) == [
        "Role: a policy of somebody else's, which may allow anything: arn:aws:iam::aws:policy/Administrator"
    ]


def test_policies_that_stand_alone_are_looked_into() -> None:
    document = {"Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}
    template = {"Resources": {"Policy": {"Properties": {"PolicyDocument": document}}}}

    assert wide_writes(template) == ["Policy: iot:* on *"]


def test_what_is_forbidden_and_a_buckets_own_policy_are_no_rights() -> None:
    everything = {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Principal": "*"}
    own = {**everything, "Effect": "Allow"}
    template = {"Resources": {"P": {"Properties": {"Bucket": "b", "PolicyDocument": {"Statement": [own]}}}}}

    assert wide_writes(role(**everything)) == []
    assert wide_writes(template) == []
