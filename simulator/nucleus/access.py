"""Who may publish and subscribe to what: topics, filters and a component's accessControl. Pure functions."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

LOCAL = "aws.greengrass.ipc.pubsub"
IOT_CORE = "aws.greengrass.ipc.mqttproxy"


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic is one that an MQTT filter (`+` one level, `#` the rest) selects."""
    levels, wanted = topic.split("/"), topic_filter.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False  # MQTT 3.1.1, 4.7.2
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(levels) or level not in ("+", levels[position]):
            return False
    return len(levels) == len(wanted)


def is_filter(text: str) -> bool:
    """Whether MQTT takes it as a topic filter: `+` and `#` are levels of their own, `#` the last (3.1.1, 4.7.1)."""
    levels = text.split("/")
    alone = all(level in ("+", "#") or not {"+", "#"} & set(level) for level in levels)
    return bool(text) and "\0" not in text and alone and "#" not in levels[:-1]


def allowed(configuration: Mapping[str, Any], service: str, operation: str, topic: str) -> bool:
    """Whether a component with this configuration may do `operation` on the topic or filter."""
    return any(
        _resource_matches(service, resource, topic)
        for policy in _policies(configuration, service)
        if {"*", f"aws.greengrass#{operation}"} & set(_strings(policy, "operations"))
        for resource in _strings(policy, "resources")
    )


def _policies(configuration: Mapping[str, Any], service: str) -> Iterator[Mapping[str, Any]]:
    control = configuration.get("accessControl")
    policies = control.get(service) if isinstance(control, dict) else None
    for policy in policies.values() if isinstance(policies, dict) else ():
        if isinstance(policy, dict):
            yield policy


def _strings(policy: Mapping[str, Any], key: str) -> list[str]:
    values = policy.get(key)
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _resource_matches(service: str, resource: str, topic: str) -> bool:
    # "*" stands for any characters in both services; "+" and "#" mean something towards IoT Core only
    pattern = ".*".join(re.escape(part) for part in resource.split("*"))
    if re.fullmatch(pattern, topic) is not None:
        return True
    # whoever asks for "#" must be granted "#": a "+" covers one level only
    covers = resource.endswith("#") or not topic.endswith("#")
    return service == IOT_CORE and covers and matches(resource, topic)
