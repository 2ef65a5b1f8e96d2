"""Several treatments against one control: given the control's mean the effects are independent, so that two integrals do.

The inner one is in `given_baseline`. The outer one runs over theta_0 by the trapezoidal rule, whose error for a smooth
integrand that dies away at both ends falls faster than every power of its step. With most units in the treatments the
control's mean is the least certain of all, and given it "a is better" is nearly a step in theta_0: the rule's step is
therefore 1 / sqrt(1 + sum_a k_a^2) of theta_0's sd, k_a the slope of that step for arm a in the same unit.
"""

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bayesuplift.monitor.belief.family import BINARY, NORMAL, joint_mode, partition
from bayesuplift.monitor.belief.given_baseline import (
    CURVE,
    add_moments,
    add_upper,
    effect_given,
    lower_loss,
    score,
    within_rope,
)
from bayesuplift.monitor.belief.pair import normal_lift, normal_parts, prior_log_odds
from bayesuplift.monitor.belief.scale import effect_of, relative
from bayesuplift.monitor.belief.tails import log_below, log_sum, mixture_quantile, of_moments

_STEP: Final = 1.05  # of the trapezoid: 2 exp(-2 pi^2 / step^2) = 3e-8
_FALL: Final = 24.0  # log weight of a theta_0 below the highest, from which on it is left out
_SPENT: Final = 1e-8  # what a node adds to every sum, relative to it, from which on a direction is at its end
_NODES: Final = 2000
_NEGLIGIBLE: Final = 45.0  # log weight of a component below the likeliest, 1e-19 of the mass


@njit(cache=True, nogil=True, error_model="numpy")
def _node(  # noqa: PLR0917
    family: int,
    y: NDArray[Any],
    n: NDArray[Any],
    control: int,
    m: float,
    tau: float,
    theta: float,
    sign: float,
    effect: NDArray[Any],
    curves: NDArray[Any],
) -> float:
    """Log weight of theta_0 with the effects integrated out; fills the arms' curves, turned so that more is better."""
    log_weight = y[control] * theta - n[control] * partition(family, theta)[0]
    for a in range(y.size):
        if a != control:
            e, root, u, q, shift, log_evidence = effect_given(family, y[a], n[a], m, tau, theta, effect[a])
            effect[a] = e
            curves[a, 0], curves[a, 1], curves[a, 2], curves[a, 3], curves[a, 4] = (
                sign * e,
                root,
                sign * u,
                q,
                sign * shift,
            )
            log_weight += log_evidence
            if tau > 0.0:
                log_weight += 0.5 * math.log(tau)
    return log_weight


