"""The way of results: rule, stream, the function that commits them to the lake, and the one that keeps it in order."""

from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_iot as iot
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from cloud.infra.allow import allow, allow_list, role
from cloud.infra.image import DOCKERFILE
from cloud.infra.settings import Settings
from cloud.infra.storage import LAKE
from cloud.ingest.rule import PARTITION_KEY, SQL, SQL_VERSION

_BATCH = 2_000  # Lambda also stops at 6 MB
_ATTEMPTS = 10
_TAKE_IN_S = 120
_KEEP_UP_S = 600
_LAKE_TABLES_LOGS = f"{LAKE}/*/_delta_log/*"


@dataclass(frozen=True, slots=True)
class Results:
    """What alarms look at. `rule`: its name."""

    rule: str
    stream: kinesis.Stream
    take_in: lambda_.Function
    keep_up: lambda_.Function
    dead_letters: sqs.Queue


def results(stack: cdk.Stack, settings: Settings, lake: s3.Bucket, image: Path) -> Results:
    """Make all of it. `image`: the folder that the functions' image is built from."""
    stream = kinesis.Stream(
        stack,
        "Results",
        shard_count=settings.shards,
        stream_mode=kinesis.StreamMode.PROVISIONED,
        encryption=kinesis.StreamEncryption.MANAGED,
        retention_period=cdk.Duration.hours(24),
    )
    dead_letters = sqs.Queue(
        stack,
        "DeadLetters",
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=cdk.Duration.days(14),
    )
    take_in = _function(
        stack, "TakeIn", settings, image, lake, seconds=_TAKE_IN_S, statements=_may_take_in(stack, lake, stream)
    )
    take_in.add_event_source(
        sources.KinesisEventSource(
            stream,
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            batch_size=_BATCH,
            max_batching_window=cdk.Duration.seconds(settings.gather_s),
            # one batch of a shard at a time: a stream of results has one writer
            parallelization_factor=1,
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            retry_attempts=_ATTEMPTS,
            # a gateway that was not told has sent it again long before
            max_record_age=cdk.Duration.hours(1),
            on_failure=sources.SqsDlq(dead_letters),
        )
    )
    keep_up = _function(stack, "KeepUp", settings, image, lake, seconds=_KEEP_UP_S, statements=_may_keep_up(lake))
    keep_up.configure_async_invoke(retry_attempts=0)  # the next one comes by the clock
    _every(stack, "Compact", cdk.Duration.minutes(15), keep_up, {})
    _every(stack, "Sweep", cdk.Duration.days(1), keep_up, {"sweep": True})
    return Results(_rule(stack, settings.name, stream), stream, take_in, keep_up, dead_letters)


def _rule(stack: cdk.Stack, name: str, stream: kinesis.Stream) -> str:
    failed = _log_group(stack, "RuleErrors")
    may_write = role(
        stack,
        "RuleRole",
        trusts="iot.amazonaws.com",
        statements=[
            allow("kinesis:PutRecord", on=stream.stream_arn),
            allow("logs:CreateLogStream", "logs:PutLogEvents", on=failed.log_group_arn),
            allow("logs:DescribeLogStreams", on=failed.log_group_arn),
        ],
    )
    rule = iot.CfnTopicRule(
        stack,
        "Rule",
        rule_name=f"{name.replace('-', '_')}_results",
        topic_rule_payload=iot.CfnTopicRule.TopicRulePayloadProperty(
            sql=SQL,
            aws_iot_sql_version=SQL_VERSION,
            description="Gateways' results to Kinesis, by gateway",
            rule_disabled=False,
            actions=[
                iot.CfnTopicRule.ActionProperty(
                    kinesis=iot.CfnTopicRule.KinesisActionProperty(
                        stream_name=stream.stream_name, partition_key=PARTITION_KEY, role_arn=may_write.role_arn
                    )
                )
            ],
            error_action=iot.CfnTopicRule.ActionProperty(
                cloudwatch_logs=iot.CfnTopicRule.CloudwatchLogsActionProperty(
                    log_group_name=failed.log_group_name, role_arn=may_write.role_arn
                )
            ),
        ),
    )
    return str(rule.rule_name)


def _function(
    stack: cdk.Stack,
    name: str,
    settings: Settings,
    image: Path,
    lake: s3.Bucket,
    *,
    seconds: int,
    statements: list[iam.PolicyStatement],
) -> lambda_.Function:
    said = _log_group(stack, f"{name}Log")
    arm = settings.architecture == "arm64"
    own = allow("logs:CreateLogStream", "logs:PutLogEvents", on=said.log_group_arn)
    return lambda_.DockerImageFunction(
        stack,
        name,
        code=lambda_.DockerImageCode.from_image_asset(
            str(image),
            file=DOCKERFILE,
            cmd=[f"cloud.ingest.aws_lambda.{_HANDLERS[name]}"],
            platform=ecr_assets.Platform.LINUX_ARM64 if arm else ecr_assets.Platform.LINUX_AMD64,
        ),
        architecture=lambda_.Architecture.ARM_64 if arm else lambda_.Architecture.X86_64,
        memory_size=2048,  # a whole core, and some more
        timeout=cdk.Duration.seconds(seconds),
        environment={"TIDEGATE_LAKE": f"s3://{lake.bucket_name}/{LAKE}"},
        log_group=said,
        role=role(stack, f"{name}Role", trusts="lambda.amazonaws.com", only_here=False, statements=[own, *statements]),
    )


_HANDLERS = {"TakeIn": "take_in", "KeepUp": "keep_up"}


def _may_take_in(stack: cdk.Stack, lake: s3.Bucket, stream: kinesis.Stream) -> list[iam.PolicyStatement]:
    acks = cdk.Arn.format(cdk.ArnComponents(service="iot", resource="topic", resource_name="tidegate/v1/acks/*"), stack)
    objects = lake.arn_for_objects
    return [
        allow_list(lake, LAKE),
        allow("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", on=objects(f"{LAKE}/*")),
        # of the tables' data it may delete nothing
        allow(
            "s3:DeleteObject",
            on=[objects(f"{LAKE}/objects/waiting/*"), objects(f"{LAKE}/quarantine/*"), objects(_LAKE_TABLES_LOGS)],
        ),
        allow("iot:Publish", on=acks),
    ]


def _may_keep_up(lake: s3.Bucket) -> list[iam.PolicyStatement]:
    return [
        allow_list(lake, LAKE),
        allow(
            "s3:GetObject",
            "s3:PutObject",
            "s3:DeleteObject",
            "s3:AbortMultipartUpload",
            on=lake.arn_for_objects(f"{LAKE}/*"),
        ),
    ]


def _every(stack: cdk.Stack, name: str, how_often: cdk.Duration, function: lambda_.Function, event: object) -> None:
    rule = events.Rule(stack, name, schedule=events.Schedule.rate(how_often))
    rule.add_target(targets.LambdaFunction(function, event=events.RuleTargetInput.from_object(event), retry_attempts=0))


def _log_group(stack: cdk.Stack, name: str) -> logs.LogGroup:
    return logs.LogGroup(stack, name, retention=logs.RetentionDays.ONE_MONTH, removal_policy=cdk.RemovalPolicy.DESTROY)
