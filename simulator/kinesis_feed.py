"""The way from AWS IoT to a Lambda function, at a desk: the rule that writes to Kinesis, and the event source that
polls it. Kinesis itself is moto's.

As Lambda does it: a shard's batches go to the function one after the other and in order; what the function says has
failed comes again from there; of a batch on which it raises, halves come again, until a record alone has failed too
often and is given up.
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

import base64
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloud.ingest.rule import record_of
from models.mqtt import Message
from models.topics import parse_results_topic

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

Handler = Callable[[dict[str, Any]], dict[str, Any]]
_READ_AT_ONCE = 1_000


@dataclass(slots=True)
class Rule:
    """AWS IoT's rule: each message on the results topics becomes a record, by gateway."""

    kinesis: "KinesisClient"
    stream: str

    def publish(self, message: Message) -> None:
        """As if a gateway had published it."""
        gateway = parse_results_topic(message.topic).gateway
        self.kinesis.put_record(StreamName=self.stream, PartitionKey=gateway, Data=record_of(message))


@dataclass(slots=True)
class EventSource:
    """Lambda's poller of a stream. `again`: hand over every batch twice, as "at least once" allows. `given_up`: what
    went to the dead-letter queue, by sequence number."""

    kinesis: "KinesisClient"
    stream: str
    handler: Handler
    batch: int = 100
    attempts: int = 3
    again: bool = False
    given_up: list[str] = field(default_factory=list)
    _read_to: dict[str, str] = field(default_factory=dict)  # by shard: the next iterator

    def poll(self) -> int:
        """Hand over what is new; how many records there were."""
        shards = self.kinesis.list_shards(StreamName=self.stream)["Shards"]
        return sum(self._poll(shard["ShardId"]) for shard in shards)

    def _poll(self, shard: str) -> int:
        iterator = self._read_to.get(shard) or self._from_the_start(shard)
        count = 0
        while True:
            read = self.kinesis.get_records(ShardIterator=iterator, Limit=_READ_AT_ONCE)
            iterator = self._read_to[shard] = read["NextShardIterator"]
            if not read["Records"]:
                return count
            count += len(read["Records"])
            records = [_event_record(shard, record) for record in read["Records"]]
            for start in range(0, len(records), self.batch):
                self._hand_over(records[start : start + self.batch])

    def _from_the_start(self, shard: str) -> str:
        found = self.kinesis.get_shard_iterator(StreamName=self.stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        return found["ShardIterator"]

    def _hand_over(self, records: Sequence[dict[str, Any]]) -> None:
        waiting = deque([(list(records), 1)])
        while waiting:
            batch, attempt = waiting.popleft()
            try:
                if self.again:
                    self.handler({"Records": batch})
                failed = [item["itemIdentifier"] for item in self.handler({"Records": batch})["batchItemFailures"]]
                rest = [number for number, record in enumerate(batch) if record["kinesis"]["sequenceNumber"] in failed]
                parts = [batch[min(rest) :]] if rest else []
            except Exception:  # whatever the function raises is one failed invocation to Lambda
                middle = len(batch) // 2
                parts = [batch[:middle], batch[middle:]] if middle else [batch]
            if parts and attempt >= self.attempts and len(parts[0]) == len(batch):
                self.given_up += [record["kinesis"]["sequenceNumber"] for record in batch]
                continue
            whole = bool(parts) and len(parts[0]) == len(batch)
            waiting.extendleft((part, attempt + 1 if whole else 1) for part in reversed(parts))


def _event_record(shard: str, record: Any) -> dict[str, Any]:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": base64.b64encode(record["Data"]).decode(),
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{record['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "awsRegion": "eu-central-1",
    }
