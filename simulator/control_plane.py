"""Greengrass v2's control plane and the IoT Jobs data plane, on loopback, behind the real REST API.

moto has neither. Unmodified boto3 clients talk to this one; who is in which thing group is asked of moto's IoT, and
artifacts are read from its S3. What is not simulated answers 501 and names itself. Beyond that it differs from AWS
in that a component version is usable at once, and that single things, too, get their deployments as jobs (AWS sends
those through a shadow).
"""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from models.durable import write_atomic
from simulator.component_versions import ComponentVersion, ComponentVersions
from simulator.deployments import FINAL, Deployment, Deployments, Execution, job_document
from simulator.restjson import (
    INVALID,
    ApiError,
    Request,
    Response,
    find_route,
    parse_request,
    routes,
    serialize,
    serialize_error,
)

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
ACCOUNT = "123456789012"  # moto's
PAGE = 50
MAX_BODY_BYTES = 16 << 20
STATE_FILE = "control-plane.json"

Params = dict[str, Any]


class ControlPlane:
    """Up when constructed, gone when closed. Its memory is a file in `state`, so that a restart forgets nothing."""

    def __init__(self, aws_endpoint: str, state: Path, *, region: str = "eu-central-1", port: int = 0) -> None:
        """`aws_endpoint` answers for IoT and S3; `port` 0 lets the system choose."""
        self._state = state / STATE_FILE
        self._region = region
        self._lock = threading.RLock()
        record = json.loads(self._state.read_bytes()) if self._state.exists() else {}
        self._components = ComponentVersions(record.get("components", []))
        self._deployments = Deployments(record.get("deployments", []))
        self._devices: dict[str, float] = record.get("devices", {})  # core devices, and when they were first heard of
        settings: dict[str, Any] = {
            "endpoint_url": aws_endpoint,
            "region_name": region,
            "aws_access_key_id": "control-plane",
            "aws_secret_access_key": "control-plane",
            "config": Config(max_pool_connections=64, retries={"mode": "standard"}),
        }
        self._iot: IoTClient = boto3.client("iot", **settings)
        self._s3 = boto3.client("s3", **settings)
        self._routes = routes("greengrassv2", "iot-jobs-data")
        self._operations: dict[str, Callable[[Params], Params]] = {
            "CreateComponentVersion": self._create_component_version,
            "DescribeComponent": self._describe_component,
            "GetComponent": self._get_component,
            "DeleteComponent": self._delete_component,
            "ListComponents": self._list_components,
            "ListComponentVersions": self._list_component_versions,
            "ResolveComponentCandidates": self._resolve_component_candidates,
            "CreateDeployment": self._create_deployment,
            "GetDeployment": self._get_deployment,
            "CancelDeployment": self._cancel_deployment,
            "ListDeployments": self._list_deployments,
            "ListEffectiveDeployments": self._list_effective_deployments,
            "GetCoreDevice": self._get_core_device,
            "ListCoreDevices": self._list_core_devices,
            "GetPendingJobExecutions": self._get_pending_job_executions,
            "StartNextPendingJobExecution": self._start_next_pending_job_execution,
            "DescribeJobExecution": self._describe_job_execution,
            "UpdateJobExecution": self._update_job_execution,
        }
        self._server = _Server((LOOPBACK, port), self.answer)
        self.endpoint = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """Start anew: no component, deployment or core device is left."""
        with self._lock:
            self._components.records.clear()
            self._deployments.records.clear()
            self._devices.clear()
            self._save()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._iot.close()
        self._s3.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, request: Request) -> Response:
        """The response to one request of either service; never raises."""
        try:
            operation, labels = find_route(self._routes, request)
        except ApiError as exc:
            return serialize_error(exc)
        try:
            act = self._operations.get(operation.name)
            if act is None:
                raise _not_simulated(f"operation {operation.name}")
            return serialize(operation, act(parse_request(operation, labels, request)))
        except ApiError as exc:
            return serialize_error(exc, operation)
        except Exception as exc:  # a server outlives its bugs, and says so to both sides
            log.exception("%s %s failed", request.method, request.target)
            return serialize_error(ApiError("InternalServerException", f"{type(exc).__name__}: {exc}", status=500))

    # -- components

    def _create_component_version(self, params: Params) -> Params:
        if "lambdaFunction" in params:
            raise _not_simulated("lambdaFunction")
        with self._lock:
            created = self._components.create(params, s3=self._s3, now=time.time())
            self._save()
        return {
            "arn": self._version_arn(created),
            "componentName": created["name"],
            "componentVersion": created["version"],
            "creationTimestamp": created["created_at"],
            # what AWS says at first; DescribeComponent tells what came of it
            "status": {"componentState": "REQUESTED", "message": "NONE", "errors": {}},
        }

    def _describe_component(self, params: Params) -> Params:
        record = self._component(params["arn"])
        state = "FAILED" if record["errors"] else "DEPLOYABLE"
        return {
            "arn": self._version_arn(record),
            "componentName": record["name"],
            "componentVersion": record["version"],
            "creationTimestamp": record["created_at"],
            "publisher": record["recipe"].get("ComponentPublisher"),
            "description": record["recipe"].get("ComponentDescription"),
            "status": {"componentState": state, "message": "NONE", "errors": record["errors"]},
            "platforms": _platforms(record),
            "tags": record["tags"] or None,
        }

    def _get_component(self, params: Params) -> Params:
        if params.get("recipeOutputFormat", "JSON") != "JSON":
            raise _not_simulated(f"recipeOutputFormat {params['recipeOutputFormat']}")
        record = self._component(params["arn"])
        recipe = json.dumps(record["recipe"]).encode()
        return {"recipeOutputFormat": "JSON", "recipe": recipe, "tags": record["tags"] or None}

    def _delete_component(self, params: Params) -> Params:
        with self._lock:
            record = self._component(params["arn"])
            self._components.delete(record["name"], record["version"])
            self._save()
        return {}

    def _list_components(self, params: Params) -> Params:
        names = [] if params.get("scope") == "PUBLIC" else self._components.names()
        found, token = _page(names, params)
        return {"components": [self._component_summary(name) for name in found], "nextToken": token}

    def _component_summary(self, name: str) -> Params:
        latest = self._components.of(name)[0]
        return {
            "arn": self._component_arn(name),
            "componentName": name,
            "latestVersion": {
                "arn": self._version_arn(latest),
                "componentVersion": latest["version"],
                "creationTimestamp": latest["created_at"],
                "description": latest["recipe"].get("ComponentDescription"),
                "publisher": latest["recipe"].get("ComponentPublisher"),
                "platforms": _platforms(latest),
            },
        }

    def _list_component_versions(self, params: Params) -> Params:
        name = params["arn"].rpartition(":components:")[2]
        records, token = _page(self._components.of(name), params)
        found = [
            {"componentName": name, "componentVersion": record["version"], "arn": self._version_arn(record)}
            for record in records
        ]
        return {"componentVersions": found, "nextToken": token}

    def _resolve_component_candidates(self, params: Params) -> Params:
        resolved = []
        for candidate in params.get("componentCandidates", []):
            requirements = candidate.get("versionRequirements", {})
            record = self._components.resolve(candidate["componentName"], requirements)
            resolved.append(
                {
                    "arn": self._version_arn(record),
                    "componentName": record["name"],
                    "componentVersion": record["version"],
                    "recipe": json.dumps(record["recipe"]).encode(),
                    "vendorGuidance": "ACTIVE",
                }
            )
        return {"resolvedComponentVersions": resolved}

    # -- deployments

    def _create_deployment(self, params: Params) -> Params:
        for unknown in ("iotJobConfiguration", "parentTargetArn"):
            if unknown in params:
                raise _not_simulated(unknown)
        target = params["targetArn"]
        members = self._members(target)
        with self._lock:
            now = time.time()
            created = self._deployments.create(target, params, now=now)
            self._save()
        log.info("deployment %s to %s (%d devices)", created["id"], target.rpartition("/")[2], len(members))
        return {
            "deploymentId": created["id"],
            "iotJobId": created["job_id"],
            "iotJobArn": self._job_arn(created),
        }

    def _get_deployment(self, params: Params) -> Params:
        record = self._deployments.get(params["deploymentId"])
        return {
            **self._deployment_summary(record),
            "iotJobId": record["job_id"],
            "iotJobArn": self._job_arn(record),
            "components": record["components"],
            "deploymentPolicies": record["policies"],
            "tags": record["tags"] or None,
        }

    def _cancel_deployment(self, params: Params) -> Params:
        with self._lock:
            self._deployments.cancel(params["deploymentId"], now=time.time())
            self._save()
        return {"message": "canceled"}

    def _list_deployments(self, params: Params) -> Params:
        if "parentTargetArn" in params:
            raise _not_simulated("parentTargetArn")
        latest_only = params.get("historyFilter", "LATEST_ONLY") == "LATEST_ONLY"
        found = [
            record
            for record in reversed(self._deployments.records)
            if record["target"] == params.get("targetArn", record["target"])
            and (not latest_only or self._deployments.is_latest(record))
        ]
        records, token = _page(found, params)
        return {"deployments": [self._deployment_summary(record) for record in records], "nextToken": token}

    def _deployment_summary(self, record: Deployment) -> Params:
        return {
            "targetArn": record["target"],
            "revisionId": str(record["revision"]),
            "deploymentId": record["id"],
            "deploymentName": record["name"],
            "creationTimestamp": record["created_at"],
            "deploymentStatus": self._deployments.status(record, self._awaited(record)),
            "isLatestForTarget": self._deployments.is_latest(record),
        }

    def _awaited(self, record: Deployment) -> list[str]:
        try:
            return self._members(record["target"])
        except ApiError as exc:
            if exc.status != 404:
                raise
            return []  # the group has been deleted since: nobody is left to be waited for

    # -- core devices

    def _list_effective_deployments(self, params: Params) -> Params:
        thing = params["coreDeviceThingName"]
        self._known_device(thing)
        self._refresh(thing)
        pairs, token = _page(self._deployments.effective(thing), params)
        found = [
            {
                "deploymentId": record["id"],
                "deploymentName": record["name"],
                "iotJobId": record["job_id"],
                "iotJobArn": self._job_arn(record),
                "targetArn": record["target"],
                "coreDeviceExecutionStatus": execution["status"],
                "reason": _reason(execution),
                "creationTimestamp": record["created_at"],
                "modifiedTimestamp": execution["updated_at"],
            }
            for record, execution in pairs
        ]
        return {"effectiveDeployments": found, "nextToken": token}

    def _get_core_device(self, params: Params) -> Params:
        thing = params["coreDeviceThingName"]
        self._known_device(thing)
        return self._core_device(thing)

    def _list_core_devices(self, params: Params) -> Params:
        if "runtime" in params:
            raise _not_simulated("runtime")
        things = sorted(self._devices)
        if "thingGroupArn" in params:
            members = set(self._members(params["thingGroupArn"]))
            things = [thing for thing in things if thing in members]
        devices = [self._core_device(thing) for thing in things]
        wanted = params.get("status")
        found, token = _page([device for device in devices if wanted in (None, device["status"])], params)
        return {"coreDevices": found, "nextToken": token}

    def _core_device(self, thing: str) -> Params:
        finished = [execution for _, execution in self._deployments.of(thing) if execution["status"] in FINAL]
        failed = any(execution["status"] == "FAILED" for _, execution in self._deployments.effective(thing))
        return {
            "coreDeviceThingName": thing,
            "status": "UNHEALTHY" if failed else "HEALTHY",
            "lastStatusUpdateTimestamp": max(
                (execution["updated_at"] for execution in finished), default=self._devices[thing]
            ),
        }

    def _known_device(self, thing: str) -> None:
        if thing not in self._devices:
            raise _not_found("core device", thing)

    # -- jobs, as devices see them

    def _get_pending_job_executions(self, params: Params) -> Params:
        pending = self._pending(params["thingName"])
        return {
            "inProgressJobs": [_job_summary(*pair) for pair in pending if pair[1]["status"] == "IN_PROGRESS"],
            "queuedJobs": [_job_summary(*pair) for pair in pending if pair[1]["status"] == "QUEUED"],
        }

    def _start_next_pending_job_execution(self, params: Params) -> Params:
        if "stepTimeoutInMinutes" in params:
            raise _not_simulated("stepTimeoutInMinutes")
        thing = params["thingName"]
        self._pending(thing)
        with self._lock:
            started = self._deployments.start_next(thing, params.get("statusDetails"), now=time.time())
            if started is None:
                return {}
            self._save()
            return {"execution": _job_execution(thing, *started)}

    def _describe_job_execution(self, params: Params) -> Params:
        thing = params["thingName"]
        self._pending(thing)
        record, execution = self._deployments.find(thing, params["jobId"])
        described = _job_execution(thing, record, execution)
        if not params.get("includeJobDocument", True):
            del described["jobDocument"]
        return {"execution": described}

    def _update_job_execution(self, params: Params) -> Params:
        if "stepTimeoutInMinutes" in params:
            raise _not_simulated("stepTimeoutInMinutes")
        with self._lock:
            record, execution = self._deployments.update(
                params["thingName"],
                params["jobId"],
                params["status"],
                details=params.get("statusDetails"),
                expected=params.get("expectedVersion"),
                now=time.time(),
            )
            self._save()
        answer: Params = {}
        if params.get("includeJobExecutionState"):
            answer["executionState"] = {
                "status": execution["status"],
                "statusDetails": execution["details"],
                "versionNumber": execution["version"],
            }
        if params.get("includeJobDocument"):
            answer["jobDocument"] = json.dumps(job_document(record))
        return answer

    def _pending(self, thing: str) -> list[tuple[Deployment, Execution]]:
        """What the device has to do now. Asking makes it a core device that the cloud knows."""
        self._refresh(thing)
        with self._lock:
            if thing not in self._devices:
                self._devices[thing] = time.time()
                self._save()
            return self._deployments.pending(thing)

    def _refresh(self, thing: str) -> None:
        """Bring the device's jobs in line with the groups it is in now."""
        targets = self._targets(thing)
        with self._lock:
            if self._deployments.refresh(thing, targets, now=time.time()):
                self._save()

    # -- who is where, as IoT says

    def _targets(self, thing: str) -> set[str]:
        with _iot_error(f"thing {thing}"):
            groups = self._iot.get_paginator("list_thing_groups_for_thing").paginate(thingName=thing)
            found = {group["groupArn"] for page in groups for group in page["thingGroups"]}
        return {*found, f"arn:aws:iot:{self._region}:{ACCOUNT}:thing/{thing}"}

    def _members(self, target: str) -> list[str]:
        kind, _, name = target.rpartition(":")[2].partition("/")
        with _iot_error(f"{kind} {name}"):
            if kind == "thing":
                self._iot.describe_thing(thingName=name)
                return [name]
            pages = self._iot.get_paginator("list_things_in_thing_group").paginate(thingGroupName=name)
            return [thing for page in pages for thing in page["things"]]

    # -- names and memory

    def _component(self, arn: str) -> ComponentVersion:
        name, _, version = arn.rpartition(":components:")[2].partition(":versions:")
        return self._components.get(name, version)

    def _component_arn(self, name: str) -> str:
        return f"arn:aws:greengrass:{self._region}:{ACCOUNT}:components:{name}"

    def _version_arn(self, record: ComponentVersion) -> str:
        return f"{self._component_arn(record['name'])}:versions:{record['version']}"

    def _job_arn(self, record: Deployment) -> str:
        return f"arn:aws:iot:{self._region}:{ACCOUNT}:job/{record['job_id']}"

    def _save(self) -> None:
        state = {
            "components": self._components.records,
            "deployments": self._deployments.records,
            "devices": self._devices,
        }
        write_atomic(self._state, json.dumps(state).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Callable[[Request], Response]) -> None:
        super().__init__(address, _Handler)
        self.answer = answer


