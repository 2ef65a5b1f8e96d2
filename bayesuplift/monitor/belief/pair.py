"""One treatment against one control where the likelihood of every mean is normal: closed forms."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bayesuplift.monitor.belief.scale import LINEAR, effect_of, relative
from bayesuplift.monitor.belief.tails import below, excess, log_below, log_excess, log_sum, mixture_quantile


@njit(cache=True, nogil=True, error_model="numpy")
def prior_log_odds(
    boundary: float, sign: float, weights: NDArray[Any], means: NDArray[Any], taus: NDArray[Any]
) -> float:
    """Log odds under the law that the effect lies on the better side of the boundary; 0 where the law is flat."""
    if taus[0] == 0.0:
        return 0.0
    up, down = -math.inf, -math.inf
    for c in range(weights.size):
        z = sign * (means[c] - boundary) * math.sqrt(taus[c])
        up = log_sum(up, math.log(weights[c]) + log_below(z))
        down = log_sum(down, math.log(weights[c]) + log_below(-z))
    return up - down


@njit(cache=True, nogil=True, error_model="numpy")
def normal_parts(z: float, s: float, boundary_ratio: float, p: float, size: float) -> tuple[float, float]:
    """E[max(r - r_b, 0)] and E[max(r_b - r, 0)] of an effect z sds of size s above its boundary, where r is r_b."""
    if p == LINEAR:
        return s / size * excess(z), s / size * excess(-z)
    return boundary_ratio * log_excess(z, s, True), boundary_ratio * log_excess(z, s, False)  # noqa: FBT003 -- numba


@njit(cache=True, nogil=True, error_model="numpy")
def normal_lift(mean: float, s: float, p: float, size: float) -> float:
    """E[r] of a normal effect."""
    return mean / size if p == LINEAR else math.expm1(mean + 0.5 * s * s)


@njit(cache=True, nogil=True, error_model="numpy")
def normal_pairs(  # noqa: C901, PLR0917 -- numba takes positional arguments, and a call for each part costs time
    y: NDArray[Any],
    n: NDArray[Any],
    control: int,
    weights: NDArray[Any],
    means: NDArray[Any],
    taus: NDArray[Any],
    sign: float,
    breakeven: float,
    p: float,
    size: float,
    rope: float,
    tail: float,
    z_tail: float,
    out: NDArray[Any],
    together: NDArray[Any],
) -> None:
    """Fill out[row, quantity, arm] of rows (row, arm) of y (precision times mean) and n (precision).

    The difference x of the two means has precision w = n_0 n_1 / (n_0 + n_1): the effect of component c is
    Normal((tau m + w x) / (tau + w), 1 / (tau + w)), and the evidence for it Normal(x; m, 1/w + 1/tau).
    """
    treatment = 1 - control
    components = weights.size
    boundary = effect_of(sign * breakeven, p, size)
    prior = prior_log_odds(boundary, sign, weights, means, taus)
    low_end = effect_of(sign * breakeven - rope, p, size)
    high_end = effect_of(sign * breakeven + rope, p, size)
    share, centre, spread, skewness = (
        np.empty(components),
        np.empty(components),
        np.empty(components),
        np.zeros(components),
    )
    for row in range(y.shape[0]):
        n0, n1 = n[row, control], n[row, treatment]
        w = n0 * n1 / (n0 + n1) if n0 + n1 > 0.0 else 0.0
        x = y[row, treatment] / n1 - y[row, control] / n0 if w > 0.0 else 0.0
        most = -math.inf
        for c in range(components):
            tau, m = taus[c], means[c]
            whole = tau + w
            centre[c] = (tau * m + w * x) / whole
            spread[c] = 1.0 / math.sqrt(whole)
            share[c] = math.log(weights[c])
            if tau > 0.0:
                share[c] -= 0.5 * math.log(whole / tau) + 0.5 * (x - m) * (x - m) * w * tau / whole
            most = max(most, share[c])
        total = 0.0
        for c in range(components):
            share[c] = math.exp(share[c] - most)
            total += share[c]
        up, down, gain, loss, lift, within = -math.inf, -math.inf, 0.0, 0.0, 0.0, 0.0
        for c in range(components):
            share[c] /= total
            if share[c] <= 0.0:
                continue
            z = (centre[c] - boundary) / spread[c]
            log_share = math.log(share[c])
            up = log_sum(up, log_share + log_below(z))
            down = log_sum(down, log_share + log_below(-z))
            more, less = normal_parts(z, spread[c], 1.0 + sign * breakeven, p, size)
            gain += share[c] * more
            loss += share[c] * less
            lift += share[c] * normal_lift(centre[c], spread[c], p, size)
            if rope > 0.0:
                within += share[c] * (
                    below((high_end - centre[c]) / spread[c]) - below((low_end - centre[c]) / spread[c])
                )
        if sign < 0.0:
            up, down, gain, loss = down, up, loss, gain
        out[row, 0, treatment] = out[row, 1, treatment] = math.exp(up)
        out[row, 0, control] = math.exp(down)
        out[row, 2, treatment] = up - down - prior
        out[row, 3, treatment] = loss
        out[row, 3, control] = gain
        together[row] = within
        if tail > 0.0:
            out[row, 4, treatment] = lift
            for end in range(2):
                prob, score = (tail, z_tail) if end == 0 else (1.0 - tail, -z_tail)
                q = mixture_quantile(share, centre, spread, skewness, prob, score)
                out[row, 5 + end, treatment] = relative(q, p, size)
