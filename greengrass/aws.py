"""Greengrass and IoT by boto3, with its errors turned into ours."""

import contextlib
import functools
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from models.errors import DeployError

if TYPE_CHECKING:
    from mypy_boto3_greengrassv2 import GreengrassV2Client
    from mypy_boto3_iot import IoTClient

log = logging.getLogger(__name__)

ATTEMPTS = 6  # a quarter of a minute of being throttled is outlasted, on average
_DENIED = ("AccessDeniedException", "AccessDenied", "UnauthorizedException")
_NOBODY = (
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "ExpiredTokenException",
    "ExpiredToken",
)
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown")
# how AWS says it: "User: arn is not authorized to perform: action on resource: arn because ..."
_REFUSED = re.compile(
    r"(?:User: (?P<user>\S+) is )?not authorized to perform: (?P<action>[\w:-]+)(?: on resource: (?P<resource>\S+))?"
)


@dataclass(frozen=True, slots=True)
class Aws:
    """Clients of one account and region. They retry throttling and lost connections, with back-off, and say so."""

    greengrass: "GreengrassV2Client"
    iot: "IoTClient"


def connect() -> Aws:
    """The clients that the environment's AWS_* variables call for."""
    return _connect(tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))))


@functools.lru_cache(maxsize=4)
def _connect(environment: tuple[tuple[str, str], ...]) -> Aws:
    # making a client takes longer than most calls
    config = Config(retries={"mode": "standard", "max_attempts": ATTEMPTS}, connect_timeout=5, read_timeout=30)
    try:
        session = boto3.Session()
        aws = Aws(session.client("greengrassv2", config=config), session.client("iot", config=config))
    except (BotoCoreError, ValueError) as exc:
        raise DeployError(f"AWS cannot be used: {exc}; check the AWS_* variables") from exc
    for client in (aws.greengrass, aws.iot):
        client.meta.events.register("needs-retry", _say_throttled)
    return aws


def _say_throttled(response: Any, operation: Any, attempts: int, **_: Any) -> None:
    """Called by botocore after each attempt; whether to try again it decides itself."""
    code = "" if response is None else response[1].get("Error", {}).get("Code", "")
    if code in _THROTTLED and attempts == 1:
        log.warning("AWS throttles %s; trying again, more slowly", operation.name)


@contextlib.contextmanager
def spoken_of(what: str) -> Iterator[None]:
    """Turn boto3's errors into DeployErrors that begin with `what`."""
    try:
        yield
    except ClientError as exc:
        raise DeployError(f"{what}: {_explained(exc)}") from exc
    except BotoCoreError as exc:
        raise DeployError(f"{what}: AWS cannot be reached or used: {exc}") from exc


def is_missing(error: ClientError) -> bool:
    """Whether the service said that there is no such thing."""
    return error.response.get("Error", {}).get("Code") == "ResourceNotFoundException"


def _explained(error: ClientError) -> str:
    code = error.response.get("Error", {}).get("Code", "")
    message = error.response.get("Error", {}).get("Message", "")
    if code in _DENIED:
        refused = _REFUSED.search(message)
        if refused is None:
            return f"access denied to {error.operation_name}; grant it: {message}"
        where = f" on {refused['resource']}" if refused["resource"] else ""
        return f"access denied: grant {refused['user'] or 'whoever calls'} the permission {refused['action']}{where}"
    if code in _NOBODY:
        return f"AWS does not know these credentials any more ({code}); log in again, or check the AWS_* variables"
    if code in _THROTTLED:
        return (
            f"AWS still throttles {error.operation_name} after {ATTEMPTS} attempts; wait some minutes and call the "
            f"same again, which goes on where this stopped"
        )
    return f"{error.operation_name} was refused with {code}: {message}"
