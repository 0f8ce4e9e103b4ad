"""Statements of IAM policies, each naming what it is about."""

from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3


def allow(*actions: str, on: str | list[str], when: Mapping[str, Any] | None = None) -> iam.PolicyStatement:
    """These actions, on these resources."""
    resources = [on] if isinstance(on, str) else on
    return iam.PolicyStatement(actions=list(actions), resources=resources, conditions=when)


def allow_list(bucket: s3.Bucket, prefix: str) -> iam.PolicyStatement:
    """Listing what is below a prefix of a bucket, and only that."""
    return allow("s3:ListBucket", on=bucket.bucket_arn, when={"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}})


def role(
    stack: cdk.Stack, name: str, *, trusts: str, statements: list[iam.PolicyStatement], only_here: bool = True
) -> iam.Role:
    """A role for an AWS service; `only_here`: the service may take it on behalf of this account alone."""
    here = {"StringEquals": {"aws:SourceAccount": stack.account}} if only_here else None
    return iam.Role(
        stack,
        name,
        assumed_by=iam.ServicePrincipal(trusts, conditions=here),
        inline_policies={"own": iam.PolicyDocument(statements=statements)},
    )
