"""The lake's Delta tables, as whoever reads them with DuckDB, Spark or Athena finds them. All times are UTC."""

from dataclasses import dataclass

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")

DETECTION = pa.struct(
    [
        ("label", pa.string()),
        ("class_id", pa.int64()),
        ("score", pa.float32()),
        ("x1", pa.float32()),  # pixels of the original frame
        ("y1", pa.float32()),
        ("x2", pa.float32()),
        ("y2", pa.float32()),
        ("track", pa.int64()),  # 0: not tracked
    ]
)

# What every row starts with; (gateway, stream, seq) is a record's identity.
_RECORD = [("gateway", pa.string()), ("stream", pa.string()), ("seq", pa.int64())]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table's folder under the lake's, and its columns."""

    name: str
    schema: pa.Schema
    partition_by: tuple[str, ...] = ()


# A row per frame, also when it shows nothing. `date` is the day it came into the lake, not the day it was captured: a
# gateway whose clock is wrong cannot scatter its rows over a thousand folders.
FRAMES = TableSpec(
    "frames",
    pa.schema(
        [
            *_RECORD,
            ("camera", pa.string()),
            ("frame", pa.int64()),
            ("captured_at", _TIME),
            ("model", pa.string()),
            ("release", pa.int64()),
            ("detections", pa.list_(DETECTION)),
            ("date", pa.date32()),
        ]
    ),
    partition_by=("date",),
)

# models.records.Health, its `at_us` as the timestamp `reported_at`.
HEALTH = TableSpec(
    "health",
    pa.schema(
        [
            *_RECORD,
            ("reported_at", _TIME),
            ("window_s", pa.float64()),
            ("model", pa.string()),
            ("release", pa.int64()),
            ("digest", pa.string()),
            ("variant", pa.string()),
            ("frames_seen", pa.int64()),
            ("frames_inferred", pa.int64()),
            ("frames_skipped", pa.int64()),
            ("frames_missed", pa.int64()),
            ("p50_ms", pa.float64()),
            ("p95_ms", pa.float64()),
            ("memory_bytes", pa.int64()),
            ("errors", pa.int64()),
            ("last_error", pa.string()),
            ("score_histogram", pa.list_(pa.int64())),
            ("class_mix", pa.map_(pa.string(), pa.int64())),
            ("detections", pa.int64()),
            ("camera_state", pa.string()),
            ("spool_records", pa.int64()),
            ("spool_bytes", pa.int64()),
            ("swaps", pa.int64()),
            ("failed_release", pa.string()),
            ("records_dropped", pa.int64()),
            ("batches_refused", pa.int64()),
        ]
    ),
)

# Records first..last of a stream that are in no other table, and why: dropped by the gateway's bounded spool
# (tombstones), or refused here because their batch could not be read.
LOSSES = TableSpec(
    "losses",
    pa.schema(
        [
            ("gateway", pa.string()),
            ("stream", pa.string()),
            ("first", pa.int64()),
            ("last", pa.int64()),
            ("reason", pa.string()),
            ("committed_at", _TIME),
        ]
    ),
)

# In the order of commit: see delta.py.
TABLES = (LOSSES, HEALTH, FRAMES)

# A stream's last seq is a Delta app transaction, and forgotten when it has not moved for this long. It must be far
# above the age of anything that a gateway may still hold in its spool, or old records would be taken in twice.
# The log itself is only needed until the next checkpoint; at a commit every two seconds it would grow by 43,200 files
# a day. Files that compaction replaced stay readable for a day, for queries under way.
CONFIGURATION = {
    "delta.checkpointInterval": "64",
    "delta.setTransactionRetentionDuration": "interval 366 days",
    "delta.logRetentionDuration": "interval 2 hours",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}
