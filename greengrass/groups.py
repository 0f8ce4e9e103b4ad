"""Thing groups: the fleets and rings that components are deployed to."""

from collections.abc import Collection
from contextlib import suppress

from botocore.exceptions import ClientError

from greengrass.aws import Aws, connect, is_missing, spoken_of
from models.errors import DeployError


def things_in(group: str, *, aws: Aws | None = None) -> tuple[str, ...] | None:
    """The group's devices in order of name, None when there is no such group."""
    aws = aws or connect()
    with spoken_of(f"thing group {group}"):
        try:
            pages = aws.iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName=group)
            return tuple(sorted(thing for page in pages for thing in page["things"]))
        except ClientError as exc:
            if is_missing(exc):
                return None
            raise


def members(group: str, *, aws: Aws | None = None) -> tuple[str, ...]:
    """The group's devices in order of name; DeployError when there is no such group."""
    things = things_in(group, aws=aws)
    if things is None:
        raise _no_group(group)
    return things


def ensure_group(group: str, things: Collection[str] = (), *, aws: Aws | None = None) -> None:
    """Make the group if there is none, and put `things` into it; whoever is in it already stays."""
    aws = aws or connect()
    present = things_in(group, aws=aws)
    if present is None:
        # somebody else's, made since we looked, is as good
        with spoken_of(f"thing group {group}"), suppress(aws.iot.exceptions.ResourceAlreadyExistsException):
            aws.iot.create_thing_group(thingGroupName=group)
    for thing in sorted(set(things) - set(present or ())):
        with spoken_of(f"thing {thing} into group {group}"):
            try:
                aws.iot.add_thing_to_thing_group(thingGroupName=group, thingName=thing)
            except ClientError as exc:
                if is_missing(exc):
                    raise DeployError(f"there is no thing {thing!r} to put into group {group}; provision it") from exc
                raise


def move_thing(thing: str, *, into: str | None, out_of: Collection[str] = (), aws: Aws | None = None) -> None:
    """Put a thing into a group (None: into none) and take it out of others, in one call: it is never in neither.

    Repeating it changes nothing. DeployError when there is no such thing or group.
    """
    aws = aws or connect()
    with spoken_of(f"thing {thing} into group {into}" if into else f"thing {thing} out of {', '.join(out_of)}"):
        aws.iot.update_thing_groups_for_thing(
            thingName=thing,
            thingGroupsToAdd=[into] if into else [],
            thingGroupsToRemove=sorted(set(out_of) - {into}),
        )


def group_arn(group: str, *, aws: Aws | None = None) -> str:
    """The group's ARN; DeployError when there is no such group."""
    aws = aws or connect()
    with spoken_of(f"thing group {group}"):
        try:
            return aws.iot.describe_thing_group(thingGroupName=group)["thingGroupArn"]
        except ClientError as exc:
            if is_missing(exc):
                raise _no_group(group) from exc
            raise


def _no_group(group: str) -> DeployError:
    return DeployError(f"there is no thing group {group!r}; make it, or name another with --group")
