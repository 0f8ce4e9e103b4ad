"""A roll-out's evidence as rows, one a gateway, for people to look at."""

from cloud.rollout.events import Row
from cloud.rollout.evidence import Evidence
from cloud.rollout.fixed_limits import judge, mix_shift
from cloud.rollout.limits import Limits
from cloud.rollout.plan import Plan


def rows_of(plan: Plan, evidence: Evidence, now_us: int, limits: Limits) -> tuple[Row, ...]:
    """Every gateway, ring by ring."""
    rows = []
    for index, wave in enumerate(evidence.waves):
        for found in wave.gateways:
            verdict = judge(
                found,
                wave,
                window_s=evidence.window_s,
                now_us=now_us,
                limits=limits,
                first=plan.incumbent is None,
            )
            distance, allowed = mix_shift(found, wave.drift)
            rows.append(
                Row(
                    gateway=found.gateway,
                    ring=plan.ring_of(index),
                    release=found.release,
                    verdict=verdict.standing if index < evidence.touched else "untouched",
                    windows=found.now.windows,
                    frames=found.now.frames,
                    errors=found.errors,
                    fps=found.now.fps,
                    fps_was=found.was.fps,
                    p95_ms=found.now.p95_ms,
                    p95_ms_was=found.was.p95_ms,
                    memory_bytes=found.now.memory_bytes,
                    memory_bytes_was=found.was.memory_bytes,
                    mix_distance=distance,
                    mix_spread=allowed,
                    mean_score=found.now.mean_score,
                    mean_score_was=found.was.mean_score,
                )
            )
    return tuple(rows)
