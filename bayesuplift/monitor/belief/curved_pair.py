"""One treatment against one control where likelihoods are binomial or of counts: one integral over the effect.

The baseline is integrated out at every effect by Laplace's method with its next term,

    log L(e) = l(t) - log(J) / 2 + 5 k3^2 / (24 J^3) - k4 / (8 J^2),

t the mode of theta_0 given e, and J, -k3, -k4 the negative second, third and fourth derivatives of l there. What is
left is a smooth function of one variable, which Gauss-Legendre panels integrate on either side of the boundary, each side
on its own scale, so that both tails keep their digits.
"""

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bayesuplift.monitor.belief.family import BINARY, joint_mode, partition
from bayesuplift.monitor.belief.pair import prior_log_odds
from bayesuplift.monitor.belief.scale import effect_of
from bayesuplift.monitor.belief.tails import mixture_quantile, of_moments, points_of_a_panel

_POINTS, _WEIGHTS = points_of_a_panel()
_WIDTH: Final = 2.4  # sds of a panel: six points are then right to 1e-7 for a normal density
_REACH: Final = 6.5  # sds from the mode at which the nearer side begins
_NEGLIGIBLE: Final = 19.0  # log density below its highest on the side, at which a side ends
_PANELS: Final = 400
_STEEP: Final = 1.0  # what the log density may fall to the first point of the first panel
_CLOSE: Final = 1e-4  # squared step in sds, of which the third power is left out
_STEPS: Final = 100
_SUMS: Final = 6  # mass, distance of r from the boundary, r, and three moments of log(1 + r)


@njit(cache=True, nogil=True, error_model="numpy")
def _log_effect(  # noqa: PLR0917 -- numba takes positional arguments
    family: int,
    y0: float,
    n0: float,
    y1: float,
    n1: float,
    e: float,
    theta: float,
) -> tuple[float, float, float]:
    """Return log L(e), the mode of theta_0 given e, from a start near it, and how it moves with e."""
    for _ in range(_STEPS):
        v0, a0, b0, c0, d0 = partition(family, theta)
        v1, a1, b1, c1, d1 = partition(family, theta + e)
        gradient = y0 - n0 * a0 + y1 - n1 * a1
        J = n0 * b0 + n1 * b1
        step = gradient / J
        if step * gradient < _CLOSE:
            break
        theta += min(max(step, -1.0), 1.0)
    k3 = n0 * c0 + n1 * c1
    k4 = n0 * d0 + n1 * d1
    value = y0 * theta - n0 * v0 + y1 * (theta + e) - n1 * v1 + 0.5 * gradient * step - 0.5 * math.log(J)
    value += (5.0 * k3 * k3 / (3.0 * J) - k4) / (8.0 * J * J)
    return value, theta + step, -n1 * b1 / J


@njit(cache=True, nogil=True, error_model="numpy")
def _part(  # noqa: PLR0917 -- numba takes positional arguments, and this is the loop that takes the time
    family: int,
    y0: float,
    n0: float,
    y1: float,
    n1: float,
    m: float,
    tau: float,
    mode: float,
    sd: float,
    theta: float,
    move: float,
    start: float,
    end: float,
    breakeven: float,
    with_moments: bool,
    sums: NDArray[Any],
) -> float:
    """Fill sums over the effects from start to end, divided by e^top; return top, the log density where it is highest.

    theta is likeliest at the mode and moves with the effect as `move` says. The far end may be infinite; the part ends
    where nothing is left.
    """
    sums[:] = 0.0
    outwards = 1.0 if end > start else -1.0
    z = outwards * (start - mode) / sd
    width = outwards * _WIDTH * sd / (1.0 + 0.5 * max(z, 0.0))
    at, here, top, value = start, mode, 0.0, 0.0
    p = 0.0
    first = -1  # before the first panel the density where it is highest: one call of what takes long to compile
    for _ in range(_PANELS):
        span = width if abs(width) < abs(end - at) else end - at
        too_wide = False
        for i in range(first, _POINTS.size):
            e = at + span * _POINTS[i] if i >= 0 else (start if z > 0.0 else mode)
            value, theta, move = _log_effect(family, y0, n0, y1, n1, e, theta + move * (e - here))
            here = e
            value -= 0.5 * tau * (e - m) * (e - m) + top
            if i < 0:
                top = value
                continue
            if (
                i == 0 and z > 0.0 and at == start and value < -_STEEP
            ):  # far from the mode: a panel as wide as it falls there
                too_wide = True
                break
            f = abs(span) * _WEIGHTS[i] * math.exp(value)
            if family == BINARY:
                p = 1.0 / (1.0 + math.exp(-theta))
            x = math.expm1(e)
            rest = 1.0 + p * x
            r = (1.0 - p) * x / rest
            sums[0] += f
            sums[1] += f * abs(r - breakeven)
            sums[2] += f * r
            if with_moments:
                log_ratio = e - math.log(rest)
                sums[3] += f * log_ratio
                sums[4] += f * log_ratio * log_ratio
                sums[5] += f * log_ratio * log_ratio * log_ratio
        first = 0
        if too_wide:
            width *= 0.2
            continue
        at += span
        if at == end or (value < -_NEGLIGIBLE and outwards * (at - mode) > 0.0):
            break
    return top


