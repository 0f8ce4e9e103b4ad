"""Health windows of a small fleet, drawn: cameras with habits of their own, busy by day, and what candidates change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.rollout.judge import Ledger
from cloud.rollout.promise import NO_PROMISE, Promise
from cloud.rollout.verdicts import RingVerdict
from cloud.rollout.windows import Windows, windows_of

START_US = 1_780_012_800_000_000  # midnight, UTC
MINUTE_US = 60_000_000
LABELS = ("cup", "mug", "jug")
SCORES = np.array([0, 0, 0.02, 0.08, 0.1, 0.15, 0.2, 0.2, 0.2, 0.05])


@dataclass
class Candidate:
    """What a candidate changes: detections by factor (at night, from 0 to 6, by `night`), the labels' shares, scores
    towards 1 by bins, times, and columns that are set as they are."""

    rate: float = 1.0
    night: float = 1.0
    swap: Sequence[int] = (0, 1, 2)
    sharper: int = 0
    slower: float = 1.0
    leak_per_minute: float = 0.0
    only: str = ""  # on this hardware alone
    columns: Mapping[str, Any] = field(default_factory=dict)


class Fleet:
    """`gateways` names; time is counted in minutes from midnight."""

    def __init__(self, gateways: int = 12, *, seed: int = 0, noise: float = 0.2) -> None:
        self.names = tuple(f"g{k:02d}" for k in range(gateways))
        self.hardware = tuple("arm" if k % 2 else "x86" for k in range(gateways))
        self._draw = np.random.default_rng(seed)
        self._base = self._draw.uniform(0.5, 2.0, gateways)
        self._shares = self._draw.dirichlet((6, 4, 2), gateways)
        self._noise = noise

    def windows(
        self,
        first: int,
        last: int,
        *,
        candidate: Candidate | None = None,
        on: Sequence[int] = (),
        gateways: Sequence[int] | None = None,
        **columns: npt.ArrayLike,
    ) -> Windows:
        """Minutes first..last-1 of these gateways (or all), in order; those in `on` run the candidate, release 2."""
        chosen = np.arange(len(self.names)) if gateways is None else np.array(gateways, np.int64)
        gateway = np.tile(chosen, last - first)
        minute = np.repeat(np.arange(first, last), len(chosen))
        new = np.isin(gateway, list(on))
        what = candidate or Candidate()
        touched = new & (np.array([what.only in ("", kind) for kind in self.hardware])[gateway])
        by_night = minute // 60 % 24 < 6
        n = len(gateway)
        busy = np.where(by_night, 0.3, 1.0) * np.exp(self._draw.normal(0, self._noise, n))
        factor = np.where(touched, np.where(by_night, what.night, 1.0) * what.rate, 1.0)
        found = self._draw.poisson(300 * self._base[gateway] * busy * factor)
        mix = np.stack([self._draw.binomial(found, share) for share in self._split(gateway)], axis=1)
        mix[:, 2] = np.maximum(found - mix[:, 0] - mix[:, 1], 0)
        mix = np.where(touched[:, None], mix[:, list(what.swap)], mix)
        detections = mix.sum(axis=1)
        bins = np.rint(detections[:, None] * SCORES).astype(np.int64)
        bins[:, 6] += detections - bins.sum(axis=1)
        bins = np.where(touched[:, None], _sharpened(bins, what.sharper), bins)
        slow = np.where(touched, what.slower, 1.0)
        memory = 150e6 + np.where(touched, what.leak_per_minute * (minute - first), 0.0)
        made: dict[str, Any] = {
            "gateway": gateway,
            "at_us": START_US + (minute + 1) * MINUTE_US,
            "release": np.where(new, 2, 1),
            "digest": np.where(new, 2, 1),
            "frames": 300,
            "p50_ms": 20 * slow * np.exp(self._draw.normal(0, 0.03, n)),
            "p95_ms": 25 * slow * np.exp(self._draw.normal(0, 0.08, n)),
            "memory_bytes": memory * np.exp(self._draw.normal(0, 0.005, n)),
            "detections": detections,
            "bins": bins,
            "mix": mix,
            "stream": 7,
            "seq": minute + 1,
        }
        for name, value in what.columns.items():
            made[name] = np.where(touched, value, made.get(name, 0))
        return windows_of(self.names, LABELS, digests=("", "old", "new"), **{**made, **columns})

    def _split(self, gateway: npt.NDArray[np.int64]) -> list[npt.NDArray[np.float64]]:
        return [self._shares[gateway, 0], self._shares[gateway, 1], self._shares[gateway, 2]]


def _sharpened(bins: npt.NDArray[np.int64], by: int) -> npt.NDArray[np.int64]:
    moved = np.zeros_like(bins)
    moved[:, by:] = bins[:, : 10 - by]
    moved[:, -1] += bins[:, 10 - by :].sum(axis=1)
    return moved


def now(minute: int) -> int:
    return START_US + minute * MINUTE_US


def ledger_of(
    fleet: Fleet, rings: Sequence[int], *, incumbent: int | None = 1, promise: Promise = NO_PROMISE
) -> Ledger:
    return Ledger(
        fleet.names,
        rings=rings,
        model="cups",
        release=2,
        incumbent=incumbent,
        window_s=60.0,
        promise=promise,
        hardware=fleet.hardware,
    )


def touched(ledger: Ledger, fleet: Fleet, on: Sequence[int], minute: int) -> None:
    """These gateways get the candidate at that minute."""
    marks = {name: now(minute) for name in fleet.names}
    ledger.touch([fleet.names[k] for k in on], marks, deployed_us=now(minute))


def rolled_out(
    candidate: Candidate,
    *,
    minutes: int = 120,
    step: int = 10,
    gateways: int = 12,
    ring_0: Sequence[int] = (0, 1, 2, 3),
    history: int = 1440,
    begin: int = 0,
    seed: int = 0,
    promise: Promise = NO_PROMISE,
) -> tuple[RingVerdict, int]:
    """Ring 0's verdict and the minutes since the candidate's first one: when it was bad, or after all of them."""
    fleet = Fleet(gateways, seed=seed)
    ledger = ledger_of(fleet, [0 if k in ring_0 else 1 for k in range(gateways)], promise=promise)
    ledger.add(fleet.windows(begin, begin + history), now(begin + history))
    touched(ledger, fleet, ring_0, begin + history)
    verdict = ledger.judge(now(begin + history))[0]
    for minute in range(begin + history, begin + history + minutes, step):
        ledger.add(fleet.windows(minute, minute + step, candidate=candidate, on=ring_0), now(minute + step))
        verdict = ledger.judge(now(minute + step))[0]
        if verdict.standing == "bad":
            return verdict, minute + step - begin - history
    return verdict, minutes
