"""Windows added up: sums of whole numbers only, so that neither the order in which they come nor how they are dealt out
changes a single bit of what is concluded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cloud.rollout.windows import Float64, Int64, Windows
from cloud.shift_tally import HIGH_BIN, LOW_BIN
from models.health import SCORE_BINS

# the columns of a sum; after them one for each label
WINDOWS, MS, FRAMES, DETECTIONS, SCORES, HIGH, LOW, TIMED, P50, P95, WARM, DEGREES, KIB = range(13)
FIXED = 13
SCORE_UNIT = 1 / (2 * SCORE_BINS)
LOG_UNIT = 1e-4
DEGREE_UNIT = 0.1

INCUMBENT, CANDIDATE = 0, 1
DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
SLOT_WINDOWS = 20  # whose sums are compared to learn how much the incumbent differs from itself for a while
WHOLE = 0.5  # a window cut short at a swap counts when it is at least this part of one
NEWEST = 3


@dataclass(frozen=True, slots=True, eq=False)
class Newest:
    """The newest few windows of each gateway, the last one last: (gateways, NEWEST, columns), -1 in `at_us` where there
    are fewer."""

    at_us: Int64
    values: Float64


class Account:
    """Sums by gateway: of whole windows while the camera was well, by epoch (how many of the gateway's `marks` a
    window is newer than), role and UTC hour of day; of the incumbent also by slot of time."""

    def __init__(self, gateways: Sequence[str], *, epochs: int, window_s: float) -> None:
        self.window_s = window_s
        self.per_hour = max(1, int(3600 / (SLOT_WINDOWS * window_s)))  # slots
        self.labels: list[str] = []
        n = len(gateways)
        self.hours: Float64 = np.zeros((epochs, 2, n, 24, FIXED))
        self.totals: Float64 = np.zeros((2, n, FIXED))  # of all epochs and hours
        self.slots: list[int] = []  # slot numbers, in the order in which they first came up
        self.by_slot: Float64 = np.zeros((16, n, FIXED))
        # of some of the incumbent's windows: N*N, N*D, D*D, D
        self.squares: Float64 = np.zeros((epochs, n, 4, FIXED))
        self.memory: Float64 = np.zeros((16, n, 2))  # by slot, the candidate's: windows, KiB
        self.changes: Int64 = np.zeros((epochs, n), np.int64)  # how often the incumbent's sums changed
        self._slot_of: dict[int, int] = {}

    def add(self, rows: Windows, at_us: Int64, gateway: Int64, epoch: Int64, role: Int64) -> None:
        """Whole windows of the incumbent or the candidate, with the camera well."""
        if not len(rows):
            return
        values = self._values(rows)
        slot, which = np.unique(at_us * self.per_hour // HOUR_US, return_inverse=True)
        epochs, _, n, _, _ = self.hours.shape
        some = (role == INCUMBENT) & (at_us // int(self.window_s * 1e6) % max(1, min(8, int(self.window_s / 8))) == 0)
        if some.any():
            part = values[some]
            base = part[:, denominators(values.shape[1])]
            products = np.stack((part * part, part * base, base * base, base), axis=1).reshape(len(part), -1)
            _add(self.squares.reshape(epochs * n, -1), (epoch * n + gateway)[some], products)
        # first by the finest cells that there are, of which the others are sums
        cell, values = _summed(((epoch * 2 + role) * len(slot) + which) * n + gateway, values)
        gateway, which = cell % n, cell // n % len(slot)
        role, epoch = cell // n // len(slot) % 2, cell // n // len(slot) // 2
        hour, place = slot[which] // self.per_hour % 24, self._places(slot)[which]
        _add(self.hours.reshape(epochs * 2 * n * 24, -1), ((epoch * 2 + role) * n + gateway) * 24 + hour, values)
        _add(self.totals.reshape(2 * n, -1), role * n + gateway, values)
        old = role == INCUMBENT
        if old.any():
            _add(self.by_slot.reshape(len(self.by_slot) * n, -1), (place * n + gateway)[old], values[old])
            np.add.at(self.changes, (epoch[old], gateway[old]), 1)
        if not old.all():
            kib = values[~old][:, [WINDOWS, KIB]]
            _add(self.memory.reshape(len(self.memory) * n, 2), (place * n + gateway)[~old], kib)

    def _values(self, rows: Windows) -> Float64:
        place = self._label_places(rows.labels)
        timed = (rows.frames > 0) & (rows.p50_ms > 0)
        values = np.zeros((len(rows), FIXED + len(self.labels)))
        values[:, WINDOWS] = 1
        values[:, MS] = np.rint(rows.window_s * 1000)
        values[:, FRAMES] = rows.frames
        values[:, DETECTIONS] = rows.detections
        values[:, SCORES] = rows.bins @ (2 * np.arange(SCORE_BINS) + 1)
        values[:, HIGH] = rows.bins[:, HIGH_BIN:].sum(axis=1)
        values[:, LOW] = rows.bins[:, :LOW_BIN].sum(axis=1)
        values[:, TIMED] = timed
        values[:, P50] = np.where(timed, log_units(rows.p50_ms), 0)
        values[:, P95] = np.where(timed, log_units(rows.p95_ms), 0)
        values[:, WARM] = rows.temperature_c != 0
        values[:, DEGREES] = np.rint(rows.temperature_c / DEGREE_UNIT)
        values[:, KIB] = np.rint(rows.memory_bytes / 1024)
        values[:, FIXED + place] = rows.mix
        return values

    def _label_places(self, labels: Sequence[str]) -> Int64:
        new = [label for label in labels if label not in self.labels]
        if new:
            self.labels += new
            self.hours = _widened(self.hours, len(new))
            self.totals = _widened(self.totals, len(new))
            self.by_slot = _widened(self.by_slot, len(new))
            self.squares = _widened(self.squares, len(new))
        places = {label: number for number, label in enumerate(self.labels)}
        return np.array([places[label] for label in labels], np.int64)

    def _places(self, slots: Int64) -> Int64:
        for slot in slots.tolist():
            if slot not in self._slot_of:
                self._slot_of[slot] = len(self.slots)
                self.slots.append(slot)
        while len(self.slots) > len(self.by_slot):
            self.by_slot = np.concatenate((self.by_slot, np.zeros_like(self.by_slot)))
            self.memory = np.concatenate((self.memory, np.zeros_like(self.memory)))
        return np.array([self._slot_of[slot] for slot in slots.tolist()], np.int64)

    @property
    def slot_s(self) -> float:
        return 3600 / self.per_hour


def denominators(columns: int) -> Int64:
    """Of what each column of a sum is a part, as a column: detections of a frame, scores of a detection, and so on."""
    of = np.full(columns, DETECTIONS, np.int64)
    of[[WINDOWS, MS, TIMED, WARM, KIB]] = WINDOWS
    of[FRAMES] = MS
    of[DETECTIONS] = FRAMES
    of[[P50, P95]] = TIMED
    of[DEGREES] = WARM
    return of


def log_units(ms: Float64) -> Float64:
    """The logarithm of a time, as a whole number of LOG_UNITs."""
    return np.asarray(np.rint(np.log(np.clip(ms, 1e-3, 1e7)) / LOG_UNIT))


def newest_of(before: Newest, gateway: Int64, at_us: Int64, seq: Int64, values: Float64) -> Newest:
    """`before` with more windows taken into account, in any order. `values[:, 0]` must tell windows of one moment
    apart, as `seq` does."""
    n = len(before.at_us)
    order = np.lexsort((seq, at_us, gateway))
    gateway, at_us, values = gateway[order], at_us[order], values[order]
    last = np.searchsorted(gateway, gateway, side="right")
    rank = last - 1 - np.arange(len(gateway))  # 0: the newest of its gateway
    kept = rank < NEWEST
    more_at = np.full((n, NEWEST), -1, np.int64)
    more = np.zeros((n, NEWEST, values.shape[1]))
    more_at[gateway[kept], NEWEST - 1 - rank[kept]] = at_us[kept]
    more[gateway[kept], NEWEST - 1 - rank[kept]] = values[kept]
    all_at = np.concatenate((before.at_us, more_at), axis=1)
    everything = np.concatenate((before.values, more), axis=1)
    best = np.lexsort((everything[:, :, 0], all_at), axis=1)[:, -NEWEST:]
    return Newest(np.take_along_axis(all_at, best, axis=1), np.take_along_axis(everything, best[:, :, None], axis=1))


def no_newest(gateways: int, columns: int) -> Newest:
    return Newest(np.full((gateways, NEWEST), -1, np.int64), np.zeros((gateways, NEWEST, columns)))


def _add(sums: Float64, cell: Int64, values: Float64) -> None:
    """sums[cell] += values, each row's; `sums` is a view."""
    cell, values = _summed(cell, values)
    sums[cell] += values


def _summed(cell: Int64, values: Float64) -> tuple[Int64, Float64]:
    """Each cell once, and the sum of its rows."""
    order = np.argsort(cell, kind="stable")
    cell = cell[order]
    first = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
    if len(first) == len(cell):
        return cell, values[order]
    return cell[first], np.add.reduceat(values[order], first, axis=0)


def _widened(sums: Float64, columns: int) -> Float64:
    return np.concatenate((sums, np.zeros((*sums.shape[:-1], columns))), axis=-1)
