"""How gateways stand with a candidate by fixed limits: pure, without network, disk or clock.

A gateway is compared with itself: with the incumbent before, allowing for what the gateways outside its wave went
through in the same time, and for how much the incumbent differs from itself. Silence is not health. The Ledger
(judge.py) takes its place.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cloud.rollout.evidence import Evidence, GatewayEvidence, WaveEvidence
from cloud.rollout.figures import Drift, mix_distance
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan, waves_of
from cloud.rollout.standings import Standings
from cloud.rollout.verdicts import RingVerdict, Standing


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gateway's evidence comes to, and the figures it stands on in a clause."""

    standing: Standing
    because: str


def standings(plan: Plan, evidence: Evidence, now_us: int, limits: Limits) -> Standings:
    """The fleet as `decide` is told of it."""
    touched = evidence.waves[: evidence.touched]
    silence_s = limits.silence_windows * evidence.window_s
    first = plan.incumbent is None
    rings = []
    for number in range(len(plan.rings)):
        waves = waves_of(plan, number)
        mine = evidence.waves[waves.start : waves.stop]
        got = evidence.waves[waves.start : min(waves.stop, evidence.touched)]
        judged = [
            (
                found,
                judge(found, wave, window_s=evidence.window_s, now_us=now_us, limits=limits, first=first),
            )
            for wave in got
            for found in wave.gateways
        ]
        present = [found for wave in mine for found in wave.present(now_us, silence_s)]
        ready = sum(found.was.windows >= limits.baseline_windows for found in present)
        rings.append(_ring_verdict(judged, sum(len(wave.gateways) for wave in mine), len(present), ready))
    in_flight = frozenset(
        found.gateway
        for wave in touched
        for found in wave.present(now_us, silence_s)
        if not found.reports or found.release != plan.release
    )
    return Standings(
        tuple(rings),
        tuple(wave.deployed_us for wave in touched),
        evidence.since_us,
        patience_s=limits.patience_windows * evidence.window_s,
        in_flight=in_flight,
    )


def _ring_verdict(
    judged: Sequence[tuple[GatewayEvidence, Verdict]], gateways: int, present: int, ready: int
) -> RingVerdict:
    # one that was away when its wave was touched holds nobody up until it is well
    standing = {
        found.gateway: "absent" if verdict.standing == "unknown" and found.away else verdict.standing
        for found, verdict in judged
    }
    counts = Counter(standing.values())
    worst: Standing = next((s for s in ("bad", "unknown", "well") if counts[s]), "absent")
    said = [f"{found.gateway} {v.because}" for found, v in judged if standing[found.gateway] == worst]
    because = said[0] + (f"; and {len(said) - 1} more" if len(said) > 1 else "") if said else "has not got it yet"
    if worst == "absent" and judged:
        because = "no gateway has shown to be well"
    return RingVerdict(
        worst if judged else "unknown",
        because,
        gateways,
        well=counts["well"],
        unknown=counts["unknown"],
        absent=counts["absent"],
        bad=counts["bad"],
        present=present,
        ready=ready,
    )


def judge(
    found: GatewayEvidence, wave: WaveEvidence, *, window_s: float, now_us: int, limits: Limits, first: bool = False
) -> Verdict:
    """Whether a gateway is well with the candidate, not, or cannot be told yet.

    One without anything to compare with (it was away) counts for nothing, unless the release is the `first` ever.
    """
    if found.failed:
        return Verdict("bad", found.failed)
    if found.errors >= limits.errors and found.errors > _usual_errors(found, limits.error_share):
        return Verdict("bad", f"had {_errors(found.errors)} beside {found.now.frames} frames")
    if found.absent:
        return Verdict("absent", "was silent before and is now")
    if not wave.deployed_us:
        return Verdict("unknown", "is about to get it")
    waited_s = (now_us - wave.deployed_us) / 1e6
    silent_s = (now_us - max(found.heard_us, wave.deployed_us)) / 1e6 if found.reports else waited_s
    if silent_s > limits.silence_windows * window_s:
        last = "since its last report" if found.reports else "since the deployment, and no report of the candidate"
        return Verdict("bad", f"is silent: {silent_s:.0f} s {last} (limit {limits.silence_windows * window_s:.0f} s)")
    windows, frames = (limits.first_windows, limits.first_frames) if first else (limits.windows, limits.frames)
    seen = f"{found.now.windows} of {windows} windows and {found.now.frames} of {frames} frames"
    if found.now.windows < windows or found.now.frames < frames:
        if found.reports and waited_s > limits.patience_windows * window_s:
            return Verdict(
                "bad", f"could not be judged in {waited_s:.0f} s: {seen}, camera {found.camera_state or '?'}"
            )
        return Verdict("unknown", f"has shown {seen}")
    if not found.was.windows:
        return Verdict("well" if first else "absent", _account(found))
    fault = next(_faults(found, wave.drift, limits), None)
    if fault is not None:
        return Verdict("bad", f"{fault}, over {found.now.windows} windows and {found.now.frames} frames")
    doubt = next(_doubts(found, wave.drift, limits), None)
    if doubt is not None and found.now.windows < limits.doubt_windows:
        return Verdict(
            "unknown", f"needs a longer look ({found.now.windows} of {limits.doubt_windows} windows): {doubt}"
        )
    return Verdict("well", _account(found))


