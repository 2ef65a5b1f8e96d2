"""Distribution and quantiles of the difference, or the ratio, of two independent Beta rates by quadrature.

    P(a - c <= d) = int f_c(c) F_a(c + d) dc,      P(log(a / c) <= v) = int f_c(c) F_a(c e^v) dc,

over the control's panels and the treatment's panels carried over to the control's scale, so that every piece of the
integrand is smooth, also next to rates of 0 and 1.
"""

import math

import numpy as np
from numba import njit

from bayesuplift.decisions.beta_table import PANELS, clenshaw_many

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_CLOSE_ENOUGH = 1e-5  # of a standard deviation: Newton's next error is its square
_MOST_STEPS = 100


@njit(cache=True)
def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))


@njit(cache=True)
def _merged(control: np.ndarray, treatment: np.ndarray, ratio: bool, value: float, out: np.ndarray) -> int:
    """Panel edges of both arms on the control's logit scale, ascending; returns how many.

    The control's outermost panel on either side is left out: together they hold less than 1e-13 of its mass.
    """
    control = control[1:-1]
    count = control.size
    out[:count] = control
    for x in treatment[1:-1]:
        rate = _logistic(x)
        carried = rate * math.exp(-value) if ratio else rate - value
        if 0.0 < carried < 1.0:
            at = math.log(carried / (1.0 - carried))
            if control[0] < at < control[-1]:
                place = count
                while out[place - 1] > at:
                    out[place] = out[place - 1]
                    place -= 1
                out[place] = at
                count += 1
    return count


@njit(cache=True)
def _carried(x: float, ratio: bool, value: float, stretch: float) -> tuple[float, float]:
    """The treatment's rate that the contrast makes of the control's at logit x, and one minus it."""
    odds = math.exp(-abs(x))
    small = odds / (1.0 + odds)
    large = 1.0 / (1.0 + odds)
    base, rest = (large, small) if x >= 0.0 else (small, large)
    if ratio:
        return base * stretch, 1.0 - base * stretch
    return base + value, rest - value


@njit(cache=True)
def contrast_cdf(tables: tuple, treatment: int, control: int, ratio: bool, value: float) -> tuple[float, float]:
    """P(contrast <= value) and its density there; a ratio is taken in logs."""
    edges, density, integral, below, _, _ = tables
    merged = np.empty(2 * PANELS + 2)
    count = _merged(edges[control], edges[treatment], ratio, value, merged)
    stretch = math.exp(value) if ratio else 1.0
    points = _POINTS.size
    outer = np.empty(points)
    inner = np.empty(points)
    inner_density = np.empty(points)
    position = np.empty(points)
    jacobian = np.empty(points)
    place = 0
    own = 0
    cdf = 0.0
    pdf = 0.0
    for panel in range(count - 1):
        half = 0.5 * (merged[panel + 1] - merged[panel])
        if half <= 0.0:
            continue
        middle = 0.5 * (merged[panel + 1] + merged[panel])
        while middle > edges[control, place + 1]:
            place += 1
        place_half = 0.5 * (edges[control, place + 1] - edges[control, place])
        place_middle = 0.5 * (edges[control, place + 1] + edges[control, place])
        clenshaw_many(density[control, place], (middle - place_middle) / place_half, half / place_half, _POINTS, outer)
        rate, complement = _carried(middle, ratio, value, stretch)
        if rate <= 0.0:
            continue
        x = math.log(rate / complement) if complement > 0.0 else math.inf
        if x <= edges[treatment, 0]:
            continue
        if x >= edges[treatment, PANELS]:
            for i in range(points):
                cdf += half * _WEIGHTS[i] * outer[i]
            continue
        while x > edges[treatment, own + 1]:
            own += 1
        own_half = 0.5 * (edges[treatment, own + 1] - edges[treatment, own])
        own_middle = 0.5 * (edges[treatment, own + 1] + edges[treatment, own])
        for i in range(points):
            rate, complement = _carried(middle + half * _POINTS[i], ratio, value, stretch)
            if rate <= 0.0 or complement <= 0.0:  # by rounding, at the last panel's very end
                position[i] = math.copysign(1.0, rate - 0.5)
                jacobian[i] = 0.0
                continue
            position[i] = (math.log(rate / complement) - own_middle) / own_half
            jacobian[i] = 1.0 / complement if ratio else 1.0 / (rate * complement)
        clenshaw_many(integral[treatment, own], 0.0, 1.0, position, inner)
        clenshaw_many(density[treatment, own], 0.0, 1.0, position, inner_density)
        for i in range(points):
            weighted = half * _WEIGHTS[i] * outer[i]
            cdf += weighted * (below[treatment, own] + inner[i])
            pdf += weighted * inner_density[i] * jacobian[i]
    return cdf, pdf


