"""Whether a candidate behaves on gateways: what they report, added up as it comes in, and judged at every look.

    ledger = Ledger(names, rings=..., model="coco", release=7, incumbent=6, window_s=60.0)
    ledger.add(windows, now_us)              # history first; what comes twice counts once
    ledger.touch(names_of_ring_0, marks)     # before anything of the candidate is added
    ledger.add(windows, now_us)
    verdicts = ledger.judge(now_us)          # a RingVerdict per ring, in order

A fresh process that touches as the state says and adds all of the lake comes to the same verdicts, in whatever order
the windows come; only silence begins anew, since it is measured by our own clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cloud.rollout import book as columns
from cloud.rollout.account import CANDIDATE, FIXED, INCUMBENT, P50, TIMED
from cloud.rollout.at_once import Machine, broken, silent_by_chance
from cloud.rollout.book import Book, newest_median
from cloud.rollout.fleet import Progress
from cloud.rollout.limits import Limits
from cloud.rollout.odds import RingOdds, ring_odds
from cloud.rollout.promise import NO_PROMISE, Promise
from cloud.rollout.shadow_odds import shadow_verdict
from cloud.rollout.verdicts import GatewayVerdict, RingVerdict, Standing
from cloud.rollout.windows import Float64, Int64, Windows
from cloud.rollout.words import duration, several


class Ledger:
    """The evidence of one roll-out.

    `rings` has the ring (0, 1 ...) of each of `gateways`, `hardware` its class ("" where unknown). `incumbent` is None
    at the first release ever. Windows of other gateways are ignored.
    """

    def __init__(
        self,
        gateways: Sequence[str],
        *,
        rings: Sequence[int],
        model: str,
        release: int,
        incumbent: int | None,
        window_s: float,
        limits: Limits | None = None,
        promise: Promise = NO_PROMISE,
        hardware: Sequence[str] = (),
    ) -> None:
        self.gateways = tuple(gateways)
        self.rings = np.asarray(rings, np.int64)
        self.hardware = tuple(hardware) or ("",) * len(self.gateways)
        self.limits, self.promise = limits or Limits(), promise
        self._book = Book(
            self.gateways,
            self.rings,
            model=model,
            release=release,
            incumbent=incumbent,
            window_s=window_s,
            promise=promise,
        )
        self._first = incumbent is None
        self._window_s = window_s
        self._odds: dict[int, RingOdds] = {}

    def touch(
        self,
        gateways: Iterable[str],
        marks: Mapping[str, int],
        *,
        deployed_us: int = 0,
        absent: Iterable[str] = (),
    ) -> None:
        """These gateways get the candidate. `marks` is each one's newest report when that was decided, by its own
        clock (0 where it had none), and best also that of all others; `deployed_us` is 0 until the deployment is made:
        say it again then. `absent` ones had been silent."""
        self._book.touch(gateways, marks, deployed_us, absent)

    def add(self, windows: Windows, now_us: int) -> None:
        """Take windows into account, in any order; a row that was added before counts once."""
        self._book.add(windows, now_us)

    def hear(self, heard_us: Mapping[str, int]) -> None:
        """Say when gateways last had something new to say, by our clock, where somebody remembers it better."""
        for number, name in enumerate(self.gateways):
            if name in heard_us:
                self._book.heard_us[number] = heard_us[name]

    def in_flight(self, now_us: int) -> frozenset[str]:
        """The gateways that were given the candidate, can be reached, and have not reported it yet."""
        flying = self._book.touched & (self._book.reports == 0) & self._present(np.arange(len(self.gateways)), now_us)
        return frozenset(self.gateways[number] for number in np.flatnonzero(flying))

    def judge(self, now_us: int, progress: Mapping[str, Progress] | None = None) -> tuple[RingVerdict, ...]:
        """How each ring is, in order. `progress` is of the touched gateways' deployments, as far as asked for."""
        count = int(self.rings.max(initial=-1)) + 1
        return tuple(self._ring(ring, count, now_us, progress or {}) for ring in range(count))

    def gateway_verdicts(
        self, ring: int, now_us: int, progress: Mapping[str, Progress] | None = None
    ) -> tuple[GatewayVerdict, ...]:
        """Every gateway of a ring, for people; slower than `judge`."""
        mine = np.flatnonzero(self.rings == ring)
        look = self._look(mine, now_us, progress or {})
        return tuple(self._gateway(number, place, look) for place, number in enumerate(mine.tolist()))

    # a ring

    def _ring(self, ring: int, rings: int, now_us: int, progress: Mapping[str, Progress]) -> RingVerdict:
        book, limits = self._book, self.limits
        mine = np.flatnonzero(self.rings == ring)
        present = self._present(mine, now_us)
        ready = present & (book.whole[INCUMBENT, mine] >= limits.baseline_windows)
        shadow, shadow_because = shadow_verdict(book.shadow, mine, limits)
        told = {
            "gateways": len(mine),
            "present": int(present.sum()),
            "ready": int(ready.sum()),
            "shadow": shadow,
            "shadow_because": shadow_because,
        }
        got = mine[book.touched[mine]]
        if not len(got):
            return RingVerdict("unknown", "has not got it yet", **told)  # type: ignore[arg-type]
        look = self._look(got, now_us, progress)
        limit = float(-np.log10(limits.alpha * (0.5 if ring == 0 and rings > 1 else 0.5 / max(rings - 1, 1))))
        odds = None
        if not self._first:
            odds = ring_odds(book, ring, got, self.hardware, self.promise, limits, self._odds.get(ring))
            self._odds[ring] = odds
        standing, because = self._standing(got, look, odds, limit)
        bad = look.standings.count("bad")
        return RingVerdict(
            standing,
            because,
            well=look.standings.count("well"),
            unknown=look.standings.count("unknown"),
            absent=look.standings.count("absent"),
            bad=max(bad, 1) if standing == "bad" else bad,
            surprise=odds.log10 if odds else 0.0,
            limit=limit,
            unseen_hours=odds.unseen_hours if odds else (),
            **told,  # type: ignore[arg-type]
        )

    def _standing(self, got: Int64, look: "_Look", odds: RingOdds | None, limit: float) -> tuple[Standing, str]:
        limits = self.limits
        worst = next((place for place, said in enumerate(look.standings) if said == "bad"), None)
        if worst is not None:
            more = look.standings.count("bad") - 1
            others = f"; and {several(more, 'gateway')} more" if more else ""
            return "bad", f"{self.gateways[got[worst]]} {look.because[worst]}{others}"
        if odds is not None and odds.log10 >= limit:
            return "bad", odds.worst_text(limit)
        counting = [place for place, said in enumerate(look.standings) if said != "absent"]
        well = look.standings.count("well")
        if not counting:
            return "unknown", "no gateway has shown to be well"
        waiting = [place for place in counting if look.standings[place] == "unknown"]
        watched = len(got) - int(self._book.away[got].sum())
        if not well or well < limits.quorum * len(counting) or 2 * well < watched:
            # of those that wait, or else of those that fell silent
            first = (waiting or [place for place, said in enumerate(look.standings) if said == "absent"])[0]
            more = max(len(waiting), 1) - 1
            others = f"; and {several(more, 'gateway')} more" if more else ""
            return "unknown", f"{self.gateways[got[first]]} {look.because[first]}{others}"
        if odds is None:
            return "well", look.account(well)
        if odds.log10 >= limit - limits.doubt:
            return "unknown", f"needs a longer look: {odds.worst_text(limit)}"
        if odds.lacking:
            return "unknown", odds.lacking
        return "well", f"{look.account(well)}; {odds.account(limit)}"

    # gateways

    def _present(self, mine: Int64, now_us: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
        heard = self._book.heard_us[mine]
        silence_us = self.limits.silence_windows * self._window_s * 1e6
        return np.asarray((heard > 0) & (now_us - heard <= silence_us))

    def _look(self, mine: Int64, now_us: int, progress: Mapping[str, Progress]) -> "_Look":
        book, limits = self._book, self.limits
        silence_s = limits.silence_windows * self._window_s
        windows_needed, frames_needed = (
            (limits.first_windows, limits.first_frames) if self._first else (limits.windows, limits.frames)
        )
        counts = book.account.hours[:, :, mine].sum(axis=(0, 3))  # (roles, gateways, columns)
        p50 = newest_median(book.newest[CANDIDATE], columns.P50_MS, least=1)[mine]
        memory = newest_median(book.newest[CANDIDATE], columns.MEMORY, least=1)[mine]
        memory_was = newest_median(book.newest[INCUMBENT], columns.MEMORY, least=1)[mine]
        timed = np.where(counts[INCUMBENT, :, TIMED] > 0, counts[INCUMBENT, :, TIMED], np.inf)
        p50_was = np.where(np.isfinite(timed), np.exp(counts[INCUMBENT, :, P50] / timed * 1e-4), 0.0)
        elsewhere = self._elsewhere(mine)
        look = _Look(self._window_s, counts[CANDIDATE, :, 0], counts[CANDIDATE, :, 2])
        silent: list[int] = []
        for place, number in enumerate(mine.tolist()):
            name = self.gateways[number]
            windows, frames = int(look.windows[place]), int(look.frames[place])
            said = self._failure(number, progress.get(name, "pending"))
            newest = book.newest[CANDIDATE]
            recent = newest.at_us[number] >= 0
            frames_was = int(book.frames[INCUMBENT, number])
            fault = said or next(
                broken(
                    Machine(
                        windows=windows,
                        errors=int(book.errors[CANDIDATE, number]),
                        frames=int(book.frames[CANDIDATE, number]),
                        crashed=int(book.crashed[CANDIDATE, number]),
                        newest_errors=int(newest.values[number, recent, columns.ERRORS].sum()),
                        newest_frames=int(newest.values[number, recent, columns.FRAMES].sum()),
                        error_share_was=book.errors[INCUMBENT, number] / frames_was if frames_was else 0.0,
                        p50_ms=float(p50[place]),
                        p50_ms_was=float(p50_was[place]),
                        elsewhere=elsewhere,
                        promised=self.promise.slower(self.hardware[number]),
                        memory_bytes=float(memory[place]),
                        memory_bytes_was=float(memory_was[place]),
                        growth=self._growth(number),
                        slot_s=book.account.slot_s,
                    ),
                    limits,
                ),
                "",
            )
            if fault:
                look.say("bad", fault)
            elif book.away[number] and not book.reports[number]:
                look.say("absent", "was silent before and is now")
            elif not book.deployed_us[number]:
                look.say("unknown", "is about to get it")
            else:
                waited_s = (now_us - int(book.deployed_us[number])) / 1e6
                heard_us = max(int(book.heard_us[number]), int(book.deployed_us[number]))
                silent_s = (now_us - heard_us) / 1e6 if book.reports[number] else waited_s
                enough = windows >= windows_needed and frames >= frames_needed
                seen = f"{windows} of {windows_needed} windows and {frames} of {frames_needed} frames"
                if silent_s > silence_s:
                    silent.append(place)
                    last = "since its last report" if book.reports[number] else "since the deployment, and no report"
                    look.say("absent", f"is silent: {duration(silent_s)} {last} (limit {duration(silence_s)})")
                elif enough and not self._first and not book.whole[INCUMBENT, number]:
                    look.say("absent", "has nothing to be compared with")
                elif enough:
                    look.say("well", f"has shown {windows} windows and {frames} frames")
                elif book.away[number]:
                    look.say("absent", f"came back, and has shown {seen}")
                elif waited_s > limits.blind_windows * self._window_s:
                    look.say("bad", f"could not be judged in {duration(waited_s)}: {seen}")
                else:
                    look.say("unknown", f"has shown {seen}")
        self._weigh_silence(mine, silent, look, now_us)
        return look

    def _weigh_silence(self, mine: Int64, silent: Sequence[int], look: "_Look", now_us: int) -> None:
        """Gateways do fall silent by themselves; more of them than elsewhere, or for too long with nobody else to
        judge by, is the candidate's doing."""
        if not silent:
            return
        book, limits = self._book, self.limits
        others = np.flatnonzero(~book.touched & (book.heard_us > 0))
        quiet = int((~self._present(others, now_us)).sum())
        share = max(limits.usual_silence, (quiet + 0.5) / (len(others) + 1))
        watched = sum(not book.away[number] for number in mine.tolist())
        fell = [place for place in silent if not book.away[mine[place]]]
        chance = silent_by_chance(len(fell), watched, min(share, 0.5)) if fell else 1.0
        waited_s = min((now_us - int(book.deployed_us[mine[place]])) / 1e6 for place in silent)
        alone = not any(said in ("well", "unknown") for said in look.standings)
        if chance < limits.silent_odds:
            elsewhere = f"elsewhere {quiet} of {len(others)} are" if len(others) else "nobody else can be asked"
            for place in fell:
                look.standings[place] = "bad"
                look.because[place] += f"; so are {len(fell)} of {several(watched, 'gateway')} there, {elsewhere}"
        elif alone and waited_s > limits.patience_windows * self._window_s:
            for place in silent:
                look.standings[place] = "bad"

    def _elsewhere(self, mine: Int64) -> float:
        """How many times slower inference got meanwhile on gateways that run what they ran."""
        book = self._book
        others = np.flatnonzero(~book.touched)
        now = newest_median(book.newest[INCUMBENT], columns.P50_MS, least=2)[others]
        ring = int(self.rings[mine[0]])
        sums = book.account.hours[: ring + 1, INCUMBENT][:, others].sum(axis=(0, 2))
        timed = sums[:, TIMED]
        was = np.exp(sums[:, P50] / np.where(timed > 0, timed, np.inf) * 1e-4)
        known = (now > 0) & (timed > 0)
        return float(np.median(now[known] / was[known])) if known.any() else 1.0

    def _growth(self, number: int) -> Float64:
        """Mean memory by slot with the candidate, bytes, the oldest first."""
        account = self._book.account
        sums = account.memory[: len(account.slots), number]
        order = [place for _, place in sorted((slot, place) for place, slot in enumerate(account.slots))]
        sums = sums[order][sums[order, 0] > 0] if len(order) else sums
        return np.asarray(sums[:, 1] * 1024 / np.maximum(sums[:, 0], 1))

    def _failure(self, number: int, progress: Progress) -> str:
        """Why the gateway has not got the candidate running, or no longer; empty when nothing says so."""
        book = self._book
        if number in book.failed:
            return f"gave it up: {book.failed[number]}"
        if number in book.strange:
            return f"runs {book.strange[number][:12]}, a digest that release {book.release} does not hold"
        after = (book.last.at_us[number] > book.candidate_us[number]) & (
            book.last.values[number, :, columns.RELEASE] != book.release
        )
        # one window may be told late; two say that it stays that way
        if book.reports[number] and after.sum() >= 2:
            last = int(book.last.values[number, -1, columns.RELEASE])
            return f"runs release {last} again, of its own accord"
        return "could not deploy it" if progress == "failed" else ""

    def _gateway(self, number: int, place: int, look: "_Look") -> GatewayVerdict:
        book = self._book
        touched = bool(book.touched[number])
        known = book.last.at_us[number] >= 0
        sums = book.account.hours[:, :, number].sum(axis=(0, 2))
        figures: dict[str, float] = {}
        for role, tail in ((CANDIDATE, ""), (INCUMBENT, "_was")):
            newest = book.newest[role]
            for name, column in (("fps", columns.PER_S), ("p95_ms", columns.P95_MS), ("memory_bytes", columns.MEMORY)):
                figures[name + tail] = float(newest_median(newest, column, least=1)[number])
            detections, frames = sums[role, 3], sums[role, 2]
            figures["per_frame" + tail] = detections / frames if frames else 0.0
            figures["mean_score" + tail] = sums[role, 4] / 20 / detections if detections else 0.0
        shares = [sums[role, FIXED:] / max(sums[role, FIXED:].sum(), 1) for role in (CANDIDATE, INCUMBENT)]
        both = all(share.sum() > 0 for share in shares)
        figures["mix_distance"] = float(np.abs(shares[0] - shares[1]).sum() / 2) if both else 0.0
        return GatewayVerdict(
            self.gateways[number],
            look.standings[place] if touched else "unknown",
            look.because[place] if touched else "has not got it yet",
            release=int(book.last.values[number, -1, columns.RELEASE]) if known.any() else 0,
            windows=int(look.windows[place]),
            frames=int(look.frames[place]),
            errors=int(book.errors[CANDIDATE, number]),
            figures=figures,
        )


@dataclass(slots=True)
class _Look:
    """Gateways one by one, before their odds are looked at together."""

    window_s: float
    windows: Float64
    frames: Float64

    standings: list[Standing] = field(default_factory=list)
    because: list[str] = field(default_factory=list)

    def say(self, standing: Standing, because: str) -> None:
        self.standings.append(standing)
        self.because.append(because)

    def account(self, well: int) -> str:
        shown = f"{int(self.windows.sum())} windows and {int(self.frames.sum())} frames"
        return f"{several(well, 'gateway')} well over {shown}"
