"""Health messages straight from the lake's columns into those of a roll-out's judge: no Python object for any row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cloud.rollout.windows import OTHER_MODEL, Float64, Int64, Windows, stream_number, windows_of
from models.health import SCORE_BINS

COLUMNS = (
    "gateway", "stream", "seq", "reported_at", "window_s", "model", "release", "digest", "frames_inferred",
    "frames_skipped", "frames_failed", "errors", "p50_ms", "p95_ms", "memory_bytes", "temperature_c", "detections",
    "score_histogram", "class_mix", "camera_state", "failed_release", "challenge",
)  # fmt: skip


def health_windows(table: pa.Table, *, model: str) -> Windows:
    """The rows of a table in (at least) COLUMNS of schema.HEALTH, whose columns may be null where the gateway or the
    lake is older than they are."""
    table = table.combine_chunks()
    gateways, gateway = _numbered(table["gateway"])
    digests, digest = _numbered(table["digest"], first="")
    failures, failed = _numbered(table["failed_release"], first="")
    streams, stream = _numbered(table["stream"])
    labels, mix = _mix(table["class_mix"], len(table))
    ours = np.asarray(pc.equal(table["model"], model).fill_null(False))
    challenge: pa.StructArray = pa.chunked_array(table["challenge"]).combine_chunks()
    beside = np.asarray(pc.equal(_field(challenge, "model"), model).fill_null(False))
    numbers = np.array([stream_number(name) for name in streams] or [0], np.int64)
    return windows_of(
        gateways,
        labels,
        digests=digests,
        failures=failures,
        gateway=gateway,
        at_us=table["reported_at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy(),
        window_s=_values(table["window_s"]),
        release=np.where(ours, _values(table["release"]), OTHER_MODEL),
        digest=digest,
        stream=numbers[stream],
        seq=_values(table["seq"]),
        looking=np.asarray(pc.equal(table["camera_state"], "ok").fill_null(True)),
        frames=_values(table["frames_inferred"]),
        skipped=_values(table["frames_skipped"]),
        crashed=_values(table["frames_failed"]),
        errors=_values(table["errors"]),
        p50_ms=_values(table["p50_ms"]),
        p95_ms=_values(table["p95_ms"]),
        memory_bytes=_values(table["memory_bytes"]),
        temperature_c=_values(table["temperature_c"]),
        detections=_values(table["detections"]),
        bins=_bins(table["score_histogram"], np.ones(len(table), np.bool_)),
        mix=mix,
        failed=failed,
        shadow=np.where(beside, _values(_field(challenge, "release")), 0),
        shadow_frames=np.where(beside, _values(_field(challenge, "frames")), 0),
        shadow_agreed=np.where(beside, _values(_field(challenge, "agreed")), 0),
        shadow_matched=np.where(beside, _values(_field(challenge, "matched")), 0),
        shadow_ours=np.where(beside, _values(_field(challenge, "ours")), 0),
        shadow_theirs=np.where(beside, _values(_field(challenge, "theirs")), 0),
        shadow_iou=np.where(beside, _values(_field(challenge, "mean_iou")), 0),
        shadow_our_bins=_bins(_field(challenge, "our_scores"), beside),
        shadow_their_bins=_bins(_field(challenge, "their_scores"), beside),
        shadow_p50_ms=np.where(beside, _values(_field(challenge, "p50_ms")), 0),
    )


def _numbered(column: pa.ChunkedArray, first: str | None = None) -> tuple[Sequence[str], Int64]:
    """Distinct strings, and which of them each row has; null is the empty one."""
    coded = column.cast(pa.string()).fill_null("").combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    names = coded.dictionary.to_pylist()
    index = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    if first is None or (names and names[0] == first):
        return names or ([first] if first is not None else []), index
    ordered = [first, *(name for name in names if name != first)]
    places = np.array([ordered.index(name) for name in names] or [0], np.int64)
    return ordered, places[index] if len(index) else index


def _values(column: Any) -> Float64:
    return np.asarray(pc.fill_null(column, 0).to_numpy(zero_copy_only=False))


def _field(challenge: pa.StructArray, name: str) -> pa.Array:
    # null where the whole struct is, which `field` does not say
    return pc.struct_field(challenge, name)


def _bins(column: Any, mine: Any) -> Int64:
    rows = np.zeros((len(mine), SCORE_BINS), np.int64)
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    sizes = np.asarray(pc.list_value_length(lists).fill_null(0))
    kept = (sizes == SCORE_BINS) & mine
    if kept.any():
        rows[kept] = np.asarray(pc.list_flatten(lists.filter(pa.array(kept)))).reshape(-1, SCORE_BINS)
    return rows


def _mix(column: pa.ChunkedArray, n: int) -> tuple[Sequence[str], Int64]:
    maps: pa.MapArray = column.combine_chunks()
    maps = maps.combine_chunks() if isinstance(maps, pa.ChunkedArray) else maps
    sizes = np.diff(np.asarray(maps.offsets)) if n else np.zeros(0, np.int64)
    start, end = (int(maps.offsets[0].as_py()), int(maps.offsets[-1].as_py())) if n else (0, 0)
    keys = maps.keys.slice(start, end - start).cast(pa.string()).dictionary_encode()
    counts = np.asarray(maps.items.slice(start, end - start))
    labels = keys.dictionary.to_pylist()
    mix = np.zeros((n, len(labels)), np.int64)
    np.add.at(mix, (np.repeat(np.arange(n), sizes), np.asarray(keys.indices)), counts)
    return labels, mix
