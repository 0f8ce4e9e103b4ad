"""Fleet provisioning by claim, the device's end: ask for a certificate of one's own, by MQTT.

https://docs.aws.amazon.com/iot/latest/developerguide/fleet-provision-api.html
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.backoff import delays
from edge.identity import make_request, stage
from models.errors import UplinkError
from models.mqtt import Broker, Connection

CLIENTS = "tidegate-claim-"  # the claim's policy lets in whoever's client id begins so
_CERTIFICATE = "$aws/certificates/create-from-csr/json"
_ATTEMPTS = 8
_TOKENS = 3
_TRY_AGAIN = (429, 500, 502, 503)


def enrol(
    folder: Path,
    *,
    name: str,
    template: str,
    broker: Broker,
    connect_s: float = 60.0,
    answer_s: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Become the thing `name` by a provisioning template; the folder of what is staged for it (edge.identity.switch).

    `broker` holds the claim. The key is made here, or was by a call that died. UplinkError when the cloud is away or
    refuses, with its reason.
    """
    request = make_request(folder, name).read_text()
    register = f"$aws/provisioning-templates/{template}/provision/json"
    answers = [f"{topic}/{answer}" for topic in (_CERTIFICATE, register) for answer in ("accepted", "rejected")]
    with Connection(broker, client_id=f"{CLIENTS}{name}", subscriptions=answers) as connection:
        if not connection.wait_until_ready(connect_s):
            raise UplinkError(
                f"{broker.host}:{broker.port} did not let the claim in within {connect_s:g} s; is it active, and "
                f"for the template {template!r}?"
            )
        for attempt in range(_TOKENS):
            made = _ask(connection, _CERTIFICATE, {"certificateSigningRequest": request}, answer_s, sleep)
            token, parameters = made["certificateOwnershipToken"], {"ThingName": name}
            proof = {"certificateOwnershipToken": token, "parameters": parameters}
            try:
                _ask(connection, register, proof, answer_s, sleep)
                break
            except _RefusedError as exc:
                # it may have been taken, and the answer lost: a token is good for once
                if exc.code != "InvalidCertificateOwnershipToken" or attempt == _TOKENS - 1:
                    raise
    return stage(folder, made["certificatePem"].encode())


class _RefusedError(UplinkError):
    """The cloud says no, and will again."""

    def __init__(self, topic: str, code: str, message: str) -> None:
        super().__init__(f"the cloud refuses {topic}: {code}: {message}")
        self.code = code


def _ask(
    connection: Connection, topic: str, document: Mapping[str, Any], answer_s: float, sleep: Callable[[float], None]
) -> dict[str, Any]:
    """What the cloud accepts; asked again where it is only overburdened, or says nothing."""
    said = "no answer"
    for _, delay in zip(range(_ATTEMPTS), delays(1.0, 30.0), strict=False):
        connection.publish(topic, json.dumps(document).encode())
        message = connection.receive(answer_s)
        while message is not None and not message.topic.startswith(f"{topic}/"):
            message = connection.receive(answer_s)  # a late answer to what was asked before
        if message is not None:
            answer = _read(message.payload, topic)
            if message.topic.endswith("/accepted"):
                return answer
            code, said = str(answer.get("errorCode")), str(answer.get("errorMessage"))
            if answer.get("statusCode") not in _TRY_AGAIN:
                raise _RefusedError(topic, code, said)
        sleep(delay)
    raise UplinkError(f"the cloud does not do {topic} after {_ATTEMPTS} attempts: {said}; try again later")


def _read(payload: bytes, topic: str) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except ValueError as exc:
        raise UplinkError(f"the answer to {topic} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise UplinkError(f"the answer to {topic} is a JSON {type(found).__name__}, not an object")
    return found
