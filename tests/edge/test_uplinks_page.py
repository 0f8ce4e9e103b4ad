"""What docs/uplinks.md says to write is what a gateway reads, and what it may do is what it does."""

import json
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

from edge.config import UplinkConfig
from models.configuration import parse
from models.topics import acks_topic, results_topic

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "uplinks.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_configuration_is_one() -> None:
    config = parse(UplinkConfig, tomllib.loads(block("toml"))["uplink"], where="docs/uplinks.md")
    assert config.kind == "aws"
    assert config.host.endswith(".amazonaws.com")


def test_the_policy_allows_what_a_gateway_does_and_no_more() -> None:
    policy = {entry["Action"]: entry["Resource"] for entry in json.loads(block("json"))["Statement"]}
    allowed = {
        action: resource.replace("${iot:Connection.Thing.ThingName}", "pi-1").partition(":ACCOUNT:")[2]
        for action, resource in policy.items()
    }
    assert allowed["iot:Connect"] == "client/pi-1"
    assert fnmatchcase(f"topic/{results_topic('pi-1')}", allowed["iot:Publish"])
    assert not fnmatchcase(f"topic/{results_topic('pi-2')}", allowed["iot:Publish"])
    assert allowed["iot:Subscribe"] == f"topicfilter/{acks_topic('pi-1')}"
    assert allowed["iot:Receive"] == f"topic/{acks_topic('pi-1')}"
