"""Compaction beside the commits, on a thread of its own, so that no acknowledgement waits for it."""

import logging
import threading
import time
from datetime import UTC, datetime

from cloud.ingest.waiting import KEEP, expire
from cloud.lake.place import Place
from cloud.lake.schema import TABLES
from cloud.lake.upkeep import compact, small_files, sweep
from greengrass.objects import ObjectStore
from models.errors import LakeError

log = logging.getLogger(__name__)

# A commit takes 0.1 ms longer for each file of the table, and a query opens each of them.
COMPACT_AT_FILES = 64
LOOK_EVERY_S = 20.0
SWEEP_EVERY_S = 3600.0


def keep_up(lake: Place, pictures: ObjectStore, stop: threading.Event) -> None:
    """Compact each table as soon as it has many small files, and every hour sweep, until asked to stop."""
    swept_at_s = time.monotonic()
    failing = False
    while not stop.wait(LOOK_EVERY_S):
        try:
            compact_where_due(lake)
            if time.monotonic() - swept_at_s >= SWEEP_EVERY_S:
                swept_at_s = time.monotonic()
                sweep_all(lake, pictures, now=datetime.now(UTC))
        except LakeError as exc:
            if not failing:
                log.error("upkeep of the lake failed, trying again: %s", exc)
            failing = True
        else:
            failing = False


def compact_where_due(lake: Place) -> None:
    """One look at every table."""
    for spec in TABLES:
        if small_files(lake / spec.name) >= COMPACT_AT_FILES:
            compact(lake / spec.name)


def sweep_all(lake: Place, pictures: ObjectStore, *, now: datetime) -> None:
    """Delete what no table names any more, and what was left of pictures that never became whole; say how many."""
    for spec in TABLES:
        sweep(lake / spec.name)
    if never_whole := expire(pictures, now=now):
        log.warning(
            "%d picture(s) were not whole %d days after a part of theirs came, which is removed; the first: %s",
            len(never_whole),
            KEEP.days,
            never_whole[0],
        )
