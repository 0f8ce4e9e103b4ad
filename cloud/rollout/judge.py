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

import numpy as np

from cloud.rollout import book as columns
from cloud.rollout.account import CANDIDATE, FIXED, INCUMBENT
from cloud.rollout.book import Book, newest_median
from cloud.rollout.fleet import Progress
from cloud.rollout.gateway_look import GatewayLook, look_at, present
from cloud.rollout.limits import Limits
from cloud.rollout.odds import RingOdds, ring_odds
from cloud.rollout.promise import NO_PROMISE, Promise
from cloud.rollout.shadow_odds import shadow_verdict
from cloud.rollout.verdicts import GatewayVerdict, RingVerdict, Standing
from cloud.rollout.windows import Int64, Windows
from cloud.rollout.words import several

_NEWS = 1.04  # odds are worked out anew when there are so many times as many windows


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
        self._shadows: dict[int, tuple[tuple[int, int], tuple[Standing, str]]] = {}

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
        flying = (
            self._book.touched
            & (self._book.reports == 0)
            & present(self._book, np.arange(len(self.gateways)), now_us, self.limits)
        )
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
        there = present(book, mine, now_us, limits)
        ready = there & (book.whole[INCUMBENT, mine] >= limits.baseline_windows)
        shadow, shadow_because = self._in_shadow(ring, mine)
        told = {
            "gateways": len(mine),
            "present": int(there.sum()),
            "ready": int(ready.sum()),
            "shadow": shadow,
            "shadow_because": shadow_because,
        }
        got = mine[book.touched[mine]]
        if not len(got):
            return RingVerdict("unknown", "has not got it yet", **told)  # type: ignore[arg-type]
        look = self._look(got, now_us, progress)
        # a quarter of alpha is the shadow's, half of it ring 0's, and the rest shared by the others
        part = (
            1 - limits.shadow_alpha if rings == 1 else 0.5 if ring == 0 else (0.5 - limits.shadow_alpha) / (rings - 1)
        )
        limit = float(-np.log10(limits.alpha * part))
        odds = None
        if not self._first:
            odds = self._odds.get(ring)
            if odds is None or look.windows.sum() > _NEWS * odds.windows or len(odds.gateways) != len(got):
                odds = ring_odds(book, ring, got, self.hardware, self.promise, limits, odds)
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

    def _standing(self, got: Int64, look: GatewayLook, odds: RingOdds | None, limit: float) -> tuple[Standing, str]:
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

    def _in_shadow(self, ring: int, mine: Int64) -> tuple[Standing, str]:
        found = self._book.shadow
        shown = int(found.windows[mine].sum()), int(found.blind[mine].sum())
        if ring not in self._shadows or self._shadows[ring][0] != shown:
            self._shadows[ring] = (shown, shadow_verdict(self._book, mine, self.promise, self.limits))
        return self._shadows[ring][1]

    # gateways

    def _look(self, mine: Int64, now_us: int, progress: Mapping[str, Progress]) -> GatewayLook:
        return look_at(self._book, mine, self.hardware, self.promise, self.limits, now_us, progress)

    def _gateway(self, number: int, place: int, look: GatewayLook) -> GatewayVerdict:
        book = self._book
        touched = bool(book.touched[number])
        known = book.last.at_us[number] >= 0
        sums = book.account.totals[:, number]
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
