"""The cloud as a core device sees it: its jobs, components' recipes and their artifacts. boto3 lives here.

A real nucleus learns of jobs over MQTT ($aws/things/THING/jobs/notify-next) and signs nothing with AWS keys but with
its certificate; this one polls the same service's HTTPS API, which is what moto and our control plane speak.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError, ResponseStreamingError

from models.errors import DeployError, StoreError
from simulator.control.answers import FLEET_STATUS

if TYPE_CHECKING:
    from mypy_boto3_greengrassv2 import GreengrassV2Client
    from mypy_boto3_iot_jobs_data import IoTJobsDataPlaneClient
    from mypy_boto3_s3 import S3Client

# read by all devices of this process and changed by none: 14 MB and 0.1 s for each of them otherwise
_SERVICE_DESCRIPTIONS = botocore.loaders.create_loader()
_CHUNK_BYTES = 1 << 16
_DETAIL_LIMIT = 1024  # characters of a status detail
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_NOTHING_TO_DO = ("ResourceNotFoundException", "InvalidStateTransitionException", "TerminalStateException")


# what passes: no network, a service that has its own trouble, or has too much to do
_PASSING = (HTTPClientError, IncompleteReadError, ResponseStreamingError)
_TOO_MANY = 429


class AwayError(DeployError):
    """The cloud could not be reached, or could not answer now: trying again later may help."""


@dataclass
class Faults:
    """May be turned at any time. `gone`: no request gets through, and what is under way breaks off. `damaged`: so many
    of the next artifacts have one bit turned round on their way; `broken_off`: so many stop after their first bytes."""

    gone: bool = False
    damaged: int = 0
    broken_off: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A deployment that waits for this device."""

    id: str
    document: str


@dataclass(frozen=True, slots=True)
class FoundComponent:
    """What the cloud picked for a name and its version requirements."""

    version: str
    recipe: Mapping[str, Any]


