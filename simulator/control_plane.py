"""Greengrass v2's control plane, the IoT Jobs data plane and what moto's IoT lacks, behind the real REST APIs.

Unmodified boto3 clients talk to it on loopback. What is not simulated answers 501 and names itself; the operations
are in control/, by subject. `faults` makes any of them fail.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from botocore.model import OperationModel

from simulator.authority import Authority
from simulator.control.account import Account
from simulator.control.answers import FLEET_STATUS, Clock, Operation, not_simulated
from simulator.control.components import Components
from simulator.control.core_devices import CoreDevices
from simulator.control.deployments import DeploymentOperations
from simulator.control.enrolment import Enrolment
from simulator.control.faults import Faults, refusal
from simulator.control.http import LOOPBACK, LoopbackServer
from simulator.control.iot import Iot
from simulator.control.jobs import Jobs
from simulator.restjson import (
    INVALID,
    ApiError,
    Request,
    Response,
    Route,
    find_route,
    parse_request,
    routes,
    serialize,
    serialize_error,
)

log = logging.getLogger(__name__)

_MY_GROUPS = re.compile(r"/greengrass/v2/coreDevices/([^/]+)/thingGroups")  # ListThingGroupsForCoreDevice

__all__ = ["LOOPBACK", "ControlPlane"]


class ControlPlane:
    """Up when constructed, gone when closed. Its memory is a file in `state`, so that a restart forgets nothing."""

    def __init__(
        self,
        aws_endpoint: str,
        state: Path,
        *,
        region: str = "eu-central-1",
        port: int = 0,
        authority: Authority | None = None,
        clock: Clock = time.time,
    ) -> None:
        """`aws_endpoint` answers for S3 and for what of IoT is not ours; `port` 0 lets the system choose. `authority`
        signs devices' certificates (None: one of its own, in `state`)."""
        self.faults = Faults()
        self.account = Account(aws_endpoint, state, region=region)
        self._core_devices = CoreDevices(self.account, clock=clock)
        self._operations: Mapping[str, Operation] = {
            **Components(self.account, clock=clock).operations,
            **DeploymentOperations(self.account, clock=clock).operations,
            **self._core_devices.operations,
            **Jobs(self.account, clock=clock).operations,
        }
        self.iot = Iot(self.account, authority or Authority(state / "certificates"), aws_endpoint, clock=clock)
        self._routes = routes("greengrassv2", "iot-jobs-data")
        self.enrolment = Enrolment(self.account, self.iot, self.faults)
        self._iot_routes = routes("iot")
        self._server = LoopbackServer(port, self.answer)
        # a door of its own: some paths are an operation of IoT's and another one of the jobs' data plane
        self._iot_server = LoopbackServer(0, self.answer_iot)
        self.endpoint = self._server.endpoint
        self.iot_endpoint = self._iot_server.endpoint

    def forget(self) -> None:
        """Start anew: no component, deployment, core device, template or fault is left."""
        self.account.forget()
        self.faults.clear()

    def close(self) -> None:
        self._iot_server.close()
        self._server.close()
        self.account.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def answer(self, request: Request) -> Response | None:
        """The response to a request to Greengrass or the jobs' data plane, None where it gets lost; never raises."""
        if request.target.startswith(FLEET_STATUS):
            return self._take_report(request)
        if (asking := _MY_GROUPS.fullmatch(request.target)) and request.method == "GET":
            return self._my_groups(unquote(asking[1]))

        def act(operation: OperationModel, labels: Mapping[str, str]) -> Response:
            known = self._operations.get(operation.name)
            if known is None:
                raise not_simulated(f"operation {operation.name}")
            return serialize(operation, known(parse_request(operation, labels, request)))

        return self._answer(self._routes, request, act)

    def answer_iot(self, request: Request) -> Response | None:
        """The same for IoT's control plane."""

        def act(operation: OperationModel, labels: Mapping[str, str]) -> Response:
            known = self.iot.operations.get(operation.name)
            if known is None:
                self.iot.check_quotas(operation.name, parse_request(operation, labels, request))
                return self.iot.forward(operation.name, request)
            return serialize(operation, known(parse_request(operation, labels, request)))

        return self._answer(self._iot_routes, request, act)

    def _answer(
        self, table: list[Route], request: Request, act: Callable[[OperationModel, Mapping[str, str]], Response]
    ) -> Response | None:
        try:
            operation, labels = find_route(table, request)
        except ApiError as exc:
            return serialize_error(exc)
        service = operation.service_model.signing_name
        fault = self.faults.strike(operation.name)
        try:
            if fault is not None and (error := refusal(fault, service, operation.name, self.account.region)):
                raise error
            response = act(operation, labels)
            return None if fault is not None and fault.kind == "lose" else response
        except ApiError as exc:
            return serialize_error(exc, operation)
        except Exception as exc:  # a server outlives its bugs, and says so to both sides
            log.exception("%s %s failed", request.method, request.target)
            return serialize_error(ApiError("InternalServerException", f"{type(exc).__name__}: {exc}", status=500))

    def _my_groups(self, thing: str) -> Response:
        try:
            found = json.dumps({"thingGroups": self._core_devices.thing_groups(thing)})
        except ApiError as exc:
            return serialize_error(exc)
        return Response(200, {"Content-Type": "application/json"}, found.encode())

    def _take_report(self, request: Request) -> Response:
        thing = unquote(urlsplit(request.target).path.removeprefix(FLEET_STATUS))
        try:
            report = json.loads(request.body)
            self._core_devices.take_report(thing, report)
        except ValueError as exc:
            return serialize_error(ApiError(INVALID, f"fleet status of {thing} is not JSON: {exc}"))
        except ApiError as exc:
            return serialize_error(exc)
        return Response(200, {"Content-Type": "application/json"}, b"{}")
