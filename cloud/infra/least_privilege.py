"""Whether a CloudFormation template gives anybody the right to write to everything. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# what begins otherwise changes something, or is taken to
_READS = ("BatchGet", "Describe", "Get", "Head", "List", "Resolve", "Search", "Select")


def wide_writes(template: Mapping[str, Any]) -> list[str]:
    """A line for each statement that allows an action that is no read on all resources, of a kind or at all, and for
    each policy that cannot be looked into."""
    complaints = []
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        for arn in properties.get("ManagedPolicyArns", ()):
            complaints.append(f"{name}: a policy of somebody else's, which may allow anything: {_text(arn)}")
        for statement in _statements(properties):
            complaints += [f"{name}: {why}" for why in _wide(statement)]
    return complaints


def _statements(properties: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All that allow something to a role, a user or a device. In a resource's own policy `*` is but that resource."""
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
    if "PolicyDocument" in properties and not {"Bucket", "Queues", "Topics"} & properties.keys():
        documents.append(properties["PolicyDocument"])
    for document in documents:
        for statement in _list(document["Statement"]):
            if statement["Effect"] == "Allow":
                yield statement


def _wide(statement: Mapping[str, Any]) -> Iterator[str]:
    if "NotAction" in statement or "NotResource" in statement:
        yield "allows everything but something"
        return
    everything = [text for resource in _list(statement["Resource"]) if _is_everything(text := _text(resource))]
    writes = [action for action in _list(statement["Action"]) if not _is_read(action)]
    if everything and writes:
        yield f"{', '.join(writes)} on {everything[0]}"


def _is_read(action: str) -> bool:
    return action.partition(":")[2].startswith(_READS)


def _is_everything(arn: str) -> bool:
    """`*`, or an ARN that says no more than the service."""
    return arn == "*" or (arn.count(":") >= 5 and arn.split(":", 5)[5] in ("*", "*:*", "*/*"))


def _text(value: Any) -> str:
    """A resource as text, references left open."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(_text(part) for part in parts)
    if "Fn::Sub" in value:
        pattern = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"][0]
        return re.sub(r"\$\{[^}]*\}", "<reference>", pattern)
    return "<reference>"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
