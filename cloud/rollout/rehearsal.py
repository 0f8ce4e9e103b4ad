"""Rehearsing a roll-out on what the fleet has reported: the incumbent plays the candidate, and should not be undone.

An A/A test of everything but the release: the same rings, soaks, judge and decisions, on earlier days. How many such
roll-outs are undone is what a good release has to expect, on this fleet and not on a model of it.
"""

import math
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cloud.rollout.decide import Advance, Done, Revert, decide
from cloud.rollout.judge import Ledger
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Gateway, Plan, Ring, Wave, Wishes
from cloud.rollout.standings import Standings
from cloud.rollout.windows import Windows
from cloud.rollout.words import duration

HISTORY_S = 3600.0  # that a roll-out looks back to, and so a rehearsal
_LOOKS = 150  # at a rehearsal, at most


@dataclass(frozen=True, slots=True)
class Trial:
    """How one rehearsal ended: `done`, `reverted`, or `stuck` where history ended first; `because` in a sentence."""

    outcome: str
    because: str


@dataclass(frozen=True, slots=True)
class Odds:
    """Of `trials` rehearsals so many were undone; `at_most` bounds the share from above, with 95 % confidence where
    rehearsals are as good as independent. `why_not` says why there was none; it is empty where there were some."""

    trials: int = 0
    undone: int = 0
    stuck: int = 0
    at_most: float = 1.0
    examples: tuple[str, ...] = ()
    why_not: str = ""


def needed_s(plan: Plan, window_s: float, limits: Limits) -> float:
    """How long a roll-out takes where nothing waits for hours, approvals or caps."""
    least_s = max(limits.windows, limits.least_windows) * window_s
    return sum(max(plan.wishes.soak_of(ring), least_s) for ring in range(len(plan.rings)))


def too_short(plan: Plan, history: Windows, *, window_s: float, limits: Limits) -> str:
    """Why the history is too short to rehearse on; empty when it is not."""
    if plan.incumbent is None:
        return "there is no release before to rehearse with"
    ran = history.take(history.release == plan.incumbent)
    needed = needed_s(plan, window_s, limits) * 1.05 + _history_s(window_s) + 2 * limits.windows * window_s
    have_s = float(ran.at_us.max() - ran.at_us.min()) / 1e6 if len(ran) else 0.0
    if have_s < needed:
        before = f"{plan.model}@{plan.incumbent}"
        return f"not enough history: {duration(have_s)} of {before}, and a rehearsal takes {duration(needed)}"
    return ""


def rehearse(
    plan: Plan, history: Windows, *, window_s: float, limits: Limits, trials: int, seed: int
) -> Iterator[Trial]:
    """Rehearse a plan for which history is not `too_short`, so often: at other times, and with other gateways of the
    same hardware as canaries."""
    ran = history.take(history.release == plan.incumbent)
    ran = ran.take(np.argsort(ran.at_us, kind="stable"))
    first_us = int(ran.at_us[0]) + int(_history_s(window_s) * 1e6)
    last_us = int(ran.at_us[-1]) - int(needed_s(plan, window_s, limits) * 1.05e6)
    for number in range(trials):
        chance = random.Random(f"{seed} {number}")
        begins_us = first_us + int(max(0, last_us - first_us) * (number / max(1, trials - 1)))
        yield _trial(_shuffled(plan, chance), ran, begins_us, window_s=window_s, limits=limits)


def odds_of(trials: list[Trial]) -> Odds:
    undone = [trial for trial in trials if trial.outcome == "reverted"]
    stuck = sum(trial.outcome == "stuck" for trial in trials)
    return Odds(
        len(trials),
        len(undone),
        stuck,
        at_most(len(undone), len(trials)),
        tuple(dict.fromkeys(trial.because for trial in undone))[:3],
    )


def at_most(hits: int, trials: int) -> float:
    """The upper end of the one-sided 95 % interval of a share (Clopper and Pearson, 1934)."""
    if hits >= trials:
        return 1.0
    low, high = hits / trials, 1.0
    for _ in range(50):
        share = (low + high) / 2
        below = sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(hits + 1))
        low, high = (share, high) if below > 0.05 else (low, share)
    return high


def _trial(plan: Plan, ran: Windows, begins_us: int, *, window_s: float, limits: Limits) -> Trial:
    members = [(gateway, number) for number, ring in enumerate(plan.rings) for gateway in ring.gateways]
    place = {gateway.name: number for number, (gateway, _) in enumerate(members)}
    ledger = Ledger(
        [gateway.name for gateway, _ in members],
        rings=[number for _, number in members],
        model=plan.model,
        release=plan.release,
        incumbent=plan.incumbent,
        window_s=window_s,
        limits=limits,
        hardware=[gateway.hardware for gateway, _ in members],
    )
    known = np.array([place.get(name, -1) for name in ran.gateways], np.int64)[ran.gateway]
    touched_us = np.full(len(members) + 1, np.iinfo(np.int64).max)  # the last one: whoever is in no ring
    deployed: list[int] = []
    looks_us = max(int(window_s * 1e6), int(needed_s(plan, window_s, limits) * 1e6 / _LOOKS))
    end_us = int(ran.at_us[-1])
    before_us, now_us = begins_us - int(_history_s(window_s) * 1e6), begins_us
    newest = np.zeros(len(members) + 1, np.int64)
    said = "it did not begin"
    while now_us <= end_us:
        rows = slice(*np.searchsorted(ran.at_us, (before_us, now_us), side="right"))
        part = ran.take(rows)
        plays = part.at_us > touched_us[known[rows]]
        ledger.add(replace(part, release=np.where(plays, plan.release, part.release)), now_us)
        np.maximum.at(newest, known[rows], part.at_us)
        for _ in range(len(plan.waves) + 1):
            told = Standings(ledger.judge(now_us), tuple(deployed), begins_us, limits.patience_windows * window_s)
            action = decide(plan, told, now_us)
            said = action.because
            if not isinstance(action, Advance):
                break
            names = plan.waves[action.wave].names
            marks = dict.fromkeys(place, now_us)
            silent = now_us - int(limits.silence_windows * window_s * 1e6)
            away = [name for name in names if newest[place[name]] < silent]
            ledger.touch(names, marks, deployed_us=now_us, absent=away)
            touched_us[[place[name] for name in names]] = now_us
            deployed.append(now_us)
        if isinstance(action, Done):
            return Trial("done", said)
        if isinstance(action, Revert):
            return Trial("reverted", said)
        before_us, now_us = now_us, now_us + looks_us
    return Trial("stuck", said)


def _shuffled(plan: Plan, chance: random.Random) -> Plan:
    """The plan with gateways of the same hardware in each other's places, and nobody to wait for."""
    kinds: dict[str, list[Gateway]] = defaultdict(list)
    for ring in plan.rings:
        for gateway in ring.gateways:
            kinds[gateway.hardware].append(gateway)
    for kind in kinds.values():
        chance.shuffle(kind)
    rings = tuple(
        Ring(
            tuple(
                Wave(wave.group, tuple(sorted((kinds[g.hardware].pop() for g in wave.gateways), key=lambda g: g.name)))
                for wave in ring.waves
            )
        )
        for ring in plan.rings
    )
    wishes = Wishes(soak_s=plan.wishes.soak_s, covered=plan.wishes.covered, cover_s=plan.wishes.cover_s)
    return replace(plan, rings=rings, wishes=wishes)


def _history_s(window_s: float) -> float:
    return max(HISTORY_S, 60 * window_s)
