"""The two buckets. What is in them outlives the stack."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

COMPONENTS = "components"  # artifacts of Greengrass components
REGISTRY = "registry"  # signed releases
LAKE = "lake"
_PICTURES_WAITING = f"{LAKE}/objects/waiting/"
_QUARANTINE = f"{LAKE}/quarantine/"


@dataclass(frozen=True, slots=True)
class Storage:
    """`artifacts`: what goes out to the gateways. `lake`: what comes back."""

    artifacts: s3.Bucket
    lake: s3.Bucket


def storage(stack: cdk.Stack) -> Storage:
    """Make both."""
    artifacts = _bucket(stack, "Artifacts", keep_old_days=90)
    # Delta never writes a file twice: an old version is one that upkeep or a person has deleted
    lake = _bucket(stack, "Lake", keep_old_days=30)
    # longer than any gateway goes without its link
    lake.add_lifecycle_rule(id="parts-of-pictures", prefix=_PICTURES_WAITING, expiration=cdk.Duration.days(60))
    lake.add_lifecycle_rule(id="quarantine", prefix=_QUARANTINE, expiration=cdk.Duration.days(90))
    return Storage(artifacts, lake)


def _bucket(stack: cdk.Stack, name: str, *, keep_old_days: int) -> s3.Bucket:
    return s3.Bucket(
        stack,
        name,
        versioned=True,
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        removal_policy=cdk.RemovalPolicy.RETAIN,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="old-versions",
                noncurrent_version_expiration=cdk.Duration.days(keep_old_days),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                expired_object_delete_marker=True,
            )
        ],
    )
