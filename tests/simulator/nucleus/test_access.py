"""Topics, filters and accessControl."""

import pytest

from simulator.nucleus.access import IOT_CORE, LOCAL, allowed, matches


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),  # an empty level is a level
        ("+", "a/b", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),  # "#" is also the level above it
        ("#", "a/b", True),
        ("#", "$aws/things", False),  # what starts with $ is not everybody's
        ("+/things", "$aws/things", False),
        ("$aws/#", "$aws/things", True),
    ],
)
def test_a_filter_selects_as_mqtt_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected


@pytest.mark.parametrize(
    ("service", "resource", "topic", "expected"),
    [
        (IOT_CORE, "tidegate/v1/results/*", "tidegate/v1/results/5/line", True),
        (IOT_CORE, "tidegate/v1/results/*", "tidegate/v1/acks/line", False),
        (IOT_CORE, "tidegate/+/acks", "tidegate/v1/acks", True),
        (IOT_CORE, "tidegate/#", "tidegate/v1/acks", True),
        (IOT_CORE, "tidegate/+", "tidegate/#", False),  # one level granted is not all levels
        (IOT_CORE, "tidegate/#", "tidegate/#", True),
        (IOT_CORE, "*", "anything", True),
        (LOCAL, "a/*", "a/b/c", True),
        (LOCAL, "a/+", "a/b", False),  # no MQTT wildcards between components
        (LOCAL, "a/+", "a/+", True),
    ],
)
def test_a_component_may_do_what_its_recipe_grants(service: str, resource: str, topic: str, expected: bool) -> None:
    policy = {"operations": ["aws.greengrass#PublishToIoTCore"], "resources": [resource]}
    configuration = {"accessControl": {service: {"one": policy}}}
    assert allowed(configuration, service, "PublishToIoTCore", topic) is expected
    assert not allowed(configuration, service, "SubscribeToIoTCore", topic)


@pytest.mark.parametrize(
    "control",
    [
        None,
        "*",
        {},
        {IOT_CORE: "*"},
        {IOT_CORE: {"one": "*"}},
        {IOT_CORE: {"one": {"operations": "*", "resources": "*"}}},
    ],
)
def test_a_malformed_accesscontrol_grants_nothing(control: object) -> None:
    assert not allowed({"accessControl": control}, IOT_CORE, "PublishToIoTCore", "a")
