"""The server's side of AWS' rest-json protocol, driven by botocore's service models.

botocore writes requests and reads answers; a server must read requests and write answers. Routes, required members,
types, ranges, enumerations and patterns all come from the model, so they are what the real service checks.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StringShape, StructureShape
from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator

INVALID = "ValidationException"


class ApiError(Exception):
    """An answer that is an error: the service's name for it, its HTTP status, and whatever else its shape holds."""

    def __init__(self, code: str, message: str, *, status: int = 400, **members: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.members = {"message": message, **members}


@dataclass(frozen=True, slots=True)
class Request:
    """What came in over HTTP. `target` is the path with its query, still percent-encoded; names of headers are in
    lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What goes out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Route:
    """An operation and the path it answers on: `{x}` takes one segment, `{x+}` all that are left."""

    operation: OperationModel
    method: str
    segments: tuple[str, ...]

    def match(self, method: str, segments: list[str]) -> dict[str, str] | None:
        """The path's labels, or None where the request is not for this operation."""
        if method != self.method:
            return None
        labels: dict[str, str] = {}
        for index, pattern in enumerate(self.segments):
            if pattern.endswith("+}"):
                labels[pattern[1:-2]] = unquote("/".join(segments[index:]))
                return labels
            if index >= len(segments):
                return None
            if pattern.startswith("{"):
                labels[pattern[1:-1]] = unquote(segments[index])
            elif pattern != unquote(segments[index]):
                return None
        return labels if len(segments) == len(self.segments) else None


def routes(*services: str) -> list[Route]:
    """A route for each operation of these services, the more literal ones first."""
    found = []
    for service in services:
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        for name in model.operation_names:
            operation = model.operation_model(name)
            segments = tuple(operation.http["requestUri"].strip("/").split("/"))
            found.append(Route(operation, operation.http["method"], segments))
    return sorted(found, key=lambda route: sum(segment.startswith("{") for segment in route.segments))


def find_route(table: list[Route], request: Request) -> tuple[OperationModel, dict[str, str]]:
    """The operation that the request is for, and its path's labels; ApiError 404 where there is none."""
    path = urlsplit(request.target).path
    for route in table:
        labels = route.match(request.method, path.strip("/").split("/"))
        if labels is not None:
            return route.operation, labels
    raise ApiError("UnknownOperationException", f"no operation answers {request.method} {path}", status=404)


def parse_request(operation: OperationModel, labels: Mapping[str, str], request: Request) -> dict[str, Any]:
    """The operation's parameters as its input shape has them; ApiError where they break the shape's rules."""
    shape = operation.input_shape
    if shape is None:
        return {}
    query = parse_qs(urlsplit(request.target).query, keep_blank_values=True)
    document = _json_object(request.body)
    params: dict[str, Any] = {}
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        wire_name = member.serialization.get("name", name)
        if location == "uri":
            params[name] = _from_text(member, labels[wire_name], name)
        elif location == "querystring" and wire_name in query:
            params[name] = _from_text(member, query[wire_name][-1], name)
        elif location == "header" and wire_name.lower() in request.headers:
            params[name] = _from_text(member, request.headers[wire_name.lower()], name)
        elif location is None and document.get(wire_name) is not None:
            params[name] = _from_json(member, document[wire_name], name)
    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        raise ApiError(INVALID, " ".join(report.generate_report().split()))
    _check_rules(shape, params, "")
    return params


def serialize(operation: OperationModel, result: Mapping[str, Any]) -> Response:
    """The operation's answer. Members that are None are left out; ones that the output shape lacks are a KeyError."""
    status = int(operation.http.get("responseCode", 200))
    shape = operation.output_shape
    if shape is None:
        return Response(status, {}, b"")
    body = json.dumps(_to_json(shape, result)).encode()
    return Response(status, {"Content-Type": "application/json"}, body)


def serialize_error(error: ApiError, operation: OperationModel | None = None) -> Response:
    """An error as rest-json carries it: its name in a header, its members in the body."""
    code = error.code
    known = {shape.name for shape in operation.error_shapes} if operation is not None else set()
    if code == INVALID and INVALID not in known and "InvalidRequestException" in known:
        code = "InvalidRequestException"  # the same thing, as some services call it
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return Response(error.status, headers, json.dumps(error.members).encode())


def _json_object(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        document = json.loads(body)
    except ValueError as exc:
        raise ApiError("SerializationException", f"the body is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise ApiError("SerializationException", f"the body is a JSON {type(document).__name__}, not an object")
    return document


def _from_text(shape: Shape, text: str, where: str) -> Any:
    try:
        if shape.type_name in ("integer", "long"):
            return int(text)
        if shape.type_name == "boolean":
            return {"true": True, "false": False}[text.lower()]
    except (ValueError, KeyError) as exc:
        raise ApiError(INVALID, f"{where}: {text!r} is no {shape.type_name}") from exc
    return text


def _from_json(shape: Shape, value: Any, where: str) -> Any:
    """Blobs become bytes and timestamps datetimes; a value of the wrong kind is left to the validator."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {
            name: _from_json(member, value[name], f"{where}.{name}")
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_from_json(shape.member, item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _from_json(shape.value, item, f"{where}.{key}") for key, item in value.items()}
    if shape.type_name == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as exc:
            raise ApiError("SerializationException", f"{where} is not base64: {exc}") from exc
    if shape.type_name == "timestamp":
        return parse_timestamp(value)
    return value


def _check_rules(shape: Shape, value: Any, where: str) -> None:
    """What botocore leaves to the service: enumerations, patterns and upper bounds."""
    if isinstance(shape, StructureShape):
        for name, item in value.items():
            _check_rules(shape.members[name], item, f"{where}.{name}".lstrip("."))
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value):
            _check_rules(shape.member, item, f"{where}[{index}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            _check_rules(shape.value, item, f"{where}.{key}")
    elif isinstance(shape, StringShape):
        if shape.enum and value not in shape.enum:
            raise ApiError(INVALID, f"{where} must be one of {', '.join(shape.enum)}, got {value!r}")
        # the models' patterns are Java's, which alone knows \p{C}, control characters
        pattern = shape.metadata.get("pattern", "").replace(r"\p{C}", r"\x00-\x1f\x7f-\x9f")
        if pattern and not re.fullmatch(pattern, value):
            raise ApiError(INVALID, f"{where} must match {pattern}, got {value!r}")
    limit = shape.metadata.get("max")
    size = value if shape.type_name in ("integer", "long", "float", "double") else None
    size = len(value) if size is None and hasattr(value, "__len__") else size
    if limit is not None and size is not None and size > limit:
        raise ApiError(INVALID, f"{where} must be at most {limit}, got {size}")


def _to_json(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        return {
            shape.members[name].serialization.get("name", name): _to_json(shape.members[name], item)
            for name, item in value.items()
            if item is not None
        }
    if isinstance(shape, ListShape):
        return [_to_json(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        return {key: _to_json(shape.value, item) for key, item in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    if shape.type_name == "timestamp":
        return value.timestamp() if isinstance(value, datetime) else cast(float, value)
    return value