@njit(cache=True, nogil=True, error_model="numpy")
def _part_ends(  # noqa: PLR0917 -- as above
    part: int, mode: float, sd: float, boundary: float, low: float, high: float
) -> tuple[float, float]:
    """Where a part begins and ends: 0 below the boundary, 1 above it, 2 and 3 inside the rope."""
    if part == 0:
        return min(boundary, mode + _REACH * sd), -math.inf
    if part == 1:
        return max(boundary, mode - _REACH * sd), math.inf
    middle = min(max(mode, low), high)
    return (middle, low) if part == 2 else (middle, high)  # noqa: PLR2004 -- numbered above


@njit(cache=True, nogil=True, error_model="numpy")
def curved_pairs(  # noqa: C901, PLR0917 -- a row's parts share too much for a call of its own
    family: int,
    y: NDArray[Any],
    n: NDArray[Any],
    control: int,
    weights: NDArray[Any],
    means: NDArray[Any],
    taus: NDArray[Any],
    sign: float,
    breakeven: float,
    rope: float,
    tail: float,
    z_tail: float,
    out: NDArray[Any],
    together: NDArray[Any],
) -> None:
    """Fill out[row, quantity, arm] of rows (row, arm) of y and n of a family's likelihood, under a law that is not flat."""
    treatment = 1 - control
    components = weights.size
    parts = 4 if rope > 0.0 else 2
    effect = np.empty(2)
    sums = np.zeros((components, 4, _SUMS))
    tops = np.full((components, 4), -math.inf)
    share, centre, spread, skewness = (
        np.empty(components),
        np.empty(components),
        np.empty(components),
        np.empty(components),
    )
    flat_boundary = effect_of(sign * breakeven, 0.0, 1.0)
    flat_prior = prior_log_odds(flat_boundary, sign, weights, means, taus)
    for row in range(y.shape[0]):
        y0, n0, y1, n1 = y[row, control], n[row, control], y[row, treatment], n[row, treatment]
        start = math.log((y0 + y1) / (n0 + n1))
        if family == BINARY:
            start -= math.log1p(-math.exp(start))
        boundary, prior = flat_boundary, flat_prior
        low, high = 0.0, 0.0
        for c in range(components):
            tau, m = taus[c], means[c]
            theta, _ = joint_mode(family, y[row], n[row], control, m, tau, start, effect)
            mode = effect[treatment]
            _, _, b0, _, _ = partition(family, theta)
            _, _, b1, _, _ = partition(family, theta + mode)
            l0, l1 = n0 * b0, n1 * b1
            sd = 1.0 / math.sqrt(tau + l0 * l1 / (l0 + l1))
            move = -l1 / (l0 + l1)
            if c == 0 and family == BINARY and breakeven != 0.0:
                # The boundary in effects depends on the baseline: taken at the baseline that is likeliest there.
                at = theta
                for _ in range(3):
                    boundary = effect_of(sign * breakeven, 1.0 / (1.0 + math.exp(-at)), 1.0)
                    at = theta + move * (boundary - mode)
                prior = prior_log_odds(boundary, sign, weights, means, taus)
            if rope > 0.0:
                p = 1.0 / (1.0 + math.exp(-theta)) if family == BINARY else 0.0
                low = effect_of(sign * breakeven - rope, p, 1.0)
                high = effect_of(sign * breakeven + rope, p, 1.0)
            for part in range(parts):
                begin, end = _part_ends(part, mode, sd, boundary, low, high)
                if begin == end:
                    tops[c, part] = -math.inf
                    continue
                tops[c, part] = (
                    _part(
                        family,
                        y0,
                        n0,
                        y1,
                        n1,
                        m,
                        tau,
                        mode,
                        sd,
                        theta,
                        move,
                        begin,
                        end,
                        sign * breakeven,
                        tail > 0.0 and part < 2,  # noqa: PLR2004 -- the two sides of the boundary
                        sums[c, part],
                    )
                    + math.log(weights[c])
                    + 0.5 * math.log(tau)
                )
        together[row] = _gathered(treatment, sums, tops, sign, prior, out[row])
        if tail > 0.0:
            _moments(sums, tops, share, centre, spread, skewness)
            for side in range(2):
                prob, score = (tail, z_tail) if side == 0 else (1.0 - tail, -z_tail)
                quantile = mixture_quantile(share, centre, spread, skewness, prob, score)
                out[row, 5 + side, treatment] = math.expm1(quantile)


