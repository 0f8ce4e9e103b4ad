"""What the gateways report, sorted into before and since each wave was touched, and compared like with like."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import median
from typing import Protocol

from cloud.rollout.figures import (
    NO_DRIFT,
    NO_SPREAD,
    NOTHING,
    Drift,
    Figures,
    Spread,
    drift,
    pool,
    spread,
    typical,
    widened,
)
from cloud.rollout.fleet import Progress
from cloud.rollout.plan import Plan, Wave
from cloud.rollout.state import Touched
from greengrass.recipe import model_component, model_version
from models.health import Health

BASELINE_WINDOWS = 60  # the newest ones: an hour, at a window a minute
RECENT_WINDOWS = 12  # the newest ones: a machine's load changes by the hour, and a leak must not drown in a good start
WHOLE = 0.5  # a window cut short at a swap counts when it is at least this part of one


class Report(Protocol):
    """A gateway's health of one window, as the lake holds it."""

    @property
    def gateway(self) -> str: ...
    @property
    def seq(self) -> int: ...
    @property
    def health(self) -> Health: ...


@dataclass(frozen=True, slots=True)
class GatewayEvidence:
    """A gateway with the incumbent (`was`, `spread`) and, since its wave was touched, with the candidate (`now`).

    `reports` and `errors` count the candidate's cut windows too (errors: while the camera was well), `release` is the
    one it named last, 0 if it never reported. `failed` says why it gave the candidate up, if it did. `heard_us` is
    when it last had something new to say, by our clock, 0 for never. `away`: it was silent before its wave was touched;
    `absent`: and since.
    """

    gateway: str
    was: Figures
    spread: Spread = NO_SPREAD
    now: Figures = NOTHING
    reports: int = 0
    errors: int = 0
    release: int = 0
    failed: str = ""
    camera_state: str = ""
    heard_us: int = 0
    away: bool = False
    absent: bool = False

    def is_present(self, now_us: int, silence_s: float) -> bool:
        """Whether it had something new to say in the last `silence_s`."""
        return self.heard_us > 0 and now_us - self.heard_us <= silence_s * 1e6


@dataclass(frozen=True, slots=True)
class WaveEvidence:
    """A wave's gateways. `drift` is what gateways outside it went through since it was touched; `deployed_us` is 0
    until the candidate is deployed to it."""

    gateways: tuple[GatewayEvidence, ...]
    deployed_us: int = 0
    drift: Drift = NO_DRIFT

    def present(self, now_us: int, silence_s: float) -> tuple[GatewayEvidence, ...]:
        """The gateways that had something new to say in the last `silence_s`."""
        return tuple(found for found in self.gateways if found.is_present(now_us, silence_s))


@dataclass(frozen=True, slots=True)
class Evidence:
    """All waves in order, of which the first `touched` get the candidate. The roll-out began at `since_us`."""

    waves: tuple[WaveEvidence, ...]
    touched: int
    window_s: float
    since_us: int


def weigh(
    plan: Plan,
    touched: Sequence[Touched],
    reports: Iterable[Report],
    *,
    window_s: float,
    since_us: int,
    heard_us: Mapping[str, int],
    progress: Mapping[str, Progress],
) -> Evidence:
    """The evidence in health reports, in any order. `heard_us` as in GatewayEvidence, by gateway; `progress` is of
    the touched gateways' deployments."""
    windows: dict[str, list[Health]] = defaultdict(list)
    for report in sorted(reports, key=_when):
        windows[report.gateway].append(report.health)
    baselines = {name: _baseline(plan, windows[name], window_s) for name in plan.names()}
    # how much the incumbent differs from itself, by how many windows are pooled
    fleet_spread = cache(lambda pooled: typical([spread(baseline, pooled) for baseline in baselines.values()]))
    waves = []
    for index, wave in enumerate(plan.waves):
        touch = touched[index] if index < len(touched) else None
        gateways = []
        for name in wave.names:
            history = windows[name]
            found = GatewayEvidence(
                name,
                was=_pool_baseline(baselines[name]),
                release=next((health.release for health in reversed(history) if health.model == plan.model), 0),
                camera_state=history[-1].camera_state if history else "",
                heard_us=heard_us.get(name, 0),
            )
            if touch is not None:
                since = [health for health in history if health.at_us > touch.marks.get(name, 0)]
                found = _since_touched(found, plan, since, window_s, progress.get(name, "pending"))
                own = spread(baselines[name], found.now.windows)
                found = replace(
                    found,
                    spread=widened(own, fleet_spread(found.now.windows)),
                    away=name in touch.absent,
                    absent=name in touch.absent and not found.reports,
                )
            gateways.append(found)
        outside = _drift_outside(plan, wave, touch, windows, window_s) if touch else NO_DRIFT
        waves.append(WaveEvidence(tuple(gateways), touch.deployed_us if touch else 0, outside))
    return Evidence(tuple(waves), len(touched), window_s, since_us)


