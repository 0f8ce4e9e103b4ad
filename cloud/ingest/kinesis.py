"""Ingest for whom results come in batches from Kinesis, as Lambda's event source mapping hands them over.

A batch is one shard's, in order, and none other of that shard is under way. What this returns says from where on it has
to be handed over again; all of it may be, any number of times: what is in the lake already is only acknowledged.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloud.ingest.acks_by_api import AcksByApi
from cloud.ingest.rule import message_of
from cloud.ingest.worker import MAX_MESSAGES_OF_A_ROUND, Ingest
from models.errors import LakeError, WireError
from models.mqtt import Message

log = logging.getLogger(__name__)

# a round takes a few seconds; one that Lambda cuts off costs a repeat, and a bisection of the batch
ROUND_S = 20.0
_ACKS_S = 10.0


@dataclass(frozen=True, slots=True)
class Received:
    """A record of the stream: its number, and the message in it, None where there is none of ours."""

    sequence_number: str
    message: Message | None


@dataclass(slots=True)
class Taken:
    """What became of a batch. `failed_from`: the sequence number from which on it has to come again, if so."""

    messages: int = 0
    strange: int = 0  # records that the rule cannot have made
    commits: int = 0
    refused: int = 0  # messages that went to the quarantine
    untold: int = 0  # gateways that could not be sent their acknowledgement
    lake_failures: int = 0
    failed_from: str | None = None

    def answer(self) -> dict[str, Any]:
        """As Lambda wants it, with ReportBatchItemFailures."""
        failed = [] if self.failed_from is None else [{"itemIdentifier": self.failed_from}]
        return {"batchItemFailures": failed}


def received(event: Mapping[str, Any]) -> list[Received]:
    """The records of Lambda's event, in its order. What is in one that is not ours is said in the log."""
    return [_received(record["kinesis"]) for record in event["Records"]]


def _received(record: Mapping[str, Any]) -> Received:
    try:
        return Received(record["sequenceNumber"], message_of(base64.b64decode(record["data"])))
    except (WireError, binascii.Error) as exc:
        # to hand it over again would not make it a message
        log.warning("ignored record %s: %s", record["sequenceNumber"], exc)
        return Received(record["sequenceNumber"], None)


@dataclass(slots=True)
class KinesisIngest:
    """The worker behind the function; lives as long as Lambda keeps the process."""

    ingest: Ingest
    acks: AcksByApi
    round_messages: int = field(default=MAX_MESSAGES_OF_A_ROUND)

    def take_in(self, batch: Sequence[Received], *, left_s: Callable[[], float]) -> Taken:
        """Commit a batch round by round, and tell the gateways. `left_s` says how much time there is still."""
        taken = Taken(strange=sum(record.message is None for record in batch))
        commits, refused = self.ingest.commits, self.ingest.refused
        for start in range(0, len(batch), self.round_messages):
            records = batch[start : start + self.round_messages]
            if start and left_s() < ROUND_S:
                log.warning("no time for the rest of the batch: %d record(s) come again", len(batch) - start)
                taken.failed_from = records[0].sequence_number
                break
            messages = [record.message for record in records if record.message is not None]
            try:
                if messages:
                    self.ingest.take_in(messages)
            except LakeError as exc:
                log.error("the lake cannot take anything in, %d record(s) come again: %s", len(batch) - start, exc)
                taken.lake_failures += 1
                taken.failed_from = records[0].sequence_number
                break
            taken.messages += len(messages)
        taken.untold = self.acks.send(within_s=min(_ACKS_S, left_s() - 1))
        taken.commits, taken.refused = self.ingest.commits - commits, self.ingest.refused - refused
        return taken
