"""What gateways reported in a roll-out, entered as it comes in: sums, newest windows, and what was said in words."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cloud.rollout.account import (
    CANDIDATE,
    INCUMBENT,
    WHOLE,
    Account,
    Newest,
    newest_of,
    no_newest,
)
from cloud.rollout.promise import Promise
from cloud.rollout.windows import OTHER_MODEL, Bool, Float64, Int64, Windows, renumbered
from greengrass.recipe import model_component, model_version
from models.health import SCORE_BINS

NEVER = np.iinfo(np.int64).max
_FARTHEST_US = 40 * 86_400_000_000  # a clock that is farther off is taken to say the farthest
_MERGE = 1 << 16
_AT_ONCE = 1 << 13  # rows that are added up together: what fits into a processor's cache

# columns of the newest windows; in those of any release the second is the release
SEQ, P50_MS, FRAMES, ERRORS, MEMORY, PER_S, P95_MS = range(7)
RELEASE = 1


class Book:
    """`rings` has the ring of each of `gateways`. See judge.Ledger for what is promised."""

    def __init__(
        self,
        gateways: Sequence[str],
        rings: Int64,
        *,
        model: str,
        release: int,
        incumbent: int | None,
        window_s: float,
        promise: Promise,
    ) -> None:
        self.gateways, self.rings = tuple(gateways), rings
        self.model, self.release, self.incumbent = model, release, incumbent
        self.window_s, self.promise = window_s, promise
        n, count = len(self.gateways), int(rings.max(initial=-1)) + 1
        self.account = Account(self.gateways, epochs=count + 1, window_s=window_s)
        self.marks = np.full(n, NEVER)  # of those touched: what is newer came since
        self.ring_marks = np.full((count, n), NEVER)  # of all, when a ring was first touched
        self.deployed_us = np.zeros(n, np.int64)
        self.away = np.zeros(n, np.bool_)
        self.heard_us = np.zeros(n, np.int64)
        self.reports = np.zeros(n, np.int64)  # of the candidate, cut ones and those of a blind camera too
        self.whole = np.zeros((2, n), np.int64)
        self.frames = np.zeros((2, n), np.int64)
        self.errors = np.zeros((2, n), np.int64)
        self.crashed = np.zeros((2, n), np.int64)
        self.candidate_us = np.full(n, -1)  # the candidate's newest window
        self.newest = [no_newest(n, 7), no_newest(n, 7)]
        self.last = no_newest(n, 2)  # of any release of the model
        self.failed: dict[int, str] = {}
        self.strange: dict[int, str] = {}
        self.shadow = Shadow(n)
        self.clumps: dict[int, tuple[int, float]] = {}  # kept for things.py
        self._index = {name: number for number, name in enumerate(self.gateways)}
        self._old_keys = np.zeros(0, np.uint64)
        self._new_keys: set[int] = set()

    def touch(self, names: Iterable[str], marks: Mapping[str, int], deployed_us: int, away: Iterable[str]) -> None:
        """As Ledger.touch says."""
        absent = set(away)
        for name in names:
            number = self._index.get(name)
            if number is None:
                continue  # it left the fleet
            self.marks[number] = marks.get(name, 0)
            self.deployed_us[number] = deployed_us
            self.away[number] = name in absent
            ring = self.ring_marks[self.rings[number]]
            if (ring == NEVER).all():
                # of whom nothing is known the middle one's clock must do
                middle = sorted(marks.values())[len(marks) // 2] if marks else deployed_us
                ring[:] = [marks.get(other, middle) for other in self.gateways]

    @property
    def touched(self) -> Bool:
        """(gateways,)"""
        return np.asarray(self.marks != NEVER)

    def add(self, windows: Windows, now_us: int) -> None:
        """As Ledger.add says."""
        gateway = renumbered(windows.gateway, windows.gateways, self._index)
        fresh = gateway >= 0
        fresh[fresh] = self._fresh(gateway[fresh], windows.stream[fresh], windows.seq[fresh])
        if not fresh.any():
            return
        if not fresh.all():
            windows, gateway = windows.take(fresh), gateway[fresh]
        at_us = np.clip(windows.at_us, now_us - _FARTHEST_US, now_us + _FARTHEST_US)
        self._hear(gateway, at_us, now_us)
        since = at_us > self.marks[gateway]
        candidate = since & (windows.release == self.release)
        incumbent = ~since & (windows.release == (-2 if self.incumbent is None else self.incumbent))
        whole = windows.window_s >= WHOLE * self.window_s
        epoch = (at_us > self.ring_marks[:, gateway]).sum(axis=0)
        counted = (candidate | incumbent) & whole & windows.looking
        rows = windows.take(counted)
        when, who, age, new = at_us[counted], gateway[counted], epoch[counted], candidate[counted].astype(np.int64)
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            self.account.add(rows.take(part), when[part], who[part], age[part], new[part])
        for role, mine in ((INCUMBENT, incumbent), (CANDIDATE, candidate)):
            self._count(role, windows, at_us, gateway, mine, whole)
        ours = (windows.release != OTHER_MODEL) & (windows.digest > 0)
        self.last = newest_of(
            self.last,
            gateway[ours],
            at_us[ours],
            windows.seq[ours],
            np.stack((windows.seq[ours], windows.release[ours]), axis=1).astype(np.float64),
        )
        self._read_words(windows, gateway, since, candidate)
        self.shadow.add(windows, gateway, windows.shadow == self.release)

    def _fresh(self, gateway: Int64, stream: Int64, seq: Int64) -> Bool:
        """Which rows have not been added before, and are not twice among these."""
        key = gateway.astype(np.uint64)
        for part in (stream, seq):
            key = (key ^ (key >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15) + part.astype(np.uint64)
        first = np.zeros(len(key), np.bool_)
        first[np.unique(key, return_index=True)[1]] = True
        place = np.searchsorted(self._old_keys, key)
        known = np.zeros(len(key), np.bool_)
        inside = place < len(self._old_keys)
        known[inside] = self._old_keys[place[inside]] == key[inside]
        keys = key.tolist()
        if not self._new_keys.isdisjoint(keys):
            known |= np.array([number in self._new_keys for number in keys])
        numbered = seq > 0
        fresh = ~numbered | (first & ~known)
        more = key[fresh & numbered]
        if len(more) + len(self._new_keys) > _MERGE:
            pending = np.fromiter(self._new_keys, np.uint64, len(self._new_keys))
            self._old_keys = np.sort(np.concatenate((self._old_keys, pending, more)))
            self._new_keys = set()
        else:
            self._new_keys.update(more.tolist())
        return fresh

    def _hear(self, gateway: Int64, at_us: Int64, now_us: int) -> None:
        never = self.heard_us[gateway] == 0
        # at the first look there is its word only; where silence would condemn it, its time begins now
        word = np.where(self.touched[gateway], now_us, np.clip(at_us, 1, now_us))
        np.maximum.at(self.heard_us, gateway, np.where(never, word, now_us))

    def _count(self, role: int, windows: Windows, at_us: Int64, gateway: Int64, mine: Bool, whole: Bool) -> None:
        who = gateway[mine]
        looking = windows.looking[mine]
        np.add.at(self.whole[role], gateway[mine & whole], 1)
        np.add.at(self.frames[role], who, windows.frames[mine])
        np.add.at(self.errors[role], who, np.where(looking, windows.errors[mine], 0))
        np.add.at(self.crashed[role], who, windows.crashed[mine])
        if role == CANDIDATE:
            np.add.at(self.reports, who, 1)
            np.maximum.at(self.candidate_us, who, at_us[mine])
        kept = mine & whole & windows.looking
        per_s = windows.frames[kept] / np.maximum(windows.window_s[kept], 1e-3)
        columns = (windows.seq, windows.p50_ms, windows.frames, windows.errors, windows.memory_bytes)
        values = np.stack((*(c[kept].astype(np.float64) for c in columns), per_s, windows.p95_ms[kept]), axis=1)
        self.newest[role] = newest_of(self.newest[role], gateway[kept], at_us[kept], windows.seq[kept], values)

    def _read_words(self, windows: Windows, gateway: Int64, since: Bool, candidate: Bool) -> None:
        folder = f"{model_component(self.model)}/{model_version(self.release)}/"
        told = since & (windows.failed > 0)
        for number, index in sorted({*zip(gateway[told].tolist(), windows.failed[told].tolist(), strict=True)}):
            text = windows.failures[index]
            # a package too damaged to say what it is goes by its folder's name
            if text.startswith(f"{self.model}@{self.release}:") or folder in text:
                self.failed[number] = min(text, self.failed.get(number, text))
        if self.promise.digests:
            unknown = np.array([bool(name) and name not in self.promise.digests for name in windows.digests])
            odd = candidate & unknown[windows.digest]
            for number, index in sorted({*zip(gateway[odd].tolist(), windows.digest[odd].tolist(), strict=True)}):
                name = windows.digests[index]
                self.strange[number] = min(name, self.strange.get(number, name))


class Shadow:
    """Sums over the windows in which the candidate ran beside the incumbent, by gateway. `blind` counts those in which
    it looked at nothing though the incumbent did."""

    def __init__(self, gateways: int) -> None:
        n = gateways
        self.windows, self.blind, self.frames, self.agreed, self.matched, self.ours, self.theirs = np.zeros(
            (7, n), np.int64
        )
        self.our_bins, self.their_bins = np.zeros((2, n, SCORE_BINS), np.int64)

    def add(self, windows: Windows, gateway: Int64, mine: Bool) -> None:
        np.add.at(self.blind, gateway[mine & (windows.shadow_frames == 0) & (windows.frames > 0) & windows.looking], 1)
        mine = mine & (windows.shadow_frames > 0)
        if not mine.any():
            return
        rows, who = windows.take(mine), gateway[mine]
        np.add.at(self.windows, who, 1)
        for sums, column in (
            (self.frames, rows.shadow_frames),
            (self.agreed, rows.shadow_agreed),
            (self.matched, rows.shadow_matched),
            (self.ours, rows.shadow_ours),
            (self.theirs, rows.shadow_theirs),
            (self.our_bins, rows.shadow_our_bins),
            (self.their_bins, rows.shadow_their_bins),
        ):
            np.add.at(sums, who, column)


def newest_median(newest: Newest, column: int, *, least: int) -> Float64:
    """The middle of each gateway's newest windows, the kinder of two; 0 where there are fewer than `least`."""
    known = newest.at_us >= 0
    values = np.sort(np.where(known, newest.values[:, :, column], np.inf), axis=1)
    count = known.sum(axis=1)
    middle = values[np.arange(len(values)), np.maximum((count - 1) // 2, 0)]
    return np.where(count >= least, middle, 0.0)