def newest_reports(reports: Iterable[Report]) -> dict[str, int]:
    """When each gateway's newest report was made, in microseconds by its own clock."""
    newest: dict[str, int] = {}
    for report in reports:
        newest[report.gateway] = max(newest.get(report.gateway, 0), report.health.at_us)
    return newest


def usual_window_s(reports: Iterable[Report]) -> float | None:
    """How often gateways report: the middle of their windows; None when none reports."""
    return median([report.health.window_s for report in reports] or [0.0]) or None


def running(model: str, reports: Iterable[Report], marks: Mapping[str, int]) -> dict[str, int]:
    """The release of `model` that each gateway named in its newest report since its mark; who said nothing is left
    out."""
    return {
        report.gateway: report.health.release
        for report in sorted(reports, key=_when)
        if report.health.model == model and report.health.at_us > marks.get(report.gateway, 0)
    }


def _when(report: Report) -> tuple[int, int]:
    # at a swap two reports are made at once, the earlier release's first
    return report.health.at_us, report.seq


def _baseline(plan: Plan, history: Iterable[Health], window_s: float) -> list[Health]:
    """The incumbent's newest windows on a gateway."""
    running = (health for health in history if (health.model, health.release) == (plan.model, plan.incumbent))
    return _whole(running, window_s)[-BASELINE_WINDOWS:]


def _pool_baseline(windows: Sequence[Health]) -> Figures:
    """What was answered over all of it, how fast over the newest part."""
    recent = pool(windows[-RECENT_WINDOWS:])
    return replace(
        pool(windows),
        fps=recent.fps,
        looked=recent.looked,
        p50_ms=recent.p50_ms,
        p95_ms=recent.p95_ms,
        memory_bytes=recent.memory_bytes,
    )


def _since_touched(
    found: GatewayEvidence, plan: Plan, since: Sequence[Health], window_s: float, progress: Progress
) -> GatewayEvidence:
    """The same gateway with what it reported since its wave was touched."""
    candidate = [health for health in since if (health.model, health.release) == (plan.model, plan.release)]
    return replace(
        found,
        now=pool(_whole(candidate, window_s)[-RECENT_WINDOWS:]),
        reports=len(candidate),
        # a camera that goes away counts as an error too, and is not the model's
        errors=sum(health.errors for health in candidate[-RECENT_WINDOWS:] if health.camera_state == "ok"),
        failed=_failure(plan, since, progress),
    )


def _failure(plan: Plan, since: Sequence[Health], progress: Progress) -> str:
    """Why the gateway has not got the candidate running, or no longer; empty when nothing says so."""
    folder = f"{model_component(plan.model)}/{model_version(plan.release)}/"
    for health in since:
        # a package too damaged to say what it is goes by its folder's name
        if health.failed_release.startswith(f"{plan.candidate}:") or folder in health.failed_release:
            return f"gave it up: {health.failed_release}"
    # without a digest nothing runs: a gateway that waits for its first model, after a new disk say, went back to none
    releases = [health.release for health in since if health.model == plan.model and health.digest]
    if plan.release in releases:
        after = releases[len(releases) - releases[::-1].index(plan.release) :]
        # one window may be told late; two say that it stays that way
        if len(after) >= 2:
            return f"runs release {after[-1]} again, of its own accord"
    return "could not deploy it" if progress == "failed" else ""


def _drift_outside(
    plan: Plan, wave: Wave, touch: Touched, windows: Mapping[str, Sequence[Health]], window_s: float
) -> Drift:
    """What gateways outside the wave went through since it was touched, each with the same release on both sides."""
    pairs = []
    for name in set(plan.names()).difference(wave.names):
        whole = _whole((health for health in windows[name] if health.model == plan.model), window_s)
        mark = touch.marks.get(name, 0)
        before = [health for health in whole if health.at_us <= mark]
        if not before:
            continue
        before = [health for health in before if health.release == before[-1].release][-RECENT_WINDOWS:]
        after = [health for health in whole if health.at_us > mark and health.release == before[-1].release]
        pairs.append((pool(before), pool(after[-RECENT_WINDOWS:])))
    return drift(pairs)


def _whole(windows: Iterable[Health], window_s: float) -> list[Health]:
    return [health for health in windows if health.window_s >= WHOLE * window_s]
