"""The functions that AWS Lambda calls: `take_in` for each batch of a Kinesis shard, `keep_up` by the clock.

Where the lake is, s3://BUCKET/PREFIX, is in the variable TIDEGATE_LAKE. Pictures and what is refused lie in it, as with
`tidegate ingest`.
"""

import functools
import json
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from cloud.ingest.acks_by_api import AcksByApi
from cloud.ingest.kinesis import KinesisIngest, Taken, received
from cloud.ingest.pictures import Pictures
from cloud.ingest.quarantine import Quarantine
from cloud.ingest.upkeep import compact_where_due
from cloud.ingest.worker import Ingest
from cloud.lake.delta import DeltaSink
from cloud.lake.place import open_place
from cloud.lake.schema import TABLES
from cloud.lake.upkeep import sweep
from greengrass.objects import open_store
from models.errors import UsageError

NAMESPACE = "tidegate"

logging.getLogger("cloud").setLevel(logging.INFO)  # what libraries tell of themselves is not for this log


class Context(Protocol):
    """What of Lambda's context is looked at."""

    def get_remaining_time_in_millis(self) -> int:
        """How long until Lambda kills the function."""
        ...


def take_in(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Commit and acknowledge a batch of Kinesis records; the answer says from where on it has to come again."""
    batch = received(event)
    worker = open_ingest(_lake())
    try:
        taken = worker.take_in(batch, left_s=lambda: context.get_remaining_time_in_millis() / 1000)
    except BaseException:
        open_ingest.cache_clear()  # whatever it was: the next batch starts from what the lake says
        raise
    print(json.dumps(figures(taken, at_ms=time.time_ns() // 1_000_000)), flush=True)
    return taken.answer()


def keep_up(event: Mapping[str, Any], context: Context) -> None:
    """Compact the lake where that is due; with `"sweep": true` in the event, delete files that nobody needs."""
    lake = open_place(_lake())
    compact_where_due(lake)
    if event.get("sweep"):
        for spec in TABLES:
            sweep(lake / spec.name)


# opening the lake takes a second, for which only the first batch of a process has to wait
@functools.lru_cache(maxsize=1)
def open_ingest(lake: str) -> KinesisIngest:
    """The worker on this lake. TidegateError where something of it cannot be opened."""
    acks = AcksByApi()
    quarantine, pictures = Quarantine(open_store(f"{lake}/quarantine")), Pictures(open_store(f"{lake}/objects"))
    # Kinesis and Lambda have gathered the messages
    return KinesisIngest(Ingest(acks, DeltaSink(lake), quarantine, pictures, commit_s=0), acks)


def figures(taken: Taken, *, at_ms: int) -> dict[str, Any]:
    """A batch's figures as a line of log that CloudWatch makes metrics of.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    values = {name: value for name, value in asdict(taken).items() if name != "failed_from"}
    metrics = [{"Name": name, "Unit": "Count"} for name in values]
    about = {"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": metrics}
    return {"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [about]}, **values}


def _lake() -> str:
    if lake := os.environ.get("TIDEGATE_LAKE", "").rstrip("/"):
        return lake
    raise UsageError("TIDEGATE_LAKE is not set: expected s3://BUCKET/PREFIX in the function's environment")
