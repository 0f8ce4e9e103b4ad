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

CAMERA_HEALTH = pa.struct(
    [
        ("name", pa.string()),
        ("state", pa.string()),
        ("seen", pa.int64()),
        ("inferred", pa.int64()),
        ("skipped", pa.int64()),
        ("missed", pa.int64()),
        ("still", pa.int64()),
        ("failed", pa.int64()),
        ("pictures_withheld", pa.int64()),
    ]
)

CHALLENGE = pa.struct(
    [
        ("model", pa.string()),
        ("release", pa.int64()),
        ("digest", pa.string()),
        ("frames", pa.int64()),
        ("agreed", pa.int64()),
        ("matched", pa.int64()),
        ("ours", pa.int64()),
        ("theirs", pa.int64()),
        ("mean_iou", pa.float64()),
        ("our_scores", pa.list_(pa.int64())),
        ("their_scores", pa.list_(pa.int64())),
        ("p50_ms", pa.float64()),
    ]
)

# What every row starts with; (gateway, stream, seq) is a record's identity.
_RECORD = [("gateway", pa.string()), ("stream", pa.string()), ("seq", pa.int64())]

_BOX = [(edge, pa.float32()) for edge in ("x1", "y1", "x2", "y2")]  # pixels of the original frame


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
            (
                "steady_us",
                pa.int64(),
            ),  # capture time on a clock that never jumps, within a stream; 0 where there is none
        ]
    ),
    partition_by=("date",),
)

# models.health.Health, its `at_us` as the timestamp `reported_at`.
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
            ("frames_still", pa.int64()),
            ("cpu_s", pa.float64()),
            ("temperature_c", pa.float64()),
            ("throttled", pa.string()),
            ("disk_free_bytes", pa.int64()),
            ("spool_age_s", pa.float64()),
            ("bytes_sent", pa.int64()),
            ("records_held", pa.int64()),
            ("messages_ignored", pa.int64()),
            ("clock_jumps", pa.int64()),
            ("cameras", pa.list_(CAMERA_HEALTH)),
            ("challenge", CHALLENGE),  # null where there is no challenger
            ("frames_failed", pa.int64()),
            ("picture_parts_held", pa.int64()),
            ("configuration_refused", pa.string()),
        ]
    ),
)

# models.records.Event, its `at_us` as `happened_at`.
EVENTS = TableSpec(
    "events",
    pa.schema(
        [
            *_RECORD,
            ("camera", pa.string()),
            ("frame", pa.int64()),
            ("happened_at", _TIME),
            ("kind", pa.string()),
            ("rule", pa.string()),
            ("label", pa.string()),
            ("track", pa.int64()),
            ("value", pa.float64()),
            ("alarm", pa.bool_()),
            ("score", pa.float32()),
            *_BOX,
            ("model", pa.string()),
            ("release", pa.int64()),
            ("picture", pa.string()),  # id of a row in `pictures`; empty where there is none
        ]
    ),
)

# models.records.Aggregate, its `start_us` as `started_at`.
AGGREGATES = TableSpec(
    "aggregates",
    pa.schema(
        [
            *_RECORD,
            ("camera", pa.string()),
            ("started_at", _TIME),
            ("length_s", pa.float64()),
            ("zone", pa.string()),
            ("label", pa.string()),
            ("frames", pa.int64()),
            ("detections", pa.int64()),
            ("tracks", pa.int64()),
            ("most", pa.int64()),
            ("model", pa.string()),
            ("release", pa.int64()),
        ]
    ),
)

# A row per picture that has come in whole; `seq` is its last part's. The picture itself is in the object store.
PICTURES = TableSpec(
    "pictures",
    pa.schema(
        [
            *_RECORD,
            ("picture", pa.string()),
            ("camera", pa.string()),
            ("frame", pa.int64()),
            ("captured_at", _TIME),
            ("kind", pa.string()),
            *_BOX,
            ("bytes", pa.int64()),
            ("uri", pa.string()),
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
TABLES = (LOSSES, HEALTH, EVENTS, AGGREGATES, PICTURES, FRAMES)

# A stream's last seq is a Delta app transaction, and forgotten when it has not moved for this long. It must be far
# above the age of anything that a gateway may still hold in its spool, or old records would be taken in twice.
# The log itself is only needed until the next checkpoint; at a commit every two seconds it would grow by 43,200 files
# a day. Files that compaction replaced stay readable for a day, for queries under way.
CHECKPOINT_EVERY = 64  # versions
CONFIGURATION = {
    "delta.checkpointInterval": str(CHECKPOINT_EVERY),
    "delta.setTransactionRetentionDuration": "interval 366 days",
    "delta.logRetentionDuration": "interval 2 hours",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}