@njit(cache=True, nogil=True, error_model="numpy")
def several_arms(  # noqa: C901, PLR0912, PLR0915, PLR0917
    family: int,
    y: NDArray[Any],
    n: NDArray[Any],
    control: int,
    weights: NDArray[Any],
    means: NDArray[Any],
    taus: NDArray[Any],
    sign: float,
    breakevens: NDArray[Any],
    p_normal: float,
    size: float,
    rope: float,
    tail: float,
    z_tail: float,
    out: NDArray[Any],
    together: NDArray[Any],
) -> None:
    """Fill out[row, quantity, arm] of rows (row, arm) of y and n of a family's likelihood."""
    arms, components = y.shape[1], weights.size
    normal = family == NORMAL
    theta, precision, tops = np.empty(components), np.empty(components), np.empty(components)
    modes = np.zeros((components, arms))
    variances = np.zeros((components, arms))
    totals = np.empty(components)
    effect = np.zeros(arms)
    curves = np.zeros((arms, CURVE))
    best, loss = np.empty(arms), np.empty(arms)
    before_best, before_loss = np.empty(arms), np.empty(arms)
    up, down = np.empty(arms), np.empty(arms)
    lift = np.empty((arms, 1))
    moments = np.empty((components, arms, 3))
    F, S, f = np.empty(arms), np.empty(arms), np.empty(arms)
    centre, spread, skewness = np.empty(components), np.empty(components), np.zeros(components)
    for a in range(arms):
        curves[a, 5] = breakevens[a]
    for row in range(y.shape[0]):
        yr, nr = y[row], n[row]
        start = 0.0
        if not normal:
            start = math.log(yr.sum() / nr.sum())
            if family == BINARY:
                start -= math.log1p(-math.exp(start))
        high = -math.inf
        likeliest = 0
        best[:] = 0.0
        loss[:] = 0.0
        up[:] = -math.inf
        down[:] = -math.inf
        lift[:] = 0.0
        moments[:] = 0.0
        totals[:] = 0.0
        within = 0.0
        for visit in range(2 * components):
            c = visit % components
            m, tau = means[c], taus[c]
            # First every component's highest weight, then its nodes: in one loop, as the call compiles for seconds.
            survey = visit < components
            if survey:
                theta[c], precision[c] = joint_mode(family, yr, nr, control, m, tau, start, modes[c])
            elif tops[c] < high - _NEGLIGIBLE:
                continue
            sd = 1.0 / math.sqrt(precision[c]) if precision[c] > 0.0 else 0.0
            slopes = 0.0
            for a in range(arms):
                if a != control:
                    _, _, second, _, _ = partition(family, theta[c] + modes[c, a])
                    own = nr[a] * second
                    whole = own + tau
                    slopes += own * own / whole * sd * sd
                    variances[c, a] = 1.0 / whole + (own / whole * sd) ** 2
            step = _STEP * sd / math.sqrt(1.0 + slopes)
            log_step = math.log(step) if step > 0.0 else 0.0
            top = -math.inf
            direction, node, spent = 1.0, 0, False
            effect[:] = modes[c]
            while node < _NODES:
                at = theta[c] + direction * node * step
                log_weight = _node(family, yr, nr, control, m, tau, at, sign, effect, curves)
                log_weight += math.log(weights[c]) + log_step
                if survey:
                    tops[c] = log_weight - log_step + (math.log(sd) if sd > 0.0 else 0.0)
                    if tops[c] > high:
                        high, likeliest = tops[c], c
                    break
                log_weight -= high
                top = max(top, log_weight)
                p = p_normal
                if not normal:
                    p = 1.0 / (1.0 + math.exp(-at)) if family == BINARY else 0.0
                counts = log_weight > top - _FALL and not spent
                more = False
                weight = math.exp(log_weight)
                if counts:
                    totals[c] += weight
                    before_best[:] = best
                    before_loss[:] = loss
                    add_upper(curves, control, sign, p, size, weight, best, loss, F, S, f)
                    if rope > 0.0:
                        within += weight * within_rope(curves, control, sign, p, size, rope, F, f)
                if not normal:
                    for a in range(arms):
                        if a != control:
                            mode, root, u, q, shift, breakeven = curves[a]
                            place = sign * effect_of(sign * breakeven, p, size)
                            z = score(place - mode, root, u, q, shift)
                            higher, lower = log_weight + log_below(-z), log_weight + log_below(z)
                            more = more or higher > up[a] - _FALL or lower > down[a] - _FALL
                            up[a], down[a] = log_sum(up[a], higher), log_sum(down[a], lower)
                            if counts:
                                loss[a] += weight * lower_loss(curves[a], sign, p, size)
                                if tail > 0.0:
                                    add_moments(curves[a], sign, p, weight, lift[a], moments[c, a])
                if counts:
                    spent = node > 1
                    for a in range(arms):
                        spent = spent and best[a] - before_best[a] <= _SPENT * best[a]
                        spent = spent and loss[a] - before_loss[a] <= _SPENT * loss[a]
                    more = more or not spent
                if step == 0.0 or (not more and direction < 0.0):
                    break
                if more:
                    node += 1
                else:
                    direction, node, spent = -1.0, 1, False
                    effect[:] = modes[c]
        total = totals.sum()
        every = best.sum()  # equal to the total but for the integrals' own error
        for a in range(arms):
            out[row, 0, a] = best[a] / every
            out[row, 3, a] = loss[a] / total
        together[row] = min(within / total, 1.0)
        for a in range(arms):
            if a == control:
                continue
            p = p_normal
            if not normal:
                p = 1.0 / (1.0 + math.exp(-theta[likeliest])) if family == BINARY else 0.0
            boundary = effect_of(sign * breakevens[a], p, size)
            for c in range(components):
                share = totals[c] / total
                if share <= 0.0:
                    continue
                if normal:
                    centre[c], spread[c] = modes[c, a], math.sqrt(variances[c, a])
                    z = (centre[c] - boundary) / spread[c]
                    up[a] = log_sum(up[a], math.log(totals[c]) + log_below(sign * z))
                    down[a] = log_sum(down[a], math.log(totals[c]) + log_below(-sign * z))
                    above, under = normal_parts(z, spread[c], 1.0 + sign * breakevens[a], p, size)
                    out[row, 3, a] += share * (under if sign > 0.0 else above)
                    lift[a, 0] += totals[c] * normal_lift(centre[c], spread[c], p, size)
                elif tail > 0.0:
                    first, second, third = (
                        moments[c, a, 0] / totals[c],
                        moments[c, a, 1] / totals[c],
                        moments[c, a, 2] / totals[c],
                    )
                    centre[c], spread[c], skewness[c] = of_moments(first, second, third)
            both = log_sum(up[a], down[a])
            out[row, 1, a] = math.exp(up[a] - both)
            out[row, 2, a] = up[a] - down[a] - prior_log_odds(boundary, sign, weights, means, taus)
            if tail > 0.0:
                out[row, 4, a] = lift[a, 0] / total
                for end in range(2):
                    prob, z_end = (tail, z_tail) if end == 0 else (1.0 - tail, -z_tail)
                    quantile = mixture_quantile(totals / total, centre, spread, skewness, prob, z_end)
                    out[row, 5 + end, a] = relative(quantile, p, size) if normal else math.expm1(quantile)
