"""Devices' identities in AWS IoT: things, certificates for keys that never leave the devices, policies, groups.

Every function may be called again after a crash. A certificate works only once all else is done: it is issued inactive
and made active last, so that what is left of a provisioning that died opens no door.
"""

import json
import re
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from greengrass.aws import Aws, connect, is_missing, spoken_of
from greengrass.csr import SigningRequest, certificate_id, public_key_of
from greengrass.device_policy import Account
from greengrass.groups import ensure_group
from models.errors import DeployError, UsageError

_DETACHED_AFTER_S = 10
_RING = re.compile(r"(.+)-ring-\d+(?:-wave-\d+)?")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A device's certificate as AWS IoT knows it."""

    id: str
    arn: str
    pem: str
    status: str

    @property
    def active(self) -> bool:
        return self.status == "ACTIVE"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where devices find AWS IoT: HOST, or HOST:PORT where it is not the usual one."""

    data: str
    credentials: str


def endpoints(*, aws: Aws | None = None) -> Endpoints:
    aws = aws or connect()
    with spoken_of("AWS IoT's endpoints"):
        return Endpoints(
            aws.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"],
            aws.iot.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"],
        )


def ensure_thing(thing: str, *, aws: Aws | None = None) -> Account:
    """Make the thing if there is none; whose account it is in."""
    aws = aws or connect()
    with spoken_of(f"thing {thing}"):
        # one with other attributes is as good
        with suppress(aws.iot.exceptions.ResourceAlreadyExistsException):
            aws.iot.create_thing(thingName=thing)
        return home_of(aws.iot.describe_thing(thingName=thing)["thingArn"])


def home_of(arn: str) -> Account:
    """The account and region in an ARN."""
    _, partition, _, region, account, _ = arn.split(":", 5)
    return Account(region, account, partition)


def has_thing(thing: str, *, aws: Aws | None = None) -> bool:
    aws = aws or connect()
    with spoken_of(f"thing {thing}"):
        return _exists(lambda: aws.iot.describe_thing(thingName=thing))


def ensure_policy(name: str, document: dict[str, Any], *, aws: Aws | None = None) -> bool:
    """Make the policy if there is none; whether it says what `document` does. One that says something else is left."""
    aws = aws or connect()
    with spoken_of(f"policy {name}"):
        try:
            found = aws.iot.get_policy(policyName=name)["policyDocument"]
        except ClientError as exc:
            if not is_missing(exc):
                raise
            with suppress(aws.iot.exceptions.ResourceAlreadyExistsException):
                aws.iot.create_policy(policyName=name, policyDocument=json.dumps(document, separators=(",", ":")))
            return True
    return bool(json.loads(found) == document)


def ensure_role_alias(name: str, role_arn: str | None, *, aws: Aws | None = None) -> None:
    """Make the alias under which devices get `role_arn`'s credentials, if there is none; DeployError without a role."""
    aws = aws or connect()
    with spoken_of(f"role alias {name}"):
        if _exists(lambda: aws.iot.describe_role_alias(roleAlias=name)):
            return
        if role_arn is None:
            raise DeployError(
                f"there is no role alias {name!r}; make it with the infrastructure (`make infra`), or give the role "
                f"that devices fetch artifacts with, --role-arn ARN"
            )
        with suppress(aws.iot.exceptions.ResourceAlreadyExistsException):
            aws.iot.create_role_alias(roleAlias=name, roleArn=role_arn)


def certificates(thing: str, *, aws: Aws | None = None) -> tuple[Certificate, ...]:
    """A thing's certificates, in no order; none for a thing that is not there."""
    aws = aws or connect()
    with spoken_of(f"certificates of {thing}"):
        try:
            pages = aws.iot.get_paginator("list_thing_principals").paginate(thingName=thing)
            arns = [arn for page in pages for arn in page["principals"] if ":cert/" in arn]
        except ClientError as exc:
            if is_missing(exc):
                return ()
            raise
        return tuple(_describe(arn.rpartition("/")[2], aws) for arn in arns)


def certificate_for(
    request: SigningRequest, thing: str, *, earlier: str | None = None, aws: Aws | None = None
) -> Certificate | None:
    """The certificate that was issued for this very key before: one of the thing's, or `earlier` (PEM), which an
    attempt that died has left."""
    aws = aws or connect()
    for found in certificates(thing, aws=aws):
        if public_key_of(found.pem) == request.public_key:
            return found
    if earlier is None or public_key_of(earlier) != request.public_key:
        return None
    with spoken_of(f"certificate of {thing}"):
        try:
            return _describe(certificate_id(earlier), aws)
        except ClientError as exc:
            if is_missing(exc):
                return None
            raise


def issue(request: SigningRequest, *, aws: Aws | None = None) -> Certificate:
    """A new certificate for the request's key, which nobody can use before `grant`."""
    aws = aws or connect()
    with spoken_of("certificate"):
        created = aws.iot.create_certificate_from_csr(certificateSigningRequest=request.pem, setAsActive=False)
    return Certificate(created["certificateId"], created["certificateArn"], created["certificatePem"], "INACTIVE")