class Cloud:
    """Clients for one device. All methods raise AwayError when the cloud is away, DeployError or StoreError when it
    refuses."""

    def __init__(self, environment: Mapping[str, str], faults: Faults | None = None) -> None:
        """`environment`: the AWS_* variables that boto3 would read."""
        self._faults = faults or Faults()
        core = botocore.session.get_session()
        core.register_component("data_loader", _SERVICE_DESCRIPTIONS)
        session = boto3.Session(
            botocore_session=core,
            aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environment.get("AWS_SESSION_TOKEN"),
            region_name=environment.get("AWS_DEFAULT_REGION"),
        )
        config = Config(
            connect_timeout=3, read_timeout=20, retries={"mode": "standard", "max_attempts": 2}, max_pool_connections=2
        )

        def endpoint(service: str) -> str | None:
            return environment.get(f"AWS_ENDPOINT_URL_{service}", environment.get("AWS_ENDPOINT_URL"))

        control_plane = environment.get("AWS_ENDPOINT_URL_GREENGRASSV2")
        self._control_plane = control_plane
        self._fleet_status = f"{control_plane}{FLEET_STATUS}" if control_plane else None
        self._jobs: IoTJobsDataPlaneClient = session.client(
            "iot-jobs-data", endpoint_url=endpoint("IOT_JOBS_DATA_PLANE"), config=config
        )
        self._greengrass: GreengrassV2Client = session.client(
            "greengrassv2", endpoint_url=endpoint("GREENGRASSV2"), config=config
        )
        self._s3: S3Client = session.client("s3", endpoint_url=endpoint("S3"), config=config)

    def next_job(self, thing: str) -> Job | None:
        """The job in progress or else the oldest queued one, now in progress; None when there is nothing to do."""
        with self._spoken_of(f"jobs of {thing}", DeployError):
            execution = self._jobs.start_next_pending_job_execution(thingName=thing).get("execution", {})
        return Job(execution["jobId"], execution["jobDocument"]) if "jobDocument" in execution else None

    def report(self, thing: str, job: Job, *, succeeded: bool, details: Mapping[str, str]) -> None:
        """Say how a job went; a job that somebody cancelled or superseded meanwhile is nobody's business any more."""
        clean = {key: _CONTROL.sub(" ", value)[:_DETAIL_LIMIT] for key, value in details.items() if value}
        with self._spoken_of(f"job {job.id}", DeployError):
            try:
                self._jobs.update_job_execution(
                    thingName=thing,
                    jobId=job.id,
                    status="SUCCEEDED" if succeeded else "FAILED",
                    statusDetails=clean,
                )
            except ClientError as exc:
                if exc.response["Error"]["Code"] not in _NOTHING_TO_DO:
                    raise

    def tell(self, thing: str, status: Mapping[str, Any]) -> None:
        """How the device is (`fleet_status`); our control plane alone listens there."""
        if self._fleet_status is None:
            return
        request = Request(f"{self._fleet_status}{thing}", json.dumps(status).encode(), method="PUT")
        self._check_network(f"status of {thing}")
        try:
            urlopen(request, timeout=5).close()
        except OSError as exc:
            raise AwayError(f"status of {thing}: {exc}") from exc

    def groups_of(self, thing: str) -> frozenset[str] | None:
        """The names of the thing groups that the device is in now, None where nobody can be asked: nothing but our
        control plane has that operation of the data plane here."""
        if self._control_plane is None:
            return None
        self._check_network(f"groups of {thing}")
        try:
            with urlopen(f"{self._control_plane}/greengrass/v2/coreDevices/{thing}/thingGroups", timeout=5) as answer:
                return frozenset(group["thingGroupName"] for group in json.load(answer)["thingGroups"])
        except (OSError, ValueError, KeyError) as exc:
            raise AwayError(f"groups of {thing}: {exc}") from exc

    def find_component(self, name: str, requirements: Mapping[str, str], platform: Mapping[str, str]) -> FoundComponent:
        """The version that meets what everybody (by name) requires of it, and its recipe."""
        with self._spoken_of(f"component {name}", DeployError):
            found = self._greengrass.resolve_component_candidates(
                platform={"attributes": dict(platform)},
                componentCandidates=[{"componentName": name, "versionRequirements": dict(requirements)}],
            )["resolvedComponentVersions"]
        if not found:
            raise DeployError(f"no version of component {name} meets {dict(requirements)}")
        try:
            recipe = json.loads(found[0]["recipe"])
        except ValueError as exc:
            raise DeployError(f"the recipe of {name} is not JSON, all that this nucleus reads: {exc}") from exc
        return FoundComponent(found[0]["componentVersion"], recipe)

    def read(self, uri: str, *, offset: int = 0) -> Iterator[bytes]:
        """An artifact's bytes from `offset` on; none when it ends there or before."""
        parts = urlsplit(uri)
        if parts.scheme != "s3":
            raise StoreError(f"artifact {uri}: this nucleus fetches s3://bucket/key only")
        extra: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
        damaged = self._faults.damaged > 0
        self._faults.damaged -= damaged
        with self._spoken_of(f"artifact {uri}", StoreError):
            try:
                body = self._s3.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"), **extra)["Body"]
                for chunk in body.iter_chunks(_CHUNK_BYTES):
                    self._check_network(f"artifact {uri}")
                    yield bytes([chunk[0] ^ 1]) + chunk[1:] if damaged else chunk
                    damaged = False
                    if self._faults.broken_off > 0:
                        self._faults.broken_off -= 1
                        raise AwayError(f"artifact {uri}: broken off")
            except ClientError as exc:
                if exc.response["Error"]["Code"] != "InvalidRange":
                    raise

    def close(self) -> None:
        for client in (self._jobs, self._greengrass, self._s3):
            client.close()

    @contextmanager
    def _spoken_of(self, what: str, error: type[DeployError] | type[StoreError]) -> Iterator[None]:
        self._check_network(what)
        try:
            yield
        except _PASSING as exc:
            raise AwayError(f"{what}: {exc}") from exc
        except ClientError as exc:
            status = exc.response["ResponseMetadata"]["HTTPStatusCode"]
            raise (AwayError if status >= 500 or status == _TOO_MANY else error)(f"{what}: {exc}") from exc
        except BotoCoreError as exc:
            raise error(f"{what}: {exc}") from exc

    def _check_network(self, what: str) -> None:
        if self._faults.gone:
            raise AwayError(f"{what}: the network is gone")
