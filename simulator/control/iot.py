"""AWS IoT's control plane: what moto's lacks or gets wrong is answered here, all else is moto's.

- Certificates from a signing request: moto signs a key of its own instead of the request's.
- Provisioning templates: moto has none.
- Jobs: moto's reach no device (control/job_views.py).
- Endpoints: moto invents names that lead nowhere.
- Quotas of things: moto has none.
"""

import json
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from botocore import xform_name
from cryptography import x509
from moto.iot.responses import IoTResponse

from simulator.authority import Authority
from simulator.control.account import Account, iot_error
from simulator.control.answers import Clock, Operation, Params, not_found, not_simulated, page, refuse
from simulator.control.job_views import JobViews
from simulator.control.templates import check_template
from simulator.restjson import ApiError, Request, Response

INVALID_REQUEST = "InvalidRequestException"
GROUPS_OF_A_THING = 10
_ATTRIBUTES_WITHOUT_TYPE = 3
_FORWARD_S = 30
_HOP = ("connection", "content-length", "host", "transfer-encoding")  # headers of one leg only


class Iot:
    """Answers by name of operation, and `forward` for those of moto's."""

    def __init__(self, account: Account, authority: Authority, moto_endpoint: str, *, clock: Clock = time.time) -> None:
        self._account = account
        self._authority = authority
        self._moto = urlsplit(moto_endpoint)
        self._clock = clock
        self.data_endpoint = ""  # where devices connect, HOST:PORT; empty: nowhere
        self.operations: Mapping[str, Operation] = {
            "CreateCertificateFromCsr": self._create_certificate_from_csr,
            "DescribeEndpoint": self._describe_endpoint,
            "CreateProvisioningTemplate": self._create_template,
            "DescribeProvisioningTemplate": self._describe_template,
            "ListProvisioningTemplates": self._list_templates,
            "UpdateProvisioningTemplate": self._update_template,
            "DeleteProvisioningTemplate": self._delete_template,
            **JobViews(account, clock=clock).operations,
        }

    def forward(self, operation: str, request: Request) -> Response:
        """What moto answers; ApiError 501 for what it has not."""
        if not hasattr(IoTResponse, xform_name(operation)):
            raise not_simulated(f"operation {operation}")
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        connection = HTTPConnection(self._moto.hostname or "", self._moto.port, timeout=_FORWARD_S)
        try:
            connection.request(request.method, request.target, body=request.body, headers=headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in (*_HOP, "date", "server")}
            return Response(answer.status, kept, answer.read())
        except (OSError, HTTPException) as exc:
            raise ApiError("ServiceUnavailableException", f"moto cannot be reached: {exc}", status=503) from exc
        finally:
            connection.close()

    def check_quotas(self, operation: str, params: Params) -> None:
        """ApiError for what moto would do and AWS IoT refuses: a thing in too many groups, or with too many attributes.

        https://docs.aws.amazon.com/general/latest/gr/iot-core.html#thing-limits
        """
        if operation == "AddThingToThingGroup":
            self._check_groups(params.get("thingName", ""), {params.get("thingGroupName", "")}, set())
        elif operation == "UpdateThingGroupsForThing":
            adds, removes = params.get("thingGroupsToAdd", []), params.get("thingGroupsToRemove", [])
            self._check_groups(params["thingName"], {*adds}, {*removes})
        elif operation in ("CreateThing", "UpdateThing") and not params.get("thingTypeName"):
            self._check_attributes(operation, params)

    def _check_groups(self, thing: str, adds: set[str], removes: set[str]) -> None:
        groups = {arn.rpartition("/")[2] for arn in self._account.targets_of(thing) if ":thinggroup/" in arn}
        if len((groups | adds) - removes) > GROUPS_OF_A_THING:
            raise ApiError(INVALID_REQUEST, f"Thing {thing} cannot be in more than {GROUPS_OF_A_THING} thing groups")

    def _check_attributes(self, operation: str, params: Params) -> None:
        payload = params.get("attributePayload", {})
        names = {*payload.get("attributes", {})}
        if operation == "UpdateThing":
            with iot_error("thing", params["thingName"]):
                found = self._account.iot.describe_thing(thingName=params["thingName"])
            if found.get("thingTypeName"):
                return
            names |= {*found.get("attributes", {})} if payload.get("merge") else set()
        if len(names) > _ATTRIBUTES_WITHOUT_TYPE:
            raise ApiError(
                INVALID_REQUEST, f"A thing without a thing type has at most {_ATTRIBUTES_WITHOUT_TYPE} attributes"
            )

    def sign(self, csr: str, *, status: str) -> Params:
        """A certificate for the key of a signing request, known to moto; ApiError for a request that is none."""
        try:
            request = x509.load_pem_x509_csr(csr.encode())
            pem = self._authority.sign(request)
        except ValueError as exc:
            raise ApiError(INVALID_REQUEST, f"The certificate signing request cannot be used: {exc}") from exc
        registered = self._account.iot.register_certificate_without_ca(certificatePem=pem, status="INACTIVE")
        if status != "INACTIVE":
            self._account.iot.update_certificate(certificateId=registered["certificateId"], newStatus="ACTIVE")
        return {
            "certificateArn": registered["certificateArn"],
            "certificateId": registered["certificateId"],
            "certificatePem": pem,
        }

    def _create_certificate_from_csr(self, params: Params) -> Params:
        status = "ACTIVE" if params.get("setAsActive") else "INACTIVE"
        return self.sign(params["certificateSigningRequest"], status=status)

    def _describe_endpoint(self, params: Params) -> Params:
        # all of them: nobody hands out credentials here, and jobs are asked for elsewhere
        if not self.data_endpoint:
            raise ApiError(INVALID_REQUEST, "this control plane runs without a broker, so there is no endpoint")
        return {"endpointAddress": self.data_endpoint}

    # -- provisioning templates

    def _create_template(self, params: Params) -> Params:
        refuse(params, "preProvisioningHook")
        if params.get("type", "FLEET_PROVISIONING") != "FLEET_PROVISIONING":
            raise not_simulated(f"type {params['type']}")
        name = params["templateName"]
        check_template(params["templateBody"])
        with self._account.lock:
            if name in self._account.templates:
                raise ApiError("ResourceAlreadyExistsException", f"template {name} exists already", status=409)
            now = self._clock()
            self._account.templates[name] = {
                "body": json.loads(params["templateBody"]),
                "description": params.get("description", ""),
                "enabled": params.get("enabled", False),
                "role": params["provisioningRoleArn"],
                "created_at": now,
                "modified_at": now,
            }
            self._account.save()
        return {"templateArn": self._template_arn(name), "templateName": name, "defaultVersionId": 1}

    def _describe_template(self, params: Params) -> Params:
        name = params["templateName"]
        found = self._template(name)
        return {
            "templateArn": self._template_arn(name),
            "templateName": name,
            "description": found["description"],
            "creationDate": found["created_at"],
            "lastModifiedDate": found["modified_at"],
            "defaultVersionId": 1,
            "templateBody": json.dumps(found["body"]),
            "enabled": found["enabled"],
            "provisioningRoleArn": found["role"],
            "type": "FLEET_PROVISIONING",
        }

    def _list_templates(self, params: Params) -> Params:
        names, token = page(sorted(self._account.templates), params)
        found = [
            {
                "templateArn": self._template_arn(name),
                "templateName": name,
                "description": self._account.templates[name]["description"],
                "creationDate": self._account.templates[name]["created_at"],
                "lastModifiedDate": self._account.templates[name]["modified_at"],
                "enabled": self._account.templates[name]["enabled"],
                "type": "FLEET_PROVISIONING",
            }
            for name in names
        ]
        return {"templates": found, "nextToken": token}

    def _update_template(self, params: Params) -> Params:
        refuse(params, "preProvisioningHook", "removePreProvisioningHook", "defaultVersionId")
        with self._account.lock:
            found = self._template(params["templateName"])
            found["enabled"] = params.get("enabled", found["enabled"])
            found["description"] = params.get("description", found["description"])
            found["role"] = params.get("provisioningRoleArn", found["role"])
            found["modified_at"] = self._clock()
            self._account.save()
        return {}

    def _delete_template(self, params: Params) -> Params:
        with self._account.lock:
            self._template(params["templateName"])
            del self._account.templates[params["templateName"]]
            self._account.save()
        return {}

    def _template(self, name: str) -> Params:
        if name not in self._account.templates:
            raise not_found("provisioning template", name)
        return self._account.templates[name]

    def _template_arn(self, name: str) -> str:
        return self._account.arn("iot", f"provisioningtemplate/{name}")
