"""Gateways one by one: what each has shown, and whether a limit that acts at once is broken there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cloud.rollout import account
from cloud.rollout import book as columns
from cloud.rollout.account import CANDIDATE, INCUMBENT
from cloud.rollout.at_once import Machine, broken, burdened, silent_by_chance
from cloud.rollout.book import Book, newest_median
from cloud.rollout.fleet import Progress
from cloud.rollout.limits import Limits
from cloud.rollout.promise import Promise
from cloud.rollout.verdicts import Standing
from cloud.rollout.windows import Bool, Float64, Int64
from cloud.rollout.words import duration, several


@dataclass(slots=True)
class GatewayLook:
    """By gateway, in order: windows and frames with the candidate, the standing, and the clause behind it."""

    windows: Float64
    frames: Float64
    standings: list[Standing] = field(default_factory=list)
    because: list[str] = field(default_factory=list)

    def say(self, standing: Standing, because: str) -> None:
        self.standings.append(standing)
        self.because.append(because)

    def account(self, well: int) -> str:
        """What all of them have shown."""
        shown = f"{int(self.windows.sum())} windows and {int(self.frames.sum())} frames"
        return f"{several(well, 'gateway')} well over {shown}"


def present(book: Book, mine: Int64, now_us: int, limits: Limits) -> Bool:
    """Which of these had something new to say lately."""
    heard = book.heard_us[mine]
    return np.asarray((heard > 0) & (now_us - heard <= limits.silence_windows * book.window_s * 1e6))


def look_at(
    book: Book,
    mine: Int64,
    hardware: Sequence[str],
    promise: Promise,
    limits: Limits,
    now_us: int,
    progress: Mapping[str, Progress],
) -> GatewayLook:
    """Look at gateways `mine` of one ring. `progress` is of their deployments, as far as asked for."""
    first = book.incumbent is None
    silence_s = limits.silence_windows * book.window_s
    least = (limits.first_windows, limits.first_frames) if first else (limits.windows, limits.frames)
    sums = book.account.totals[CANDIDATE, mine]
    look = GatewayLook(sums[:, account.WINDOWS], sums[:, account.FRAMES])
    faults = _faults(book, mine, hardware, promise, limits)
    silent: list[int] = []
    for place, number in enumerate(mine.tolist()):
        windows, frames = int(look.windows[place]), int(look.frames[place])
        fault = _failure(book, number, progress) or faults.get(place, "")
        reports = int(book.reports[number])
        if fault:
            look.say("bad", fault)
        elif book.away[number] and not reports:
            look.say("absent", "was silent before and is now")
        elif not book.deployed_us[number]:
            look.say("unknown", "is about to get it")
        else:
            deployed_us = int(book.deployed_us[number])
            waited_s = (now_us - deployed_us) / 1e6
            silent_s = (now_us - max(int(book.heard_us[number]), deployed_us)) / 1e6 if reports else waited_s
            enough = windows >= least[0] and frames >= least[1]
            if silent_s > silence_s:
                silent.append(place)
                last = "since its last report" if reports else "since the deployment, and no report"
                look.say("absent", f"is silent: {duration(silent_s)} {last} (limit {duration(silence_s)})")
            elif enough and not first and not book.whole[INCUMBENT, number]:
                look.say("absent", "has nothing to be compared with")
            elif enough:
                look.say("well", "has shown enough")
            else:
                seen = f"{windows} of {least[0]} windows and {frames} of {least[1]} frames"
                if book.away[number]:
                    look.say("absent", f"came back, and has shown {seen}")
                elif waited_s > limits.blind_windows * book.window_s:
                    look.say("bad", f"could not be judged in {duration(waited_s)}: {seen}")
                else:
                    look.say("unknown", f"has shown {seen}")
    if silent:
        _weigh_silence(book, mine, silent, look, limits, now_us)
    return look


def _weigh_silence(
    book: Book, mine: Int64, silent: Sequence[int], look: GatewayLook, limits: Limits, now_us: int
) -> None:
    """Gateways do fall silent by themselves; more of them than elsewhere, or for too long with nobody else to judge by,
    is the candidate's doing."""
    others = np.flatnonzero(~book.touched & (book.heard_us > 0))
    quiet = int((~present(book, others, now_us, limits)).sum())
    share = max(limits.usual_silence, (quiet + 0.5) / (len(others) + 1))
    watched = int((~book.away[mine]).sum())
    fell = [place for place in silent if not book.away[mine[place]]]
    chance = silent_by_chance(len(fell), watched, min(share, 0.5)) if fell else 1.0
    waited_s = min((now_us - int(book.deployed_us[mine[place]])) / 1e6 for place in silent)
    alone = not any(said in ("well", "unknown") for said in look.standings)
    if chance < limits.silent_odds:
        elsewhere = f"elsewhere {quiet} of {len(others)} are" if len(others) else "nobody else can be asked"
        for place in fell:
            look.standings[place] = "bad"
            look.because[place] += f"; so are {len(fell)} of {several(watched, 'gateway')} there, {elsewhere}"
    elif alone and waited_s > limits.patience_windows * book.window_s:
        for place in silent:
            look.standings[place] = "bad"