def mix_shift(found: GatewayEvidence, drift: Drift) -> tuple[float, float]:
    """How far the class mix moved, and how far it may have moved without the candidate's doing."""
    return mix_distance(found.now.mix, found.was.mix), max(found.spread.mix, drift.mix)


def _faults(found: GatewayEvidence, drift: Drift, limits: Limits) -> Iterator[str]:
    """What is worse than the limits allow, the clearest first."""
    now, was = found.now, found.was
    lasting = now.windows >= limits.doubt_windows
    slow = _slowness(found, drift, limits)
    if slow and (lasting or now.p50_ms > limits.p50_ratio * was.p50_ms * max(1.0, drift.p95)):
        yield slow
    fps_was = was.fps * min(1.0, drift.fps)
    # a camera that went down slows no model
    if (now.looked or not was.looked) and now.fps < limits.fps_ratio * fps_was:
        yield (f"infers {now.fps:.1f} frames/s, the incumbent {fps_was:.1f} (limit {limits.fps_ratio:g} times)")
    more = now.memory_bytes - was.memory_bytes
    if now.memory_bytes > limits.memory_ratio * was.memory_bytes and more > limits.memory_extra_bytes:
        yield (
            f"takes {now.memory_bytes / 1e6:.0f} MB, the incumbent {was.memory_bytes / 1e6:.0f} MB "
            f"(limit {limits.memory_ratio:g} times and {limits.memory_extra_bytes / 1e6:.0f} MB)"
        )
    low = found.spread.rate_low * min(1.0, drift.rate) / limits.rate_ratio
    high = found.spread.rate_high * max(1.0, drift.rate) * limits.rate_ratio
    if not low <= now.per_frame <= high:
        yield (
            f"sees {now.per_frame:.2f} things a frame, the incumbent {found.spread.rate_low:.2f} to "
            f"{found.spread.rate_high:.2f} (limit {limits.rate_ratio:g} times)"
        )
    score = abs(now.mean_score - was.mean_score)
    if now.detections and was.detections and score > limits.score_change + max(found.spread.score, drift.score):
        yield (
            f"scores {now.mean_score:.2f} on average, the incumbent {was.mean_score:.2f} "
            f"(limit {limits.score_change:g} beyond the incumbent's own {found.spread.score:.2f})"
        )
    distance, allowed = mix_shift(found, drift)
    limit = allowed + limits.mix_at_once
    if lasting:
        limit = min(limit, max(allowed + limits.mix_lasting, allowed * limits.mix_ratio))
    if distance > limit and now.windows >= limits.mix_windows:
        yield (
            f"answers otherwise: its class mix moved by {distance:.2f}, the incumbent's own by {allowed:.2f} "
            f"(limit {limit:.2f})"
        )


def _doubts(found: GatewayEvidence, drift: Drift, limits: Limits) -> Iterator[str]:
    """What is not bad enough yet, or has not lasted."""
    slow = _slowness(found, drift, limits)
    if slow:
        yield slow
    if found.now.p50_ms > limits.p95_ratio * found.was.p50_ms * max(1.0, drift.p95) + limits.p95_extra_ms / 2:
        yield f"its median inference takes {found.now.p50_ms:.1f} ms, the incumbent's {found.was.p50_ms:.1f} ms"
    if found.errors > _usual_errors(found, 0.0):
        yield f"it had {_errors(found.errors)}"
    distance, allowed = mix_shift(found, drift)
    if distance > allowed + limits.mix_doubt:
        yield f"its class mix moved by {distance:.2f}, the incumbent's own by {allowed:.2f}"


def _usual_errors(found: GatewayEvidence, share: float) -> float:
    """As many errors as may be expected in the frames seen: a share of them, or twice what the incumbent had."""
    had_share = found.was.errors / found.was.frames if found.was.frames else 0.0
    return max(share, 2 * had_share) * found.now.frames


def _slowness(found: GatewayEvidence, drift: Drift, limits: Limits) -> str:
    now_ms, was_ms = found.now.p95_ms, found.was.p95_ms * max(1.0, drift.p95)
    if now_ms <= limits.p95_ratio * was_ms or now_ms <= was_ms + limits.p95_extra_ms:
        return ""
    return (
        f"is slow: p95 {now_ms:.1f} ms, the incumbent's {was_ms:.1f} ms "
        f"(limit {limits.p95_ratio:g} times and {limits.p95_extra_ms:g} ms)"
    )


def _account(found: GatewayEvidence) -> str:
    now, was = found.now, found.was
    if not was.windows:
        return f"{now.windows} windows, {now.frames} frames, {now.fps:.1f} frames/s, p95 {now.p95_ms:.1f} ms, no error"
    return (
        f"{now.windows} windows, {now.frames} frames, {now.fps:.1f} frames/s (was {was.fps:.1f}), "
        f"p95 {now.p95_ms:.1f} ms (was {was.p95_ms:.1f}), class mix moved {mix_distance(now.mix, was.mix):.2f} "
        f"(incumbent's own {found.spread.mix:.2f})"
    )


def _errors(count: int) -> str:
    return "1 error" if count == 1 else f"{count} errors"
