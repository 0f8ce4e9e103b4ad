"""What the light gateways recorded, written down as they record it, and when the cloud acknowledged it.

Kept apart from spool and shipper, so that the count at the end does not believe what it is to judge.
"""

from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge.lanes import Lane

# seconds from capture to acknowledgement; ten to a decade
LATENCY_EDGES_S = np.logspace(-2, 5, 71)
BIN_S = 10.0  # of the series over time


@dataclass(slots=True)
class Noted:
    """A stream: `frames[k]` is the number of the frame that record k + 1 holds, -1 for a record of another kind."""

    gateway: str
    lane: Lane
    frames: list[npt.NDArray[np.int64]] = field(default_factory=list)
    last: int = 0
    acked: int = 0
    _times: list[tuple[int, npt.NDArray[np.float64]]] = field(default_factory=list)  # (last seq, when recorded)


@dataclass(slots=True)
class Tally:
    """Of one lane: records recorded and acknowledged, and how long that took, by LATENCY_EDGES_S."""

    recorded: int = 0
    acknowledged: int = 0
    latency: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(LATENCY_EDGES_S) + 1, np.int64))
    slowest_s: float = 0.0


class Ledger:
    """All streams of all gateways. Times are simulated seconds."""

    def __init__(self) -> None:
        self.streams: dict[tuple[str, str], Noted] = {}
        self.lanes: dict[Lane, Tally] = {}
        self.detections = 0
        self.latest_s = 0.0  # when the last acknowledgement came
        # frames that no gateway could record, by reason
        self.not_recorded: dict[str, int] = {}
        # records by BIN_S of time: recorded, acknowledged, and the sum of latencies of those acknowledged
        self._series: dict[int, list[float]] = {}
        self._worst: dict[int, float] = {}

    def note(
        self,
        gateway: str,
        stream: str,
        lane: Lane,
        last: int,
        numbers: npt.NDArray[np.int64],
        times_s: npt.NDArray[np.float64],
    ) -> None:
        """Records up to `last` were written down: the numbers of their frames (n,), -1 for others, and when each was
        captured (n,)."""
        noted = self.streams.setdefault((gateway, stream), Noted(gateway, lane))
        noted.frames.append(numbers)
        noted.last = last
        noted._times.append((last, times_s))
        self.lanes.setdefault(lane, Tally()).recorded += len(numbers)
        if len(times_s) == 1:
            self._bin(float(times_s[0]))[0] += 1
            return
        for key, count in zip(*np.unique(times_s // BIN_S, return_counts=True), strict=True):
            self._bin(float(key) * BIN_S)[0] += int(count)

    def acknowledged(self, gateway: str, stream: str, last: int, now_s: float) -> None:
        """The cloud said that records 1..last of a stream are in the lake."""
        noted = self.streams.get((gateway, stream))
        if noted is None or last <= noted.acked:
            return
        self.latest_s = max(self.latest_s, now_s)
        tally, series = self.lanes[noted.lane], self._bin(now_s)
        taken = 0
        for upto, times in noted._times:
            first = upto - len(times)
            if first >= last:
                break
            times = times[max(0, noted.acked - first) : last - first]
            waited = now_s - times
            tally.latency += np.bincount(np.searchsorted(LATENCY_EDGES_S, waited), minlength=len(LATENCY_EDGES_S) + 1)
            worst = float(waited.max(initial=0.0))
            tally.slowest_s = max(tally.slowest_s, worst)
            key = int(now_s // BIN_S)
            self._worst[key] = max(worst, self._worst.get(key, 0.0))
            tally.acknowledged += len(times)
            series[1] += len(times)
            series[2] += float(waited.sum())
            taken += upto <= last
        del noted._times[:taken]
        noted.acked = last

    def waiting_since_s(self, gateway: str) -> float | None:
        """When the gateway's oldest record that is not acknowledged was captured; None without any."""
        oldest = [
            float(noted._times[0][1][max(0, noted.acked - noted._times[0][0] + len(noted._times[0][1]))])
            for noted in self.streams.values()
            if noted.gateway == gateway and noted._times
        ]
        return min(oldest, default=None)

    def missed(self, reason: str, frames: int) -> None:
        """Frames passed before a camera that nothing could be recorded of."""
        if frames:
            self.not_recorded[reason] = self.not_recorded.get(reason, 0) + frames

    @property
    def recorded(self) -> int:
        return sum(tally.recorded for tally in self.lanes.values())

    @property
    def acknowledged_records(self) -> int:
        return sum(tally.acknowledged for tally in self.lanes.values())

    def series(self) -> npt.NDArray[np.float64]:
        """(n, 5): time, records recorded, acknowledged, mean and longest latency of those acknowledged (nan where
        none were), for each BIN_S."""
        rows = []
        for key in range(max(self._series, default=-1) + 1):
            recorded, acked, waited = self._series.get(key, (0.0, 0.0, 0.0))
            mean = waited / acked if acked else np.nan
            rows.append((key * BIN_S, recorded, acked, mean, self._worst.get(key, np.nan)))
        return np.array(rows, np.float64).reshape(-1, 5)

    def _bin(self, at_s: float) -> list[float]:
        # what was before time 0 is in no row
        return self._series.setdefault(int(at_s // BIN_S), [0.0, 0.0, 0.0])


def quantile(tally: Tally, part: float) -> float:
    """An upper bound of the latency that a part (0..1) of the records kept, in seconds; nan without any."""
    total = int(tally.latency.sum())
    if not total:
        return float("nan")
    index = bisect_left(np.cumsum(tally.latency), part * total)
    return float(min(LATENCY_EDGES_S[min(index, len(LATENCY_EDGES_S) - 1)], tally.slowest_s))
