"""An account's memory: components, deployments, core devices, provisioning templates; and who is in which thing group.

The memory is one file, so that a restart forgets nothing. Things and groups are moto's, and are asked for each time.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from models.durable import write_atomic
from simulator.component_versions import ComponentVersion, ComponentVersions
from simulator.control.answers import ACCOUNT, not_found
from simulator.deployments import Deployment, Deployments
from simulator.restjson import ApiError

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_s3 import S3Client

STATE_FILE = "control-plane.json"


class Account:
    """What all operations work on, under one `lock`; who changes something calls `save` before letting go of it."""

    def __init__(self, aws_endpoint: str, state: Path, *, region: str) -> None:
        self.region = region
        self.lock = threading.RLock()
        self._file = state / STATE_FILE
        record = json.loads(self._file.read_bytes()) if self._file.exists() else {}
        self.components = ComponentVersions(record.get("components", []))
        self.deployments = Deployments(record.get("deployments", []))
        # core devices, and when they were first heard of; what each last told about itself
        self.devices: dict[str, float] = record.get("devices", {})
        self.reports: dict[str, dict[str, Any]] = record.get("reports", {})
        self.templates: dict[str, dict[str, Any]] = record.get("templates", {})
        settings: dict[str, Any] = {
            "endpoint_url": aws_endpoint,
            "region_name": region,
            "aws_access_key_id": "control-plane",
            "aws_secret_access_key": "control-plane",
            "config": Config(max_pool_connections=64, retries={"mode": "standard"}),
        }
        self.iot: IoTClient = boto3.client("iot", **settings)
        self.s3: S3Client = boto3.client("s3", **settings)

    def save(self) -> None:
        state = {
            "components": self.components.records,
            "deployments": self.deployments.records,
            "devices": self.devices,
            "reports": self.reports,
            "templates": self.templates,
        }
        write_atomic(self._file, json.dumps(state).encode())

    def forget(self) -> None:
        """Start anew: nothing of the above is left."""
        with self.lock:
            self.components.records.clear()
            self.deployments.records.clear()
            self.devices.clear()
            self.reports.clear()
            self.templates.clear()
            self.save()

    def close(self) -> None:
        self.iot.close()
        self.s3.close()

    # -- who is where, as IoT says

    def targets_of(self, thing: str) -> set[str]:
        """The ARNs that a deployment to this thing may name: its groups and itself."""
        with iot_error("thing", thing):
            groups = self.iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
            found = {group["groupArn"] for page in groups for group in page["thingGroups"]}
        return {*found, self.arn("iot", f"thing/{thing}")}

    def members(self, target: str) -> list[str]:
        """The things that a thing's or a group's ARN means."""
        kind, _, name = target.rpartition(":")[2].partition("/")
        with iot_error(kind, name):
            if kind == "thing":
                self.iot.describe_thing(thingName=name)
                return [name]
            pages = self.iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName=name)
            return [thing for page in pages for thing in page["things"]]

    def refresh(self, thing: str, *, now: float) -> None:
        """Bring the device's jobs in line with the groups it is in now."""
        targets = self.targets_of(thing)
        with self.lock:
            if self.deployments.refresh(thing, targets, now=now):
                self.save()

    # -- names

    def arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self.region}:{ACCOUNT}:{rest}"

    def component_arn(self, name: str) -> str:
        return self.arn("greengrass", f"components:{name}")

    def version_arn(self, record: ComponentVersion) -> str:
        return f"{self.component_arn(record['name'])}:versions:{record['version']}"

    def job_arn(self, record: Deployment) -> str:
        return self.arn("iot", f"job/{record['job_id']}")


@contextlib.contextmanager
def iot_error(kind: str, name: str) -> Iterator[None]:
    """Turn what IoT's client raises over something into the answer of an operation."""
    try:
        yield
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            raise not_found(kind, name) from exc
        raise ApiError("InternalServerException", f"IoT said: {exc}", status=500) from exc
    except BotoCoreError as exc:
        raise ApiError("InternalServerException", f"IoT cannot be reached: {exc}", status=500) from exc
