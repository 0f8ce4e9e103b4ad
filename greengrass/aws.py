"""Greengrass and IoT by boto3, with its errors turned into ours."""

import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from models.errors import DeployError

if TYPE_CHECKING:
    from mypy_boto3_greengrassv2 import GreengrassV2Client
    from mypy_boto3_iot import IoTClient

_DENIED = ("AccessDeniedException", "UnauthorizedException")


@dataclass(frozen=True, slots=True)
class Aws:
    """Clients of one account and region. They retry throttling and lost connections, with back-off, by themselves."""

    greengrass: "GreengrassV2Client"
    iot: "IoTClient"


def connect() -> Aws:
    """The clients that the environment's AWS_* variables call for."""
    return _connect(tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))))


@functools.lru_cache(maxsize=4)
def _connect(environment: tuple[tuple[str, str], ...]) -> Aws:
    # making a client takes longer than most calls
    config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=30)
    try:
        session = boto3.Session()
        return Aws(session.client("greengrassv2", config=config), session.client("iot", config=config))
    except (BotoCoreError, ValueError) as exc:
        raise DeployError(f"AWS cannot be used: {exc}; check the AWS_* variables") from exc


@contextlib.contextmanager
def spoken_of(what: str) -> Iterator[None]:
    """Turn boto3's errors into DeployErrors that begin with `what`."""
    try:
        yield
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        message = exc.response.get("Error", {}).get("Message", "")
        if code in _DENIED:
            raise DeployError(f"{what}: access denied to {exc.operation_name}; grant it: {message}") from exc
        raise DeployError(f"{what}: {exc.operation_name} was refused with {code}: {message}") from exc
    except BotoCoreError as exc:
        raise DeployError(f"{what}: AWS cannot be reached or used: {exc}") from exc


def is_missing(error: ClientError) -> bool:
    """Whether the service said that there is no such thing."""
    return error.response.get("Error", {}).get("Code") == "ResourceNotFoundException"
