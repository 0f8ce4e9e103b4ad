"""CPU time of making messages of a real minute of detections, against JSON and gzip of the same minute.

Both start from the records; ours is cut at 128 KB and at 5,000 B, where finding the cut costs several tries, and the
worse counts. Reading the records from the spool's rows first, as the gateway does, is told beside it. They take turns.
"""

import gzip
import json
import sys
import time
from collections.abc import Callable
from functools import partial

from benchmarks.bar import Bar, report
from benchmarks.bytes_per_detection import ALLOWED, messages_of
from benchmarks.minute import Minute, json_rows, real_minute
from models.records import FrameResult
from models.wire import decode_records, encode_record

TURNS = 7


def main() -> int:
    minute = real_minute("FastestDet", "fastestdet")
    rows = [encode_record(record) for record in minute.records]
    ways: dict[str, Callable[[], object]] = {
        "json": lambda: gzip.compress(json.dumps(json_rows(minute)).encode()),
        "encode_record": lambda: [encode_record(record) for record in minute.records],
    }
    for limit in ALLOWED:
        ways[f"{limit} B"] = partial(messages_of, minute, limit)
        ways[f"{limit} B from the spool"] = partial(_from_spool, rows, limit)
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            started = time.process_time()
            way()
            took[name].append(time.process_time() - started)
    best_ms = {name: min(times) * 1000 for name, times in took.items()}
    json_ms, record_ms = best_ms.pop("json"), best_ms.pop("encode_record")
    measured = (
        f"{minute.detections} detections in {len(minute.records)} frames, best of {TURNS}: "
        f"JSON + gzip {json_ms:.0f} ms, ours {', '.join(f'{name} {ms:.0f} ms' for name, ms in best_ms.items())}; "
        f"a row of the spool {record_ms / len(rows) * 1000:.0f} us"
    )
    value = max(best_ms[f"{limit} B"] for limit in ALLOWED) / json_ms
    return report(Bar("encode CPU / JSON + gzip", value, 0.25, "lower", "x", measured))


def _from_spool(rows: list[bytes], limit: int) -> list[bytes]:
    records = [record for record in decode_records(rows) if isinstance(record, FrameResult)]
    return messages_of(Minute(tuple(records), tuple(record.detections for record in records)), limit)


if __name__ == "__main__":
    sys.exit(main())
