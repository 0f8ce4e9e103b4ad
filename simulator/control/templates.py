"""Provisioning templates: what a device's parameters make of one. Pure.

Of AWS' template language: Parameters with Type, Default; Resources of the types thing, certificate and policy; Ref and
Fn::Join. https://docs.aws.amazon.com/iot/latest/developerguide/provision-template.html
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.control.answers import not_simulated
from simulator.restjson import ApiError

CERTIFICATE_ID = "AWS::IoT::Certificate::Id"
_THING, _CERTIFICATE, _POLICY = "AWS::IoT::Thing", "AWS::IoT::Certificate", "AWS::IoT::Policy"
_INVALID = "InvalidRequestException"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What a template asks for: a thing with attributes, in groups; policies for its certificate, and whether that is
    active."""

    thing: str
    groups: tuple[str, ...]
    attributes: Mapping[str, str]
    policies: tuple[str, ...]
    active: bool


def check_template(body: str) -> None:
    """ApiError unless this is a template that we can carry out."""
    try:
        template = json.loads(body)
    except ValueError as exc:
        raise ApiError(_INVALID, f"templateBody is not JSON: {exc}") from exc
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise ApiError(_INVALID, "templateBody must be a JSON object with Resources")
    kinds = [resource.get("Type") for resource in template["Resources"].values()]
    for kind in kinds:
        if kind not in (_THING, _CERTIFICATE, _POLICY):
            raise ApiError(
                _INVALID, f"templateBody: a resource must be of type thing, certificate or policy, got {kind}"
            )
    if kinds.count(_CERTIFICATE) != 1 or kinds.count(_THING) > 1:
        raise ApiError(_INVALID, "templateBody: it must have one certificate and at most one thing")


def fill(template: Mapping[str, Any], parameters: Mapping[str, str], certificate: str) -> Enrolment:
    """The template with a device's parameters; ApiError when one is missing, or not among the template's."""
    declared = template.get("Parameters", {})
    for name in parameters:
        if name not in declared:
            raise ApiError(_INVALID, f"the template has no parameter {name}")
    defaults = {name: spec["Default"] for name, spec in declared.items() if "Default" in spec}
    values = {**defaults, **parameters, CERTIFICATE_ID: certificate}
    thing, groups, attributes, policies, active = "", [], {}, [], True
    for resource in template["Resources"].values():
        properties = {key: _value(item, values) for key, item in resource.get("Properties", {}).items()}
        if resource["Type"] == _THING:
            thing = properties["ThingName"]
            groups = properties.get("ThingGroups", [])
            attributes = properties.get("AttributePayload", {})
        elif resource["Type"] == _POLICY:
            policies.append(properties["PolicyName"])
        else:
            active = properties.get("Status", "ACTIVE").upper() == "ACTIVE"
    return Enrolment(thing, tuple(groups), attributes, tuple(policies), active)


def _value(item: Any, values: Mapping[str, str]) -> Any:
    if isinstance(item, list):
        return [_value(part, values) for part in item]
    if not isinstance(item, dict):
        return item
    if set(item) == {"Ref"}:
        if item["Ref"] not in values:
            raise ApiError(_INVALID, f"the template needs the parameter {item['Ref']}")
        return values[item["Ref"]]
    if set(item) == {"Fn::Join"}:
        separator, parts = item["Fn::Join"]
        return separator.join(_value(part, values) for part in parts)
    if any(key.startswith("Fn::") for key in item):
        raise not_simulated(", ".join(sorted(item)))
    return {key: _value(part, values) for key, part in item.items()}
