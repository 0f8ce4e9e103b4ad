"""Fleet provisioning as a device meets it over MQTT: a certificate for its key, then a place by a template.

https://docs.aws.amazon.com/iot/latest/developerguide/fleet-provision-api.html; of its two encodings, JSON.
"""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from simulator.control.account import Account
from simulator.control.faults import Faults, refusal
from simulator.control.iot import Iot
from simulator.control.templates import fill
from simulator.restjson import ApiError

_CERTIFICATE = "$aws/certificates/create-from-csr/json"
_PROVISION = re.compile(r"\$aws/provisioning-templates/([^/]+)/provision/json")


class Enrolment:
    """Answers to what devices publish; any thread may ask."""

    def __init__(self, account: Account, iot: Iot, faults: Faults) -> None:
        self._account = account
        self._iot = iot
        self._faults = faults
        self._tokens: dict[str, tuple[str, str]] = {}  # proof of a certificate: its id and ARN

    def answer(self, topic: str, payload: bytes) -> tuple[str, bytes] | None:
        """What goes back to the device that published this, and on which topic; None where nothing does."""
        match = _PROVISION.fullmatch(topic)
        if topic != _CERTIFICATE and match is None:
            return None
        operation = "CreateCertificateFromCsr" if match is None else "RegisterThing"
        fault = self._faults.strike(operation)
        try:
            if fault is not None and (error := refusal(fault, "iot", operation, self._account.region)):
                raise error
            document = _object(payload)
            answer = self._certificate(document) if match is None else self._register(match[1], document)
        except ApiError as exc:
            rejected = {"statusCode": exc.status, "errorCode": exc.code, "errorMessage": str(exc)}
            return f"{topic}/rejected", json.dumps(rejected).encode()
        return (
            None if fault is not None and fault.kind == "lose" else (f"{topic}/accepted", json.dumps(answer).encode())
        )

    def _certificate(self, document: Mapping[str, Any]) -> dict[str, Any]:
        made = self._iot.sign(_text(document, "certificateSigningRequest"), status="INACTIVE")
        token = uuid.uuid4().hex
        self._tokens[token] = made["certificateId"], made["certificateArn"]
        return {
            "certificateId": made["certificateId"],
            "certificatePem": made["certificatePem"],
            "certificateOwnershipToken": token,
        }

    def _register(self, name: str, document: Mapping[str, Any]) -> dict[str, Any]:
        template = self._account.templates.get(name)
        if template is None or not template["enabled"]:
            raise ApiError("ResourceNotFoundException", f"no template {name} is enabled", status=404)
        token = _text(document, "certificateOwnershipToken")
        if token not in self._tokens:
            raise ApiError("InvalidCertificateOwnershipToken", "the token is not one that was given out, or was used")
        parameters = document.get("parameters", {})
        if not isinstance(parameters, dict):
            raise ApiError("InvalidParameters", "parameters must be a JSON object")
        certificate, arn = self._tokens[token]
        wanted = fill(template["body"], parameters, certificate)
        iot = self._account.iot
        try:
            iot.create_thing(thingName=wanted.thing, attributePayload={"attributes": dict(wanted.attributes)})
            for group in wanted.groups:
                iot.add_thing_to_thing_group(thingGroupName=group, thingName=wanted.thing)
            for policy in wanted.policies:
                iot.attach_policy(policyName=policy, target=arn)
            iot.attach_thing_principal(thingName=wanted.thing, principal=arn)
            if wanted.active:
                iot.update_certificate(certificateId=certificate, newStatus="ACTIVE")
        except ClientError as exc:
            raise ApiError("ResourceRegistrationFailureException", str(exc)) from exc
        del self._tokens[token]
        return {"deviceConfiguration": {}, "thingName": wanted.thing}


def _object(payload: bytes) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except ValueError as exc:
        raise ApiError("InvalidPayload", f"the payload is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise ApiError("InvalidPayload", "the payload must be a JSON object")
    return found


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise ApiError("InvalidParameters", f"{name} must be a string, got {value!r}"[:200])
    return value