def _faults(book: Book, mine: Int64, hardware: Sequence[str], promise: Promise, limits: Limits) -> dict[int, str]:
    """The limit that a gateway breaks, by its place in `mine`; who breaks none is left out."""
    newest = book.newest[CANDIDATE]
    before = book.account.totals[INCUMBENT, mine]
    p50 = newest_median(newest, columns.P50_MS, least=1)[mine]
    memory = newest_median(newest, columns.MEMORY, least=1)[mine]
    memory_was = newest_median(book.newest[INCUMBENT], columns.MEMORY, least=1)[mine]
    timed = before[:, account.TIMED]
    p50_was = np.where(
        timed > 0, np.exp(before[:, account.P50] / np.where(timed > 0, timed, 1.0) * account.LOG_UNIT), 0.0
    )
    growth = _growth(book, mine)
    # whoever is nowhere near a limit need not be looked at closely
    suspects = (
        (book.errors[CANDIDATE, mine] >= limits.errors)
        | (book.crashed[CANDIDATE, mine] >= limits.errors)
        | (p50 > limits.slow_ratio * p50_was)
        | (memory > limits.memory_ratio * memory_was)
        | _grows(growth, limits.memory_extra_bytes * book.account.slot_s / limits.leak_horizon_s / 2)
    )
    faults: dict[int, str] = {}
    burdens: dict[int, str] = {}
    if not suspects.any():
        return faults
    ratios = _elsewhere(book, int(book.rings[mine[0]]))
    elsewhere = float(np.median(ratios)) if len(ratios) else 1.0
    slow_anyway = float((ratios > limits.slow_ratio * max(1.0, elsewhere)).sum() + 0.5) / (len(ratios) + 1)
    for place in np.flatnonzero(suspects).tolist():
        number = int(mine[place])
        frames_was = int(book.frames[INCUMBENT, number])
        recent = newest.at_us[number] >= 0
        machine = Machine(
            windows=int(book.account.totals[CANDIDATE, number, account.WINDOWS]),
            errors=int(book.errors[CANDIDATE, number]),
            frames=int(book.frames[CANDIDATE, number]),
            crashed=int(book.crashed[CANDIDATE, number]),
            newest_errors=int(newest.values[number, recent, columns.ERRORS].sum()),
            newest_frames=int(newest.values[number, recent, columns.FRAMES].sum()),
            error_share_was=book.errors[INCUMBENT, number] / frames_was if frames_was else 0.0,
            p50_ms=float(p50[place]),
            p50_ms_was=float(p50_was[place]),
            elsewhere=elsewhere,
            promised=promise.slower(hardware[number]),
            memory_bytes=float(memory[place]),
            memory_bytes_was=float(memory_was[place]),
            growth=growth[place][np.isfinite(growth[place])],
            slot_s=book.account.slot_s,
        )
        fault = next(broken(machine, limits), "")
        if fault:
            faults[place] = fault
            continue
        burden = next(burdened(machine, limits), "")
        if burden:
            burdens[place] = burden
    kinds = [hardware[number] for number in mine.tolist()]
    reporting = book.account.totals[CANDIDATE, mine, account.WINDOWS] >= limits.windows
    slow = sum(text.startswith("is slow") for text in burdens.values())
    # machines have bad minutes of their own: as many slow ones must be unlikely, or all there are
    chance = silent_by_chance(slow, int(reporting.sum()), max(slow_anyway, limits.usual_slowness)) if slow else 1.0
    for place, burden in burdens.items():
        alike = [other for other, kind in enumerate(kinds) if kind == kinds[place] and reporting[other]]
        if sum(other in burdens for other in alike) < limits.alike * len(alike):
            continue
        if burden.startswith("is slow") and chance > limits.slow_odds and slow < reporting.sum():
            continue
        faults[place] = burden
    return faults


def _growth(book: Book, mine: Int64) -> Float64:
    """Mean memory by slot with the candidate, bytes, the oldest first; NaN where there was none."""
    kept = book.account
    order = np.argsort(np.array(kept.slots, np.int64))
    sums = kept.memory[: len(order)][:, mine][order]
    sums = sums[(sums[..., 0] > 0).any(axis=1)]
    windows = sums[..., 0].T
    return np.where(windows > 0, sums[..., 1].T * 1024 / np.maximum(windows, 1), np.nan)


def _grows(growth: Float64, least: float) -> Bool:
    """Whose newest slots take more than the oldest, by `least` a slot."""
    count = growth.shape[1]
    if count < 6:
        return np.zeros(len(growth), np.bool_)
    part = max(2, count // 4)
    early, late = np.nan_to_num(growth[:, :part]).max(axis=1), np.nan_to_num(growth[:, -part:]).max(axis=1)
    return np.asarray(late - early > least * (count - part))


def _elsewhere(book: Book, ring: int) -> Float64:
    """How many times slower inference got meanwhile on each gateway that runs what it ran."""
    others = np.flatnonzero(~book.touched)
    now = newest_median(book.newest[INCUMBENT], columns.P50_MS, least=2)[others]
    kept = book.account.hours[: ring + 1, INCUMBENT, :, :, [account.TIMED, account.P50]]
    timed, log = kept[:, :, others].sum(axis=(1, 3))
    was = np.exp(log / np.where(timed > 0, timed, np.inf) * account.LOG_UNIT)
    known = (now > 0) & (timed > 0)
    return np.asarray(now[known] / was[known])


def _failure(book: Book, number: int, progress: Mapping[str, Progress]) -> str:
    """Why the gateway has not got the candidate running, or no longer; empty when nothing says so."""
    if number in book.failed:
        return f"gave it up: {book.failed[number]}"
    if number in book.strange:
        return f"runs {book.strange[number][:12]}, a digest that release {book.release} does not hold"
    # one window may be told late; two say that it stays that way
    if book.reports[number] and (book.last.values[number, -2:, columns.RELEASE] != book.release).all():
        after = (book.last.at_us[number] > book.candidate_us[number]) & (
            book.last.values[number, :, columns.RELEASE] != book.release
        )
        if after.sum() >= 2:
            return f"runs release {int(book.last.values[number, -1, columns.RELEASE])} again, of its own accord"
    return "could not deploy it" if progress.get(book.gateways[number]) == "failed" else ""
