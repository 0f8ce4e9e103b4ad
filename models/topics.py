"""The topics on the broker, and which shard a gateway's messages travel in.

tidegate/v1/results/<shard>/<gateway>     gateway -> ingest: batches (wire.py)
tidegate/v1/acks/<gateway>                ingest -> gateway: what the lake holds (wire.py)
"""

import re
import zlib
from collections.abc import Collection
from dataclasses import dataclass

from models.errors import WireError

SHARDS = 64
_GATEWAY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")  # AWS IoT's rule for thing names
_RESULTS = re.compile(r"tidegate/v1/results/([0-9]{1,2})/([^/]+)")


@dataclass(frozen=True, slots=True)
class ResultsTopic:
    """Where a batch came from: the broker's access rules vouch for the gateway's name, the message does not."""

    shard: int
    gateway: str


def check_gateway(name: str) -> str:
    """The name, if a gateway may carry it; WireError if not."""
    if not _GATEWAY.fullmatch(name):
        raise WireError(f"gateway name must be 1..128 of A-Z a-z 0-9 _ . : -, got {name!r}")
    return name


def shard_of(gateway: str) -> int:
    """0..63, the same on every machine and for ever (CRC-32 of the name)."""
    return zlib.crc32(gateway.encode()) % SHARDS


def results_topic(gateway: str) -> str:
    return f"tidegate/v1/results/{shard_of(gateway)}/{check_gateway(gateway)}"


def results_filters(shards: Collection[int]) -> list[str]:
    """Subscriptions to these shards: one where it is all of them, since AWS IoT Core takes 50 on a connection."""
    if set(shards) == set(range(SHARDS)):
        return ["tidegate/v1/results/+/+"]
    return [results_filter(shard) for shard in shards]


def results_filter(shard: int) -> str:
    return f"tidegate/v1/results/{shard}/+"


def acks_topic(gateway: str) -> str:
    return f"tidegate/v1/acks/{check_gateway(gateway)}"


def parse_results_topic(topic: str) -> ResultsTopic:
    """The shard and gateway a batch's topic names; WireError for any other topic."""
    match = _RESULTS.fullmatch(topic)
    if match is None:
        raise WireError(f"not a results topic: {topic!r}")
    shard, gateway = int(match[1]), check_gateway(match[2])
    if shard != shard_of(gateway):
        # or two workers could be made to write the same stream
        raise WireError(f"{topic!r} is in the wrong shard: {gateway!r} belongs to {shard_of(gateway)}")
    return ResultsTopic(shard, gateway)