def grant(certificate: Certificate, thing: str, *, policies: Sequence[str], aws: Aws | None = None) -> Certificate:
    """Make a certificate the thing's own, under these policies, and active: from now on it connects."""
    aws = aws or connect()
    with spoken_of(f"certificate {certificate.id} of {thing}"):
        for policy in policies:
            aws.iot.attach_policy(policyName=policy, target=certificate.arn)
        # nobody else's, so that the policies know the thing's name whatever a connection calls itself
        aws.iot.attach_thing_principal(thingName=thing, principal=certificate.arn, thingPrincipalType="EXCLUSIVE_THING")
        aws.iot.update_certificate(certificateId=certificate.id, newStatus="ACTIVE")
        return _describe(certificate.id, aws)


def policies_of(certificate: Certificate, *, aws: Aws | None = None) -> tuple[str, ...]:
    """The names of the policies that a certificate is under."""
    aws = aws or connect()
    with spoken_of(f"policies of certificate {certificate.id}"):
        pages = aws.iot.get_paginator("list_attached_policies").paginate(target=certificate.arn)
        return tuple(sorted(policy["policyName"] for page in pages for policy in page["policies"]))


def join_groups(thing: str, groups: Collection[str], *, aws: Aws | None = None) -> None:
    """Put the thing into these groups, which are made where they are missing; UsageError where it would be in two rings
    of one model."""
    aws = aws or connect()
    check_rings(thing, {*groups_of(thing, aws=aws), *groups})
    for group in groups:
        ensure_group(group, [thing], aws=aws)


def groups_of(thing: str, *, aws: Aws | None = None) -> tuple[str, ...]:
    """The groups a thing is in; none for a thing that is not there."""
    aws = aws or connect()
    with spoken_of(f"groups of {thing}"):
        try:
            pages = aws.iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
            return tuple(sorted(group["groupName"] for page in pages for group in page["thingGroups"]))
        except ClientError as exc:
            if is_missing(exc):
                return ()
            raise


def check_rings(thing: str, groups: Collection[str]) -> None:
    """UsageError where two of these groups are rings of one model in one fleet: its deployments would fight."""
    seen: dict[str, str] = {}
    for group in sorted(groups):
        match = _RING.fullmatch(group)
        if match is None:
            continue
        if match[1] in seen:
            raise UsageError(f"{thing} would be in the rings {seen[match[1]]} and {group}; rings must be disjoint")
        seen[match[1]] = group


def retire(thing: str, keep: str, *, delete: bool = False, aws: Aws | None = None) -> tuple[Certificate, ...]:
    """Make all of the thing's certificates but the active one `keep` (its id) inactive: whoever is connected by them is
    cut off. With `delete` those that were inactive already are deleted. Those that were touched."""
    aws = aws or connect()
    found = certificates(thing, aws=aws)
    if not any(item.id == keep and item.active for item in found):
        have = ", ".join(f"{item.id} ({item.status})" for item in found) or "none"
        raise DeployError(f"{thing} has no active certificate {keep}; its certificates: {have}")
    touched = [item for item in found if item.id != keep and (item.active or delete)]
    for item in touched:
        with spoken_of(f"certificate {item.id} of {thing}"):
            if item.active:
                aws.iot.update_certificate(certificateId=item.id, newStatus="INACTIVE")
            else:
                _delete(item, thing, aws)
    return tuple(touched)


def remove(thing: str, *, aws: Aws | None = None) -> None:
    """Take a device out of the cloud for good: its certificates, its groups, its core device, the thing itself."""
    aws = aws or connect()
    for item in certificates(thing, aws=aws):
        with spoken_of(f"certificate {item.id} of {thing}"):
            if item.active:
                aws.iot.update_certificate(certificateId=item.id, newStatus="INACTIVE")
            _delete(item, thing, aws)
    with spoken_of(f"core device {thing}"):
        _exists(lambda: aws.greengrass.delete_core_device(coreDeviceThingName=thing))
    for group in groups_of(thing, aws=aws):
        with spoken_of(f"thing {thing} out of group {group}"):
            aws.iot.remove_thing_from_thing_group(thingGroupName=group, thingName=thing)
    with spoken_of(f"thing {thing}"):
        _exists(lambda: aws.iot.delete_thing(thingName=thing))


def _delete(certificate: Certificate, thing: str, aws: Aws) -> None:
    for policy in policies_of(certificate, aws=aws):
        aws.iot.detach_policy(policyName=policy, target=certificate.arn)
    aws.iot.detach_thing_principal(thingName=thing, principal=certificate.arn)
    for _ in range(_DETACHED_AFTER_S):
        try:
            aws.iot.delete_certificate(certificateId=certificate.id)
            return
        except aws.iot.exceptions.DeleteConflictException:
            time.sleep(1)  # AWS: it may take some seconds for the detachment to propagate
    aws.iot.delete_certificate(certificateId=certificate.id)


def _describe(certificate: str, aws: Aws) -> Certificate:
    found = aws.iot.describe_certificate(certificateId=certificate)["certificateDescription"]
    return Certificate(found["certificateId"], found["certificateArn"], found["certificatePem"], found["status"])


def _exists(ask: Any) -> bool:
    """Whether a call finds what it is about."""
    try:
        ask()
    except ClientError as exc:
        if is_missing(exc):
            return False
        raise
    return True
