"""Compaction beside the commits, on a thread of its own, so that no acknowledgement waits for it.

It takes processor time from them all the same, so while ingest hardly has time for anything else, it waits, up to a
point: after an outage of a whole fleet the backlog comes first.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
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
COMPACT_AT_FILES_BUSY = 16 * COMPACT_AT_FILES
LOOK_EVERY_S = 20.0
BUSY = 0.7  # the part of its time that ingest spends on rounds
SWEEP_EVERY_S = 3600.0


def keep_up(
    lake: Place, pictures: ObjectStore, stop: threading.Event, *, worked_s: Callable[[], float] = lambda: 0.0
) -> None:
    """Compact each table as soon as it has many small files, and every hour sweep, until asked to stop. `worked_s`: how
    long ingest has worked so far."""
    swept_at_s = looked_at_s = time.monotonic()
    worked_before_s = worked_s()
    failing = False
    # not in step with other workers of the same lake, of whom one alone would win
    while not stop.wait(LOOK_EVERY_S * random.uniform(0.5, 1.5)):
        now_s, now_worked_s = time.monotonic(), worked_s()
        busy = now_worked_s - worked_before_s > BUSY * (now_s - looked_at_s)
        looked_at_s, worked_before_s = now_s, now_worked_s
        try:
            compact_where_due(lake, at_files=COMPACT_AT_FILES_BUSY if busy else COMPACT_AT_FILES)
            if time.monotonic() - swept_at_s >= SWEEP_EVERY_S:
                swept_at_s = time.monotonic()
                sweep_all(lake, pictures, now=datetime.now(UTC))
        except LakeError as exc:
            if not failing:
                log.error("upkeep of the lake failed, trying again: %s", exc)
            failing = True
        else:
            failing = False


def compact_where_due(lake: Place, *, at_files: int | None = None) -> None:
    """One look at every table; those with so many small files (COMPACT_AT_FILES, if not said) are compacted."""
    for spec in TABLES:
        if small_files(lake / spec.name) >= (at_files or COMPACT_AT_FILES):
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
