"""What is written down about devices: the attributes of their things in AWS IoT.

`hardware` (a class, as the model cards name it), `site`, `timezone` (IANA) and `tags` (separated by commas) are ours;
whatever else a thing says about itself stays.
"""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from botocore.exceptions import ClientError

from greengrass.aws import Aws, connect, is_missing, spoken_of
from models.errors import DeployError, UsageError

THING_TYPE = "tidegate-gateway"
GROUPS_OF_A_THING = 10  # AWS IoT: a thing is in at most so many thing groups
_ATTRIBUTES_WITHOUT_TYPE = 3  # AWS IoT: of a thing without a thing type; 50 with one
_FEW = 25  # as many are asked for one by one
# docs.aws.amazon.com/iot/latest/apireference/API_AttributePayload.html, less the comma, which separates our tags
_VALUE = re.compile(r"[A-Za-z0-9_.@/:#=\[\]-]{1,800}")


@dataclass(frozen=True, slots=True)
class Description:
    """What is written down about a device; what nobody said is empty."""

    hardware: str = ""
    site: str = ""
    timezone: str = ""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("hardware", self.hardware), ("site", self.site), *(("tag", tag) for tag in self.tags)):
            if value and not _VALUE.fullmatch(value):
                raise UsageError(
                    f"--{name} must be of A-Z a-z 0-9 _ . @ / : # = [ ] -, as AWS IoT wants, got {value!r}"
                )
        if self.timezone:
            check_timezone(self.timezone)

    def attributes(self) -> dict[str, str]:
        """As attributes of a thing, those that are said."""
        said = {
            "hardware": self.hardware,
            "site": self.site,
            "timezone": self.timezone,
            "tags": ",".join(sorted(set(self.tags))),
        }
        return {name: value for name, value in said.items() if value}


def description_of(attributes: Mapping[str, str]) -> Description:
    """What a thing's attributes say; UsageError for a time zone that nobody knows."""
    return Description(
        attributes.get("hardware", ""),
        attributes.get("site", ""),
        attributes.get("timezone", ""),
        tuple(tag for tag in attributes.get("tags", "").split(",") if tag),
    )


def check_timezone(name: str) -> str:
    """The name of a time zone, as it is; UsageError for one that nobody knows."""
    if name == "UTC":
        return name
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        known = available_timezones()
        advice = "give an IANA name such as Europe/Berlin" if known else "this machine knows none: install tzdata"
        raise UsageError(f"{name!r} is no time zone; {advice}") from exc
    return name


def describe(things: Collection[str], *, aws: Aws | None = None) -> dict[str, Description]:
    """What is written down about each of these; a thing that is not there is left out. UsageError names a thing whose
    time zone nobody knows."""
    aws = aws or connect()
    attributes = _one_by_one(things, aws) if len(things) <= _FEW else _among_all(set(things), aws)
    found = {}
    for thing, said in attributes.items():
        try:
            found[thing] = description_of(said)
        except UsageError as exc:
            raise UsageError(f"thing {thing}: {exc}; set it with `tidegate provision describe {thing}`") from exc
    return found


def write_description(thing: str, description: Description, *, aws: Aws | None = None) -> None:
    """Set the attributes that are said, beside all others; DeployError when there is no such thing.

    Where a thing would then have more attributes than one without a thing type may have, it gets ours.
    """
    aws = aws or connect()
    wanted = description.attributes()
    with spoken_of(f"thing {thing}"):
        try:
            found = aws.iot.describe_thing(thingName=thing)
        except ClientError as exc:
            if is_missing(exc):
                raise DeployError(f"there is no thing {thing!r}; make it with `tidegate provision device`") from exc
            raise
        have = found.get("attributes", {})
        if not wanted.items() - have.items():
            return
        kind: Any = {}
        if not found.get("thingTypeName") and len({*have, *wanted}) > _ATTRIBUTES_WITHOUT_TYPE:
            with suppress(aws.iot.exceptions.ResourceAlreadyExistsException):
                aws.iot.create_thing_type(thingTypeName=THING_TYPE)
            kind = {"thingTypeName": THING_TYPE}
        aws.iot.update_thing(thingName=thing, attributePayload={"attributes": wanted, "merge": True}, **kind)


def count_groups(thing: str, *, aws: Aws | None = None) -> int:
    """In how many thing groups a thing is; none for a thing that is not there."""
    aws = aws or connect()
    with spoken_of(f"groups of {thing}"):
        try:
            pages = aws.iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
            return sum(len(page["thingGroups"]) for page in pages)
        except ClientError as exc:
            if is_missing(exc):
                return 0
            raise


def _one_by_one(things: Collection[str], aws: Aws) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for thing in sorted(things):
        with spoken_of(f"thing {thing}"):
            try:
                found[thing] = aws.iot.describe_thing(thingName=thing).get("attributes", {})
            except ClientError as exc:
                if not is_missing(exc):
                    raise
    return found


def _among_all(wanted: set[str], aws: Aws) -> dict[str, Mapping[str, str]]:
    # a call for 250 things instead of one for each
    found: dict[str, Mapping[str, str]] = {}
    with spoken_of("things"):
        for page in aws.iot.get_paginator("list_things").paginate(PaginationConfig={"PageSize": 250}):
            found |= {item["thingName"]: item["attributes"] for item in page["things"] if item["thingName"] in wanted}
            if len(found) == len(wanted):
                break
    return found
