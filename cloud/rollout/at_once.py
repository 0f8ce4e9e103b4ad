"""Limits that act at once, whatever the odds: each says in a clause what is broken, compared with what."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cloud.rollout.account import SLOT_WINDOWS
from cloud.rollout.limits import Limits
from cloud.rollout.windows import Float64


@dataclass(frozen=True, slots=True)
class Machine:
    """One gateway's machine figures: the candidate's newest windows, and its incumbent's usual ones (0: not known).

    `elsewhere` is how many times slower inference got meanwhile on untouched gateways, `promised` how many times
    slower the report says. `growth` are the means of memory by slot of time (bytes), oldest first, `slot_s` apart.
    """

    windows: int
    errors: int
    frames: int
    crashed: int
    newest_errors: int
    newest_frames: int
    error_share_was: float
    p50_ms: float
    p50_ms_was: float
    elsewhere: float
    promised: float
    memory_bytes: float
    memory_bytes_was: float
    growth: Float64
    slot_s: float


def broken(found: Machine, limits: Limits) -> Iterator[str]:
    """Which limit of a model that fails is broken."""
    usual = max(limits.error_share, 2 * found.error_share_was)
    for errors, frames, when in (
        (found.newest_errors, found.newest_frames, " in its newest windows"),
        (found.errors, found.frames, ""),
    ):
        if errors >= limits.errors and errors > usual * frames:
            yield f"had {errors} errors beside {frames} frames{when} (limit {usual:.1%})"
    if found.crashed >= limits.errors and found.crashed > limits.crash_share * found.frames:
        yield f"got no answer from the model for {found.crashed} frames beside {found.frames} (limit 1 in 1,000)"


def burdened(found: Machine, limits: Limits) -> Iterator[str]:
    """Which limit of what a machine bears is broken, the clearest first."""
    before = found.p50_ms_was * max(1.0, found.elsewhere) * max(1.0, found.promised)
    if (
        found.windows >= limits.windows
        and found.p50_ms_was > 0
        and found.p50_ms > limits.slow_ratio * before
        and found.p50_ms > before + limits.p95_extra_ms / 2
    ):
        said = f", promised {found.promised:.2g} times as long" if found.promised > 1.01 else ""
        yield (
            f"is slow: its median inference takes {found.p50_ms:.1f} ms, the incumbent's {before:.1f} ms{said} "
            f"(limit {limits.slow_ratio:g} times)"
        )
    more = found.memory_bytes - found.memory_bytes_was
    if (
        found.windows
        and found.memory_bytes_was > 0
        and found.memory_bytes > limits.memory_ratio * found.memory_bytes_was
        and more > limits.memory_extra_bytes
    ):
        yield (
            f"takes {found.memory_bytes / 1e6:.0f} MB, the incumbent {found.memory_bytes_was / 1e6:.0f} MB "
            f"(limit {limits.memory_ratio:g} times and {limits.memory_extra_bytes / 1e6:.0f} MB)"
        )
    per_s = leak(found.growth, found.slot_s, least=limits.leak_windows * found.slot_s / SLOT_WINDOWS)
    gained = per_s * limits.leak_horizon_s
    so_far = float(found.growth[-3:].mean() - found.growth[:3].mean()) if gained else 0.0
    if gained > limits.memory_extra_bytes and so_far > limits.leak_gained_bytes:
        yield (
            f"leaks memory: it takes {per_s * 3600 / 1e6:.1f} MB more every hour, {gained / 1e6:.0f} MB in "
            f"{limits.leak_horizon_s / 3600:.0f} hours (limit {limits.memory_extra_bytes / 1e6:.0f} MB)"
        )


def leak(growth: Float64, slot_s: float, *, least: float) -> float:
    """Bytes a second by which memory grows steadily; 0 where it does not, or was not watched for `least` seconds.

    The middle of all slopes between two slots (Theil and Sen), if far more of them rise than chance has it (Mann and
    Kendall), in the newer half alone too: what fills up once and then stays is no leak.
    """
    n = len(growth)
    if n < 6 or n * slot_s < least:
        return 0.0
    slopes = []
    for part in (growth, growth[n // 2 :]):
        older, newer = np.triu_indices(len(part), 1)
        rises = part[newer] - part[older]
        deviation = math.sqrt(len(part) * (len(part) - 1) * (2 * len(part) + 5) / 18)
        if np.sign(rises).sum() <= (4.0 if part is growth else 1.6) * deviation:
            return 0.0
        slopes.append(float(np.median(rises / (newer - older))))
    return max(0.0, min(slopes)) / slot_s


def silent_by_chance(silent: int, of: int, share: float) -> float:
    """The chance that at least `silent` of so many gateways are, if each is with probability `share`."""
    return sum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(silent, of + 1))
