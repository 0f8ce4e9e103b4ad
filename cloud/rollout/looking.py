"""A look at the fleet: what gateways reported, turned into what `decide` is told."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from cloud.rollout.events import Row
from cloud.rollout.fleet import Fleet, Progress
from cloud.rollout.judged import judged
from cloud.rollout.standings import Standings
from cloud.rollout.state import Heard, Rollout
from cloud.rollout.windows import Report
from models.health import Health

BASELINE_WINDOWS = 60
HISTORY_S = 3600.0  # how far back the incumbent is looked at, at least; and how slow a gateway's clock may be

Reports = Callable[[int], Sequence[Report]]  # health reported since then (microseconds UTC); may raise LakeError


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at `now_us`. `newest` is each gateway's newest report, `rows` makes a table for people."""

    now_us: int
    standings: Standings
    heard: Heard
    newest: Mapping[str, Health]
    silence_s: float
    rows: Callable[[], tuple[Row, ...]]

    def marks(self, names: Iterable[str]) -> dict[str, int]:
        """When each of these made its newest report, by its own clock; who never did is left out."""
        return {name: self.heard.newest[name] for name in names if name in self.heard.newest}

    def away(self, names: Iterable[str]) -> tuple[str, ...]:
        """Who of these has had nothing new to say lately."""
        since_us = self.now_us - self.silence_s * 1e6
        return tuple(sorted(name for name in names if self.heard.at_us.get(name, 0) < max(1.0, since_us)))

    def digests_of(self, model: str, release: int | None) -> frozenset[str]:
        """What gateways that run this release say it is."""
        return frozenset(
            health.digest
            for health in self.newest.values()
            if (health.model, health.release) == (model, release) and health.digest
        )


def look(rollout: Rollout, fleet: Fleet, reports: Reports, now_us: int) -> Look:
    """Look at a roll-out that goes forward. DeployError, LakeError when it cannot be done now."""
    plan = rollout.plan
    seen = reports(rollout.started_us - history_us(rollout))
    newest = newest_of(seen, since={})
    heard = listen(rollout.heard, newest_times(seen), now_us, expected=plan.names(len(rollout.touched)))
    progress = _progress_of_silent(fleet, rollout, newest)
    found = judged(
        plan,
        rollout.touched,
        seen,
        now_us=now_us,
        limits=rollout.limits,
        window_s=rollout.window_s,
        since_us=rollout.started_us,
        heard_us=heard.at_us,
        progress=progress,
        promise=rollout.said.promise(),
    )
    told = replace(
        found.standings,
        shadow_since_us=rollout.beside.since_us if rollout.beside is not None else 0,
        approved=rollout.approved,
        paused=rollout.paused,
    )
    return Look(now_us, told, heard, newest, rollout.silence_s, found.rows)


def usual_window_s(reports: Iterable[Report]) -> float | None:
    """How often gateways report: the middle of their windows; None when none reports."""
    return median([report.health.window_s for report in reports] or [0.0]) or None


def listen(heard: Heard, newest: Mapping[str, int], now_us: int, *, expected: Collection[str]) -> Heard:
    """What was heard, with each gateway's newest report. `expected` are those that may not be silent."""
    at_us = dict(heard.at_us)
    for gateway, reported_us in newest.items():
        if gateway not in heard.newest:
            # At the first look we have its word only; where silence would condemn it, its time begins now.
            at_us[gateway] = now_us if gateway in expected else min(reported_us, now_us)
        elif reported_us != heard.newest[gateway]:
            at_us[gateway] = now_us
    return Heard(at_us, {**heard.newest, **newest})


def newest_of(seen: Iterable[Report], *, since: Mapping[str, int]) -> dict[str, Health]:
    """Each gateway's newest report since its mark; who said nothing is left out."""
    ordered = sorted(seen, key=lambda report: (report.health.at_us, report.seq))
    return {report.gateway: report.health for report in ordered if report.health.at_us > since.get(report.gateway, 0)}


def newest_times(seen: Iterable[Report]) -> dict[str, int]:
    """When each gateway's newest report was made, in microseconds by its own clock."""
    times: dict[str, int] = {}
    for report in seen:
        times[report.gateway] = max(times.get(report.gateway, 0), report.health.at_us)
    return times


def history_us(rollout: Rollout) -> int:
    """How long before the beginning reports are looked at."""
    return int(max(HISTORY_S, BASELINE_WINDOWS * rollout.window_s) * 1e6)


def _progress_of_silent(fleet: Fleet, rollout: Rollout, newest: Mapping[str, Health]) -> dict[str, Progress]:
    """How far the candidate's deployment is on gateways that do not report it; those that do need no asking."""
    running = (rollout.plan.model, rollout.plan.release)
    progress: dict[str, Progress] = {}
    for wave, touched in zip(rollout.plan.waves, rollout.touched, strict=False):
        said = {name: newest[name] for name in wave.names if name in newest}
        silent = (name for name in wave.names if name not in said or (said[name].model, said[name].release) != running)
        progress.update(fleet.progress(touched.deployment, tuple(silent)))
    return progress