class _Handler(BaseHTTPRequestHandler):
    """HTTP to `answer` and back. One request a connection: nothing lingers when the server closes."""

    server: _Server
    timeout = 30

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            response = serialize_error(
                ApiError(INVALID, f"the body has {length} bytes, at most {MAX_BODY_BYTES}", status=413)
            )
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(length)
            response = self.server.answer(Request(self.command, self.path, headers, body))
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """A line per request says nothing that the events don't."""


def _page(items: list[Any], params: Mapping[str, Any]) -> tuple[list[Any], str | None]:
    """A page of a list, and the token for the next."""
    text = params.get("nextToken", "0")
    if not text.isdigit():
        raise ApiError(INVALID, f"nextToken {text!r} is not one that was given out")
    start = int(text)
    end = start + params.get("maxResults", PAGE)
    return items[start:end], str(end) if end < len(items) else None


def _platforms(record: ComponentVersion) -> list[Params]:
    manifests = record["recipe"]["Manifests"]
    return [
        {"attributes": {key: str(value) for key, value in manifest.get("Platform", {}).items()}}
        for manifest in manifests
    ]


def _job_summary(record: Deployment, execution: Execution) -> Params:
    return {
        "jobId": record["job_id"],
        "queuedAt": int(execution["queued_at"]),
        "startedAt": int(execution["started_at"]) if "started_at" in execution else None,
        "lastUpdatedAt": int(execution["updated_at"]),
        "versionNumber": execution["version"],
        "executionNumber": 1,
    }


def _job_execution(thing: str, record: Deployment, execution: Execution) -> Params:
    return {
        **_job_summary(record, execution),
        "thingName": thing,
        "status": execution["status"],
        "statusDetails": execution["details"],
        "jobDocument": json.dumps(job_document(record)),
    }


def _reason(execution: Execution) -> str | None:
    """Why it went as it did, in the device's words."""
    details = execution["details"]
    return details.get("deployment-failure-cause") or details.get("detailed-deployment-status")


@contextlib.contextmanager
def _iot_error(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        if exc.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            raise _not_found(*what.split(" ", 1)) from exc
        raise ApiError("InternalServerException", f"IoT said: {exc}", status=500) from exc
    except BotoCoreError as exc:
        raise ApiError("InternalServerException", f"IoT cannot be reached: {exc}", status=500) from exc


def _not_found(kind: str, name: str) -> ApiError:
    return ApiError(
        "ResourceNotFoundException", f"{kind} {name} is not there", status=404, resourceId=name, resourceType=kind
    )


def _not_simulated(what: str) -> ApiError:
    return ApiError("NotImplementedException", f"{what} is not simulated", status=501)
