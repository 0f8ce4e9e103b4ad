"""Tests that stay valid when they are looked at every minute.

An e-value is what a gambler has made of one unit who bets against a model's innocence. If the model is innocent the
game is fair at best, so to ever reach 1/alpha has a chance of at most alpha (Ville's inequality), however often one
looks and whenever one stops. E-values may be averaged whatever their dependence, which is how those of many figures
and gateways become one (Vovk and Wang, E-values: calibration, combination and applications, 2021).

The bets here are those of the mixture sequential probability ratio test (Robbins 1970; Johari, Koomen, Pekelis and
Walsh, Always valid inference, 2022) on an estimate that is normal with a known variance: it is a martingale if the
estimate at each look is a mean of normal observations around a centre that may itself be off by chance. Of real
windows both hold approximately, as with asymptotic confidence sequences (Waudby-Smith, Arbour, Sinha, Kennedy and
Ramdas, Time-uniform central limit theory, 2024); docs/rollout.md says what is assumed.
"""

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

# how large shifts are bet on, in units of the size that matters
_SIZES = np.array([0.25, 0.5, 1.0, 2.0, 4.0, 8.0])


def log_e(
    estimate: Float64,
    variance: Float64,
    *,
    tolerance: Float64 | float,
    size: Float64 | float,
    harm: npt.NDArray[np.int64] | int = 0,
) -> Float64:
    """Log e-values against |true shift| <= `tolerance`, of estimates with a variance; they broadcast.

    An equal part of the stake is on each of six shifts beyond the tolerance, from a quarter of `size` to eight times
    it, to either side; or all of it to the side of `harm` (1 above, -1 below), where the other is welcome. Where the
    variance is not finite or not positive, or the estimate is not finite, nothing is known: 0.
    """
    estimate, variance = np.asarray(estimate, np.float64), np.asarray(variance, np.float64)
    known = np.isfinite(estimate) & np.isfinite(variance) & (variance > 0)
    value = np.where(known, estimate, 0.0)
    above = np.where(np.asarray(harm) < 0, -value, value) - tolerance
    below = np.where(np.asarray(harm) == 0, -value, above + tolerance) - tolerance
    variance = np.where(known, variance, 1.0)
    bets = _SIZES * np.asarray(size, np.float64)[..., None]
    drag = bets**2 / (2 * variance[..., None])
    up = bets * above[..., None] / variance[..., None] - drag
    down = bets * below[..., None] / variance[..., None] - drag
    both = np.concatenate(np.broadcast_arrays(up, down), axis=-1)
    return np.where(known, log_mean(both, axis=-1), 0.0)


def log_e_apart(deviation: Float64, variance: Float64, *, size: Float64) -> Float64:
    """Log e-values against "these deviate from their mean as their variances say", over the first axis: the stake is
    on their scattering more than that, by six sizes from a quarter of `size` to eight times it. NaN is nobody."""
    known = np.isfinite(deviation) & np.isfinite(variance) & (variance > 0)
    square = np.where(known, deviation, 0.0)[..., None] ** 2
    before = np.where(known, variance, 1.0)[..., None]
    after = before + np.where(known, 1.0, 0.0)[..., None] * (_SIZES * size[..., None]) ** 2
    each = (np.log(before / after) + square * (1 / before - 1 / after)) / 2
    return log_mean(each.sum(axis=0), axis=-1)


def half_width(variance: Float64, *, alpha: float, size: Float64 | float) -> Float64:
    """How far the truth may lie from an estimate at any look, but with probability `alpha`: the confidence sequence of
    the normal mixture with standard deviation `size`. Infinite where the variance is."""
    variance = np.asarray(variance, np.float64)
    known = np.isfinite(variance) & (variance > 0)
    safe = np.where(known, variance, 1.0)
    spread = safe + np.asarray(size, np.float64) ** 2
    width = np.sqrt(2 * safe * spread / np.asarray(size) ** 2 * (np.log(spread / safe) / 2 + np.log(1 / alpha)))
    return np.where(known, width, np.inf)


def log_mean(logs: Float64, weights: Float64 | None = None, *, axis: int = -1) -> Float64:
    """The log of the (weighted) average of e-values given by their logs; 0, nothing known, where there are none."""
    if logs.shape[axis] == 0:
        return np.zeros(tuple(np.delete(logs.shape, axis)))
    weights = np.ones_like(logs) if weights is None else np.broadcast_to(weights, logs.shape)
    total = weights.sum(axis=axis, keepdims=True)
    top = logs.max(axis=axis, keepdims=True)
    mean = (np.exp(logs - top) * weights).sum(axis=axis, keepdims=True) / np.where(total > 0, total, 1.0)
    return np.squeeze(np.where(total > 0, np.log(np.maximum(mean, 1e-300)) + top, 0.0), axis=axis)
