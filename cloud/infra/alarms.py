"""What somebody has to hear of."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions

from cloud.infra.results import Results

NAMESPACE = "tidegate"  # of what the function counts itself (cloud/ingest/aws_lambda.py)
_AGE_LIMIT_MS = 5 * 60_000


@dataclass(frozen=True, slots=True)
class Watch:
    """An alarm: `metric` at or above `at` in `periods` periods of 5 minutes running."""

    name: str
    metric: cloudwatch.Metric
    tells: str
    at: float = 1
    periods: int = 1


def alarms(stack: cdk.Stack, results: Results, *, email: str) -> sns.Topic:
    """Make the alarms and the topic that they go to."""
    topic = _topic(stack, email)
    for watch in watches(results):
        alarm = cloudwatch.Alarm(
            stack,
            f"Alarm{watch.name}",
            metric=watch.metric,
            threshold=watch.at,
            evaluation_periods=watch.periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=watch.tells,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))
        alarm.add_ok_action(actions.SnsAction(topic))
    return topic


def watches(results: Results) -> list[Watch]:
    """All of them. Nothing that any of these tells of is lost: gateways keep what was not acknowledged."""
    take_in, keep_up, stream = results.take_in, results.keep_up, results.stream
    return [
        Watch(
            "IteratorAge",
            take_in.metric("IteratorAge", statistic="Maximum"),
            "Results wait in Kinesis for more than 5 minutes: the function fails, or needs more shards",
            at=_AGE_LIMIT_MS,
        ),
        Watch("Errors", take_in.metric_errors(), "The ingest function raises: see its log"),
        Watch("Throttles", take_in.metric_throttles(), "The account's Lambda concurrency is used up"),
        Watch("LakeFailures", _own("lake_failures"), "The lake took nothing in: S3, or its permissions", at=3),
        Watch("Quarantine", _own("refused"), "A gateway sends what cannot be read: see lake/quarantine/ and `losses`"),
        Watch("Strange", _own("strange"), "Something else than the rule writes to the stream"),
        Watch("Untold", _own("untold"), "Acknowledgements cannot be sent, so gateways send again", at=10, periods=3),
        Watch(
            "DeadLetters",
            results.dead_letters.metric_approximate_number_of_messages_visible(statistic="Maximum"),
            "Batches were given up; their gateways send them again",
        ),
        Watch("RuleFailed", _of_the_rule(results.rule, "Failure"), "The rule cannot write to Kinesis: see its log"),
        Watch(
            "StreamFull",
            stream.metric_write_provisioned_throughput_exceeded(statistic="Sum"),
            "The stream takes no more: it needs more shards",
        ),
        Watch("KeepUp", keep_up.metric_errors(), "The lake is not compacted: queries become slow", periods=3),
    ]


def _own(name: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(namespace=NAMESPACE, metric_name=name, statistic="Sum")


def _of_the_rule(rule: str, name: str) -> cloudwatch.Metric:
    dimensions = {"RuleName": rule, "ActionType": "Kinesis"}
    return cloudwatch.Metric(namespace="AWS/IoT", metric_name=name, statistic="Sum", dimensions_map=dimensions)


def _topic(stack: cdk.Stack, email: str) -> sns.Topic:
    topic = sns.Topic(stack, "Alarms", enforce_ssl=True)
    # a topic with a policy of its own no longer lets the account's alarms in by default
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
        )
    )
    if email:
        topic.add_subscription(subscriptions.EmailSubscription(email))
    return topic
