"""What the stack is, as CloudFormation would read it."""

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from cloud.commands.infra import arguments
from cloud.infra.image import ROOT
from cloud.infra.least_privilege import wide_writes
from cloud.ingest.aws_lambda import NAMESPACE, figures
from cloud.ingest.kinesis import Taken
from cloud.ingest.rule import PARTITION_KEY, SQL
from greengrass.device_policy import THING
from tidegate import main


def properties(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Of all resources of a kind."""
    return [item["Properties"] for item in template["Resources"].values() if item["Type"] == kind]


def test_cloudformation_would_take_it(template_file: Path) -> None:
    from cfnlint.api import lint_file

    assert [str(found) for found in lint_file(template_file) if found.rule.id.startswith("E")] == []


def test_nobody_may_write_to_everything(template: dict[str, Any]) -> None:
    assert wide_writes(template) == []


def test_buckets_are_versioned_encrypted_private_and_outlive_the_stack(template: dict[str, Any]) -> None:
    buckets = [item for item in template["Resources"].values() if item["Type"] == "AWS::S3::Bucket"]

    assert len(buckets) == 2
    for bucket in buckets:
        has = bucket["Properties"]
        assert has["VersioningConfiguration"] == {"Status": "Enabled"}
        assert has["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert set(has["PublicAccessBlockConfiguration"].values()) == {True}
        assert bucket["DeletionPolicy"] == "Retain"


def test_buckets_refuse_what_is_not_encrypted_on_its_way(template: dict[str, Any]) -> None:
    policies = properties(template, "AWS::S3::BucketPolicy")

    assert len(policies) == 2
    for policy in policies:
        refused = [item["Condition"] for item in policy["PolicyDocument"]["Statement"] if item["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in refused


def test_the_rule_hands_on_what_the_function_reads(template: dict[str, Any]) -> None:
    (rule,) = properties(template, "AWS::IoT::TopicRule")

    payload = rule["TopicRulePayload"]
    assert payload["Sql"] == SQL
    assert [action["Kinesis"]["PartitionKey"] for action in payload["Actions"]] == [PARTITION_KEY]
    assert "CloudwatchLogs" in payload["ErrorAction"]


def test_a_shard_has_one_batch_under_way_and_says_from_where_on_it_failed(template: dict[str, Any]) -> None:
    (source,) = properties(template, "AWS::Lambda::EventSourceMapping")

    assert source["ParallelizationFactor"] == 1
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["BisectBatchOnFunctionError"] is True
    assert source["MaximumRetryAttempts"] > 0  # -1 would be for ever
    assert "OnFailure" in source["DestinationConfig"]


def test_the_functions_are_ours_and_know_their_lake(template: dict[str, Any]) -> None:
    functions = properties(template, "AWS::Lambda::Function")

    assert len(functions) == 2
    for function in functions:
        (command,) = function["ImageConfig"]["Command"]
        module, _, name = command.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
        assert list(function["Environment"]["Variables"]) == ["TIDEGATE_LAKE"]
        assert function["Architectures"] == ["x86_64"]


def test_devices_are_held_to_their_own_name(template: dict[str, Any]) -> None:
    policies = properties(template, "AWS::IoT::Policy")

    assert {policy["PolicyName"] for policy in policies} == {"tidegate-core-device", "tidegate-gateway"}
    for policy in policies:
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Action"] in ("iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"):
                assert all(THING in json.dumps(resource) for resource in statement["Resource"])


def test_the_guide_knows_every_flag_and_alarm(template: dict[str, Any]) -> None:
    guide = (ROOT / "docs" / "aws.md").read_text()
    alarms = [name for name, item in template["Resources"].items() if item["Type"] == "AWS::CloudWatch::Alarm"]
    parser = argparse.ArgumentParser()
    arguments(parser)
    synth = next(action for action in parser._actions if action.choices).choices["synth"]  # type: ignore[index]
    flags = [flag for action in synth._actions for flag in action.option_strings if flag.startswith("--")]

    assert [flag for flag in flags if f"`{flag}`" not in guide and flag not in ("--help", "--json", "--out")] == []
    assert [name for name in alarms if name.removeprefix("Alarm")[:-8] not in guide] == []


def test_every_alarm_tells_somebody_and_watches_what_there_is(template: dict[str, Any]) -> None:
    alarms = properties(template, "AWS::CloudWatch::Alarm")
    ours = {metric["Name"] for metric in figures(Taken(), at_ms=0)["_aws"]["CloudWatchMetrics"][0]["Metrics"]}

    assert {"IteratorAge", "Errors", "Throttles", "refused", "Failure"} <= {alarm["MetricName"] for alarm in alarms}
    for alarm in alarms:
        assert alarm["AlarmActions"]
        assert alarm["AlarmDescription"]
        if alarm["Namespace"] == NAMESPACE:
            assert alarm["MetricName"] in ours
    assert [topic["Endpoint"] for topic in properties(template, "AWS::SNS::Subscription")] == ["ops@example.com"]


def test_the_outputs_are_what_other_commands_read(
    template: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs.json"
    outputs.write_text(json.dumps({"tidegate": dict.fromkeys(template["Outputs"], "value")}))

    assert main(["infra", "env", str(outputs), "--json"]) == 0

    assert {"TIDEGATE_ARTIFACTS", "TIDEGATE_REGISTRY", "TIDEGATE_LAKE", "TIDEGATE_ROLE_ALIAS"} <= set(
        json.loads(capsys.readouterr().out)
    )
