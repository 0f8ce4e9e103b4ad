"""A fleet as the judge sees it: what was reported, turned into what `decide` is told and what people look at."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cloud.rollout.events import Row
from cloud.rollout.fleet import Progress
from cloud.rollout.judge import Ledger
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan
from cloud.rollout.promise import NO_PROMISE, Promise
from cloud.rollout.standings import Standings
from cloud.rollout.state import Touched
from cloud.rollout.windows import Report, windows_of_reports


@dataclass(frozen=True, slots=True)
class Judged:
    """`ledger` with all that was reported until `now_us`; what it comes to."""

    plan: Plan
    ledger: Ledger
    now_us: int
    progress: Mapping[str, Progress]
    standings: Standings

    def rows(self) -> tuple[Row, ...]:
        """Every gateway, ring by ring."""
        touched = set(self.plan.names(self.standings.touched))
        found = []
        for ring in range(len(self.plan.rings)):
            for one in self.ledger.gateway_verdicts(ring, self.now_us, self.progress):
                figures = one.figures
                found.append(
                    Row(
                        gateway=one.gateway,
                        ring=ring,
                        release=one.release,
                        verdict=one.standing if one.gateway in touched else "untouched",
                        windows=one.windows,
                        frames=one.frames,
                        errors=one.errors,
                        fps=figures["fps"],
                        fps_was=figures["fps_was"],
                        p95_ms=figures["p95_ms"],
                        p95_ms_was=figures["p95_ms_was"],
                        memory_bytes=int(figures["memory_bytes"]),
                        memory_bytes_was=int(figures["memory_bytes_was"]),
                        mix_distance=figures["mix_distance"],
                        mean_score=figures["mean_score"],
                        mean_score_was=figures["mean_score_was"],
                    )
                )
        return tuple(found)


def judged(
    plan: Plan,
    touched: Sequence[Touched],
    reports: Iterable[Report],
    *,
    now_us: int,
    limits: Limits,
    window_s: float,
    since_us: int,
    heard_us: Mapping[str, int],
    progress: Mapping[str, Progress],
    promise: Promise = NO_PROMISE,
) -> Judged:
    """The fleet as all these reports tell it, in any order. `heard_us` is when each gateway last had something new to
    say, by our clock; `progress` is of the touched gateways' deployments."""
    members = [(gateway, number) for number, ring in enumerate(plan.rings) for gateway in ring.gateways]
    ledger = Ledger(
        [gateway.name for gateway, _ in members],
        rings=[number for _, number in members],
        model=plan.model,
        release=plan.release,
        incumbent=plan.incumbent,
        window_s=window_s,
        limits=limits,
        promise=promise,
        hardware=[gateway.hardware for gateway, _ in members],
    )
    for wave, touch in zip(plan.waves, touched, strict=False):
        ledger.touch(wave.names, touch.marks, deployed_us=touch.deployed_us, absent=touch.absent)
    ledger.add(windows_of_reports(reports, model=plan.model), now_us)
    ledger.hear(heard_us)
    standings = Standings(
        ledger.judge(now_us, progress),
        tuple(touch.deployed_us for touch in touched),
        since_us,
        patience_s=limits.patience_windows * window_s,
        in_flight=ledger.in_flight(now_us),
    )
    return Judged(plan, ledger, now_us, progress, standings)