@njit(cache=True)
def _cumulants(alpha: float, beta: float, ratio: bool) -> tuple[float, float, float, float]:
    """First four cumulants of the rate, or approximately of its logarithm: a start for Newton's method."""
    m = alpha + beta
    if not ratio:
        variance = alpha * beta / (m * m * (m + 1.0))
        third = 2.0 * variance * (beta - alpha) / (m * (m + 2.0))
        excess = (
            6.0 * ((alpha - beta) ** 2 * (m + 1.0) - alpha * beta * (m + 2.0)) / (alpha * beta * (m + 2.0) * (m + 3.0))
        )
        return alpha / m, variance, third, excess * variance * variance
    k1 = k2 = k3 = k4 = 0.0
    for sign, a in ((1.0, alpha), (-1.0, m)):
        b = a + 1.0  # one step of the recurrence, then the asymptotic series of the polygamma functions
        r = 1.0 / b
        k1 += sign * (math.log(b) - r / 2.0 - r * r / 12.0 - 1.0 / a)
        k2 += sign * (r + r**2 / 2.0 + r**3 / 6.0 + 1.0 / a**2)
        k3 -= sign * (r**2 + r**3 + r**4 / 2.0 + 2.0 / a**3)
        k4 += sign * (2.0 * r**3 + 3.0 * r**4 + 2.0 * r**5 + 6.0 / a**4)
    return k1, k2, k3, k4


@njit(cache=True)
def contrast_quantile(
    tables: tuple, alpha: np.ndarray, beta: np.ndarray, treatment: int, control: int, ratio: bool, q: float, z: float
) -> float:
    """Value at which P(contrast <= value) = q; z is the standard normal quantile of q, for the start.

    Newton's method on the logarithm of the nearer tail, kept inside a bracket; NaN, for the caller to refuse, when it has
    not settled after 100 steps.
    """
    a1, a2, a3, a4 = _cumulants(alpha[treatment], beta[treatment], ratio)
    c1, c2, c3, c4 = _cumulants(alpha[control], beta[control], ratio)
    scale = math.sqrt(a2 + c2)
    skewness = (a3 - c3) / scale**3
    excess = (a4 + c4) / scale**4
    low = -math.inf if ratio else -1.0
    high = math.inf if ratio else 1.0
    value = (
        a1
        - c1
        + scale
        * (  # Cornish and Fisher's expansion
            z
            + (z * z - 1.0) * skewness / 6.0
            + (z**3 - 3.0 * z) * excess / 24.0
            - (2.0 * z**3 - 5.0 * z) * skewness**2 / 36.0
        )
    )
    if not low < value < high:
        value = a1 - c1
    for _ in range(_MOST_STEPS):
        cdf, pdf = contrast_cdf(tables, treatment, control, ratio, value)
        if cdf < q:
            low = value
        else:
            high = value
        if q < 0.5:
            step = (math.log(q) - math.log(cdf)) * cdf / pdf if cdf > 0.0 and pdf > 0.0 else math.inf
        else:
            step = (math.log1p(-cdf) - math.log1p(-q)) * (1.0 - cdf) / pdf if cdf < 1.0 and pdf > 0.0 else -math.inf
        following = value + step
        if not low < following < high:
            if math.isinf(low):
                following = value - 2.0 * scale
            elif math.isinf(high):
                following = value + 2.0 * scale
            else:
                following = 0.5 * (low + high)
        moved = abs(following - value)
        value = following
        if moved <= _CLOSE_ENOUGH * scale:
            return value
    return math.nan
