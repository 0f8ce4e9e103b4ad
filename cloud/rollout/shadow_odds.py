"""The verdict on a candidate that ran beside the incumbent: both saw the same frames, so no hour, load or neighbour has
to be allowed for; only what the report promises of detections with such scores."""

import math

import numpy as np

from cloud.rollout.book import Shadow
from cloud.rollout.limits import Limits
from cloud.rollout.sequential import half_width, log_e, log_mean
from cloud.rollout.surprise import pooled
from cloud.rollout.verdicts import Standing
from cloud.rollout.windows import Float64, Int64
from cloud.rollout.words import several

_UNSAID = 0.12  # how far off a share may be that no report predicts
_SIZE, _MARGIN = 0.05, 0.15


def shadow_verdict(found: Shadow, mine: Int64, limits: Limits) -> tuple[Standing, str]:
    """How the candidate is in shadow on gateways `mine`; "absent" where it has not been."""
    shown = mine[found.windows[mine] > 0]
    if not len(shown):
        return "absent", ""
    frames, windows = int(found.frames[shown].sum()), int(found.windows[shown].sum())
    seen = f"{several(len(shown), 'gateway')} compared on {frames} frames in {windows} windows"
    centre, sampling, logs = _odds(found, shown, limits)
    names = ("of the incumbent's detections it has", "of its own detections the incumbent has")
    limit = -math.log10(limits.alpha * limits.shadow_alpha)
    log10 = float(log_mean(logs.ravel())) / math.log(10)
    worst = int(np.argmax(logs.max(axis=0)))
    matched = found.matched[shown].sum() / max(1, (found.ours, found.theirs)[worst][shown].sum())
    told = f"{matched:.0%} {names[worst]} too, {centre[worst]:+.1%} off what was promised for such scores"
    if log10 >= limit:
        return "bad", f"{told}, odds of 1 to {10 ** min(log10, 9):,.0f} (limit {10**limit:,.0f}); {seen}"
    if frames < limits.shadow_frames or not np.isfinite(centre).all():
        return "unknown", f"{seen}, {limits.shadow_frames} frames and detections of both are needed"
    width = half_width(sampling, alpha=0.1, size=_SIZE)
    if log10 >= limit - limits.doubt or (np.abs(centre) + width > _MARGIN + _slack(found)).any():
        return "unknown", f"needs a longer look: {told}; {seen}"
    return "well", f"{told}; {seen}"


def _slack(found: Shadow) -> float:
    return 0.0 if found.kept is not None else 0.6


def _odds(found: Shadow, shown: Int64, limits: Limits) -> tuple[Float64, Float64, Float64]:
    """For the two shares: how far off they are over all gateways, the sampling variance of that, and log e-values
    (sets, 2) of all gateways and of each."""
    estimate, noise, scene = (np.full((len(shown), 1, 2), np.nan) for _ in range(3))
    shared = np.zeros(2)
    for side in (0, 1):
        left, variance, whole = found.left_over(side)
        estimate[:, 0, side] = np.where(whole[shown] > 0, left[shown], np.nan)
        noise[:, 0, side] = variance[shown]
        per_frame = whole[shown] / np.maximum(found.frames[shown], 1)
        scene[:, 0, side] = found.scene_variance[side] / np.maximum(per_frame, 1.0) / limits.scene_things
        shared[side] = found.shared_variance[side]
        if (found.kept, found.confirmed)[side] is None:
            shared[side] = _UNSAID**2
    sets = np.concatenate((np.ones((1, len(shown)), np.bool_), np.eye(len(shown), dtype=np.bool_)))
    middle = pooled(estimate, noise, scene, shared, sets)
    logs = log_e(middle.estimate, middle.variance, tolerance=limits.shadow_tolerance, size=_SIZE)[:, 0]
    return middle.estimate[0, 0], middle.sampling[0, 0], logs
