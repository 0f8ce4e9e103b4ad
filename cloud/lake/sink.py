"""The port between ingest and wherever results are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from cloud.lake.runs import Run, StreamKey


class Sink(Protocol):
    """Takes every record exactly once.

    All methods raise LakeError. After one, a run may be in the sink or not: commit it again, or ask `last` after
    `refresh`.
    """

    def refresh(self) -> None:
        """Take in what other writers have committed, which `last` does not know of before."""
        ...

    def last(self, key: StreamKey) -> int:
        """The last record of the stream that is kept durably, and every one before it with it; 0 when none is."""
        ...

    def commit(self, runs: Sequence[Run], *, at: datetime) -> None:
        """Keep what is new in the runs, at most one a stream: all of it, durably, or an error.

        What is there already is left out; a run that would leave a gap after `last` is left out as a whole. `at` is
        now, UTC.
        """
        ...