@njit(cache=True, nogil=True, error_model="numpy")
def _gathered(  # noqa: PLR0917 -- as above
    treatment: int, sums: NDArray[Any], tops: NDArray[Any], sign: float, prior: float, out: NDArray[Any]
) -> float:
    """Fill one row's out[quantity, arm] from the sums of every component and part; return P(inside the rope)."""
    better = 1 if sign > 0.0 else 0
    high = -math.inf
    for c in range(tops.shape[0]):
        high = max(high, tops[c, 0], tops[c, 1])
    total, lift, inside = 0.0, 0.0, 0.0
    logs, distances = np.zeros(2), np.zeros(2)
    for side in range(2):
        top, mass = -math.inf, 0.0
        for c in range(tops.shape[0]):
            top = max(top, tops[c, side])
        for c in range(tops.shape[0]):
            mass += math.exp(tops[c, side] - top) * sums[c, side, 0]
            scale = math.exp(tops[c, side] - high)
            distances[side] += scale * sums[c, side, 1]
            lift += scale * sums[c, side, 2]
            inside += math.exp(tops[c, 2 + side] - high) * sums[c, 2 + side, 0]
        logs[side] = top - high + math.log(mass)
        total += math.exp(logs[side])
    up, down = logs[better], logs[1 - better]
    out[0, treatment] = out[1, treatment] = math.exp(up) / total
    out[0, 1 - treatment] = math.exp(down) / total
    out[2, treatment] = up - down - prior
    out[3, treatment] = distances[1 - better] / total
    out[3, 1 - treatment] = distances[better] / total
    out[4, treatment] = lift / total
    return min(inside / total, 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _moments(  # noqa: PLR0917 -- as above
    sums: NDArray[Any],
    tops: NDArray[Any],
    share: NDArray[Any],
    centre: NDArray[Any],
    spread: NDArray[Any],
    skewness: NDArray[Any],
) -> None:
    """Share, mean, sd and skewness of the log of the ratio of means, of every component."""
    high = tops.max()
    whole = 0.0
    for c in range(share.size):
        low_side, high_side = math.exp(tops[c, 0] - high), math.exp(tops[c, 1] - high)
        mass = low_side * sums[c, 0, 0] + high_side * sums[c, 1, 0]
        share[c] = mass
        whole += mass
        if mass > 0.0:
            first = (low_side * sums[c, 0, 3] + high_side * sums[c, 1, 3]) / mass
            second = (low_side * sums[c, 0, 4] + high_side * sums[c, 1, 4]) / mass
            third = (low_side * sums[c, 0, 5] + high_side * sums[c, 1, 5]) / mass
            centre[c], spread[c], skewness[c] = of_moments(first, second, third)
    for c in range(share.size):
        share[c] /= whole
