"""What to do next with a roll-out: pure, without network, disk or clock.

A gateway is compared with itself: with the incumbent before, allowing for what the gateways outside its ring went
through in the same time, and for how much the incumbent differs from itself. Silence is not health.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cloud.rollout.evidence import Evidence, GatewayEvidence, RingEvidence
from cloud.rollout.figures import Drift, mix_distance
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan

Standing = Literal["healthy", "unknown", "absent", "bad"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gateway's evidence comes to, and the figures it stands on in a clause."""

    standing: Standing
    because: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Give the candidate to `ring` (0, 1, 2 ...), the first that has not got it."""

    ring: int
    because: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing yet."""

    because: str


@dataclass(frozen=True, slots=True)
class Revert:
    """Give the incumbent back to every ring that was touched."""

    because: str


@dataclass(frozen=True, slots=True)
class Done:
    """Every ring has the candidate and is well."""

    because: str


Action = Advance | Wait | Revert | Done


def decide(plan: Plan, evidence: Evidence, now_us: int, limits: Limits) -> Action:
    """The one next action; `because` is a sentence with the figures behind it."""
    first = plan.incumbent is None
    waiting: list[str] = []
    healthy: list[str] = []
    for index, ring in enumerate(evidence.rings[: evidence.touched]):
        standings = set()
        for found in ring.gateways:
            verdict = judge(found, ring, window_s=evidence.window_s, now_us=now_us, limits=limits, first=first)
            standings.add(verdict.standing)
            if verdict.standing == "bad":
                return Revert(f"{found.gateway} in ring {index} {verdict.because}")
            if verdict.standing == "unknown":
                waiting.append(f"{found.gateway} in ring {index} {verdict.because}")
            if verdict.standing == "healthy":
                healthy.append(f"{found.gateway} {verdict.because}")
        if standings == {"absent"}:
            waiting.append(f"no gateway of ring {index} has shown to be well")
    if waiting:
        return Wait(_some(waiting))
    if evidence.touched == len(plan.rings):
        return Done(f"all {len(plan.rings)} rings run {plan.candidate} and are well: {_some(healthy)}")
    return _next_ring(plan, evidence, now_us, limits, healthy)


def judge(
    found: GatewayEvidence, ring: RingEvidence, *, window_s: float, now_us: int, limits: Limits, first: bool = False
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
    if not ring.deployed_us:
        return Verdict("unknown", "is about to get it")
    waited_s = (now_us - ring.deployed_us) / 1e6
    silent_s = (now_us - max(found.heard_us, ring.deployed_us)) / 1e6 if found.reports else waited_s
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
        return Verdict("healthy" if first else "absent", _account(found))
    fault = next(_faults(found, ring.drift, limits), None)
    if fault is not None:
        return Verdict("bad", f"{fault}, over {found.now.windows} windows and {found.now.frames} frames")
    doubt = next(_doubts(found, ring.drift, limits), None)
    if doubt is not None and found.now.windows < limits.doubt_windows:
        return Verdict(
            "unknown", f"needs a longer look ({found.now.windows} of {limits.doubt_windows} windows): {doubt}"
        )
    return Verdict("healthy", _account(found))


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


def _next_ring(plan: Plan, evidence: Evidence, now_us: int, limits: Limits, healthy: list[str]) -> Action:
    """On to the next ring, once there is something to compare it with."""
    index = evidence.touched
    ring = evidence.rings[index]
    so_far = f"ring {index - 1} is well: {_some(healthy)}" if healthy else "nothing was touched yet"
    if plan.incumbent is None:
        return Advance(index, f"{so_far}; next is ring {index} ({_names(ring)}), which had no release before")
    silence_s = limits.silence_windows * evidence.window_s
    present = ring.present(now_us, silence_s)
    short = [found for found in present if found.was.windows < limits.baseline_windows]
    begun_us = max(evidence.since_us, *(touched.deployed_us for touched in evidence.rings[:index]), 0)
    waited_s = (now_us - begun_us) / 1e6
    patient = waited_s <= limits.patience_windows * evidence.window_s
    # one that never runs the incumbent (it refused it) must not hold the others up for ever
    if len(short) < len(present) and not (short and patient):
        return Advance(index, f"{so_far}; next is ring {index} ({_names(ring)})")
    lacking = (
        f"{short[0].gateway} in ring {index} has shown {short[0].was.windows} of {limits.baseline_windows} windows "
        f"with release {plan.incumbent} to compare with"
        if present
        else f"no gateway of ring {index} ({_names(ring)}) has reported in the last {silence_s:.0f} s"
    )
    if index == 0 and not patient:
        return Revert(f"given up before anything was touched, after {waited_s:.0f} s: {lacking}")
    return Wait(lacking)


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


def _some(clauses: list[str]) -> str:
    return clauses[0] if len(clauses) == 1 else f"{clauses[0]}; and {len(clauses) - 1} more"


def _names(ring: RingEvidence) -> str:
    names = [found.gateway for found in ring.gateways]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
