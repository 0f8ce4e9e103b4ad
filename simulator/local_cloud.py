"""What AWS would be, on 127.0.0.1: broker, object store, IoT, Greengrass' control plane, and our ingest.

Product code reaches all of it through boto3 and MQTT; `environment` holds the endpoints and is all that differs.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import boto3

from models.errors import ConfigError
from models.mqtt import Broker
from simulator import processes
from simulator.authority import Authority
from simulator.aws import Aws
from simulator.broker import INGEST, LocalBroker
from simulator.control.answers import ACCOUNT
from simulator.device_door import DeviceDoor

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "tidegate"
_ROLES = f"arn:aws:iam::{ACCOUNT}:role"


class LocalCloud:
    """Up when constructed, gone when closed; the lake, the keys and the logs stay in `folder`, which one cloud at a
    time may use (ConfigError)."""

    def __init__(self, folder: Path, *, embedded_broker: bool | None = None, commit_s: float = 1.0) -> None:
        self.folder = folder.resolve()
        self.lake = self.folder / "lake"
        self._commit_s = commit_s
        self._ingest: subprocess.Popen[bytes] | None = None
        self._before: dict[str, str | None] | None = None  # of the environment, where it was adopted
        with ExitStack() as opened:
            opened.enter_context(_claimed(self.folder))
            self.authority = Authority(self.folder / "certificates")
            self.broker = LocalBroker(self.folder / "broker", self.authority, embedded=embedded_broker)
            opened.callback(self.broker.close)
            self.broker.start()
            aws = opened.enter_context(Aws(self.folder / "control-plane", authority=self.authority))
            self.control_plane = aws.control_plane
            # for devices that were provisioned; those of `device` go straight to the broker
            self.door = opened.enter_context(
                DeviceDoor(
                    aws.control_plane.account,
                    aws.control_plane.enrolment,
                    self.authority,
                    (self.broker.host, self.broker.port),
                )
            )
            aws.control_plane.iot.data_endpoint = self.door.address
            self.environment = {**aws.environment, **self._places()}
            self._s3().create_bucket(Bucket=BUCKET)
            self._make_role_alias()
            opened.callback(self.stop_ingest)
            self.start_ingest()
            self._opened = opened.pop_all()

    def device(self, thing: str) -> Broker:
        """How this thing connects to the broker, with a certificate of its own."""
        return self.authority.device(thing).broker(self.broker.host, self.broker.port)

    def start_ingest(self) -> None:
        """The real `tidegate ingest`, as a process of its own."""
        command = [sys.executable, "-m", "tidegate", "ingest", "--commit-s", str(self._commit_s)]
        self._ingest = processes.start(command, log=self.folder / "ingest.log", environment=self.environment)

    @property
    def ingest_pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._ingest.pid if self._ingest is not None else None

    def kill_ingest(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        if self._ingest is not None:
            processes.kill(self._ingest)
            self._ingest = None

    def stop_ingest(self) -> None:
        """SIGTERM: it commits what it holds."""
        if self._ingest is not None:
            processes.stop(self._ingest)
            self._ingest = None

    def adopt_environment(self) -> None:
        """Point this very process at the local cloud, as `export` would do for a shell, until `close`."""
        if self._before is None:
            self._before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)

    def close(self) -> None:
        self._opened.close()
        for name, value in (self._before or {}).items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _s3(self) -> "S3Client":
        return boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            # the one region in which a bucket needs no location
            region_name="us-east-1",
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def _make_role_alias(self) -> None:
        """What the infrastructure's stack holds that `tidegate provision` needs; nobody here takes the role."""
        iot = boto3.client(
            "iot",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_IOT"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )
        iot.create_role_alias(roleAlias="tidegate", roleArn=f"{_ROLES}/core-device")
        iot.close()

    def _places(self) -> dict[str, str]:
        identity = self.authority.device(INGEST)
        return {
            "TIDEGATE_REGISTRY": f"s3://{BUCKET}/registry",
            "TIDEGATE_ARTIFACTS": f"s3://{BUCKET}/components",
            "TIDEGATE_LAKE": str(self.lake),
            "TIDEGATE_PROVISIONING_ROLE": f"{_ROLES}/provisioning",
            "TIDEGATE_KEYS": str(self.folder / "keys"),
            "TIDEGATE_STATE": str(self.folder / "rollouts"),
            "TIDEGATE_BROKER": f"{self.broker.host}:{self.broker.port}",
            "TIDEGATE_BROKER_CA": str(identity.ca),
            "TIDEGATE_BROKER_CERTIFICATE": str(identity.certificate),
            "TIDEGATE_BROKER_KEY": str(identity.key),
        }


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Keep a second cloud out of this folder: two ingests on one lake would take each other's streams."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("w")
    except OSError as exc:
        raise ConfigError(f"{folder} cannot be used for a local cloud: {exc.strerror}; choose another folder") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise ConfigError(f"another local cloud runs in {folder}; stop it first, or choose another folder") from exc
        yield
