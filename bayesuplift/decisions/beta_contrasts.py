"""Distribution and quantiles of the difference, or the ratio, of two independent Beta rates by quadrature.

    P(a - c <= d) = int f_c(c) F_a(c + d) dc,      P(log(a / c) <= v) = int f_c(c) F_a(c e^v) dc,

over the panels of the narrower arm, each cut at the other arm's panels where that one changes faster, so that every piece
of the integrand is smooth, also next to rates of 0 and 1.
"""

import math

import numpy as np
from numba import njit

from bayesuplift.decisions.beta_table import DEGREE, PANELS, clenshaw_many, panel_of, sort

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_SLOPE_DEGREE = 10  # of the density inside Newton's method
_WIDEST_IN_PANELS = 1.4
_WIDEST_LOGIT = 1.0
_WIDEST_OUTER = 1.5
_FARTHEST_LOGIT = 60.0  # nearer to 0 or 1 than this a rate moves no sum
_CLOSE_ENOUGH = 3e-5  # of a standard deviation: Newton's next error is its square
_MOST_STEPS = 100


@njit(cache=True)
def contrast_tables(tables: tuple) -> tuple:
    """The arms' tables and, at the quadrature nodes of every panel, what each call of `contrast_cdf` needs again.

    nodes[k, panel, 0..2, i] is arm k's rate, one minus it, and the mass that the node stands for.
    """
    edges, density, integral, below, _, _ = tables
    nodes = np.empty((edges.shape[0], PANELS, 3, _POINTS.size))
    for k in range(edges.shape[0]):
        for panel in range(PANELS):
            half = 0.5 * (edges[k, panel + 1] - edges[k, panel])
            middle = 0.5 * (edges[k, panel + 1] + edges[k, panel])
            clenshaw_many(density[k, panel], 0.0, 1.0, _POINTS, nodes[k, panel, 2])
            for i in range(_POINTS.size):
                nodes[k, panel, 0, i], nodes[k, panel, 1, i] = _rate_at(middle + half * _POINTS[i])
                nodes[k, panel, 2, i] *= half * _WEIGHTS[i]
    return edges, density, integral, below, nodes


@njit(cache=True)
def _rate_at(x: float) -> tuple[float, float]:
    """The rate at logit x, and one minus it, neither with cancellation."""
    odds = math.exp(-abs(x))
    small = odds / (1.0 + odds)
    large = 1.0 / (1.0 + odds)
    return (large, small) if x >= 0.0 else (small, large)


@njit(cache=True)
def _logit_of(rate: float, complement: float) -> float:
    if rate <= 0.0:
        return -math.inf
    return math.log(rate / complement) if complement > 0.0 else math.inf


@njit(cache=True)
def _carried(rate: float, complement: float, ratio: bool, value: float, stretch: float) -> tuple[float, float]:
    """The treatment's rate that the contrast makes of the control's, and one minus it."""
    if ratio:
        return rate * stretch, 1.0 - rate * stretch
    return rate + value, complement - value


@njit(cache=True, fastmath={"contract"})
def _evaluate(
    edges: np.ndarray,
    density: np.ndarray,
    integral: np.ndarray,
    below: np.ndarray,
    at: np.ndarray,
    cdf: np.ndarray,
    pdf: np.ndarray,
) -> None:
    """Fill one arm's distribution function and density (on the logit scale, to 8 digits) at the ascending logits `at`.

    The panel is looked up point by point, four points at a time, as in `clenshaw_many`.
    """
    points = at.size
    own = np.empty(points, dtype=np.int64)
    twice = np.empty(points)
    place = panel_of(edges, at[0])
    for i in range(points):
        while place < PANELS - 1 and at[i] > edges[place + 1]:
            place += 1
        x = min(max(at[i], edges[0]), edges[PANELS])
        own[i] = place
        twice[i] = 2.0 * ((x - edges[place]) - (edges[place + 1] - x)) / (edges[place + 1] - edges[place])
    for start in range(0, points, 4):
        p0, p1, p2, p3 = own[start], own[start + 1], own[start + 2], own[start + 3]
        s0, s1, s2, s3 = twice[start], twice[start + 1], twice[start + 2], twice[start + 3]
        a0 = a1 = a2 = a3 = 0.0
        b0 = b1 = b2 = b3 = 0.0
        for k in range(DEGREE, 0, -1):
            a0, b0 = s0 * a0 + (integral[p0, k] - b0), a0
            a1, b1 = s1 * a1 + (integral[p1, k] - b1), a1
            a2, b2 = s2 * a2 + (integral[p2, k] - b2), a2
            a3, b3 = s3 * a3 + (integral[p3, k] - b3), a3
        cdf[start] = below[p0] + integral[p0, 0] + 0.5 * s0 * a0 - b0
        cdf[start + 1] = below[p1] + integral[p1, 0] + 0.5 * s1 * a1 - b1
        cdf[start + 2] = below[p2] + integral[p2, 0] + 0.5 * s2 * a2 - b2
        cdf[start + 3] = below[p3] + integral[p3, 0] + 0.5 * s3 * a3 - b3
        a0 = a1 = a2 = a3 = 0.0
        b0 = b1 = b2 = b3 = 0.0
        for k in range(_SLOPE_DEGREE, 0, -1):
            a0, b0 = s0 * a0 + (density[p0, k] - b0), a0
            a1, b1 = s1 * a1 + (density[p1, k] - b1), a1
            a2, b2 = s2 * a2 + (density[p2, k] - b2), a2
            a3, b3 = s3 * a3 + (density[p3, k] - b3), a3
        pdf[start] = density[p0, 0] + 0.5 * s0 * a0 - b0
        pdf[start + 1] = density[p1, 0] + 0.5 * s1 * a1 - b1
        pdf[start + 2] = density[p2, 0] + 0.5 * s2 * a2 - b2
        pdf[start + 3] = density[p3, 0] + 0.5 * s3 * a3 - b3


@njit(cache=True)
def _narrower(edges: np.ndarray, treatment: int, control: int, ratio: bool) -> bool:
    """Whether the treatment is the narrower arm on the contrast's scale, at the edges next to the mode."""
    widths = np.empty(2)
    for i, k in enumerate((treatment, control)):
        low, low_complement = _rate_at(edges[k, PANELS // 2 - 1])
        high, high_complement = _rate_at(edges[k, PANELS // 2 + 1])
        widths[i] = high / low if ratio else min(high - low, low_complement - high_complement)
    return widths[0] < widths[1]


@njit(cache=True)
def _inner_logit(rates: tuple[float, float], ratio: bool, value: float, stretch: float) -> float:
    """Logit of the inner arm's rate at the outer arm's, given with its complement."""
    rate, complement = _carried(rates[0], rates[1], ratio, value, stretch)
    return _logit_of(rate, complement)


@njit(cache=True)
def _over_nodes(
    nodes: np.ndarray,
    edges: np.ndarray,
    density: np.ndarray,
    integral: np.ndarray,
    below: np.ndarray,
    ratio: bool,
    value: float,
    stretch: float,
) -> tuple[float, float]:
    """One outer panel's share of the distribution function and of its density, at the nodes tabulated for it."""
    points = _POINTS.size
    at = np.empty(points)
    jacobian = np.empty(points)
    cdf_at = np.empty(points)
    pdf_at = np.empty(points)
    for i in range(points):
        rate, complement = _carried(nodes[0, i], nodes[1, i], ratio, value, stretch)
        at[i] = math.log(rate / complement)
        jacobian[i] = 1.0 / complement if ratio else 1.0 / (rate * complement)
    _evaluate(edges, density, integral, below, at, cdf_at, pdf_at)
    cdf = 0.0
    pdf = 0.0
    for i in range(points):
        cdf += nodes[2, i] * cdf_at[i]
        if edges[0] < at[i] < edges[PANELS]:
            pdf += nodes[2, i] * pdf_at[i] * jacobian[i]
    return cdf, pdf


@njit(cache=True)
def _over_pieces(
    outer_density: np.ndarray,
    low: float,
    high: float,
    edges: np.ndarray,
    density: np.ndarray,
    integral: np.ndarray,
    below: np.ndarray,
    ratio: bool,
    value: float,
    stretch: float,
) -> tuple[float, float]:
    """The same over the outer panel [low, high] cut into pieces."""
    points = _POINTS.size
    at = np.empty(points)
    jacobian = np.empty(points)
    cdf_at = np.empty(points)
    pdf_at = np.empty(points)
    mass = np.empty(points)
    cuts = np.empty(2 * PANELS + int(4.0 * _FARTHEST_LOGIT / _WIDEST_LOGIT))
    count = _cut(edges, low, high, ratio, value, cuts)
    outer_half = 0.5 * (high - low)
    outer_middle = 0.5 * (high + low)
    cdf = 0.0
    pdf = 0.0
    for piece in range(count - 1):
        half = 0.5 * (cuts[piece + 1] - cuts[piece])
        middle = 0.5 * (cuts[piece + 1] + cuts[piece])
        if half <= 0.0 or _inner_logit(_rate_at(cuts[piece + 1]), ratio, value, stretch) <= edges[0]:
            continue
        clenshaw_many(outer_density, (middle - outer_middle) / outer_half, half / outer_half, _POINTS, mass)
        for i in range(points):
            rate, complement = _rate_at(middle + half * _POINTS[i])
            rate, complement = _carried(rate, complement, ratio, value, stretch)
            at[i] = _logit_of(rate, complement)
            jacobian[i] = 0.0
            if edges[0] < at[i] < edges[PANELS]:
                jacobian[i] = 1.0 / complement if ratio else 1.0 / (rate * complement)
        _evaluate(edges, density, integral, below, at, cdf_at, pdf_at)
        for i in range(points):
            weighted = half * _WEIGHTS[i] * mass[i]
            cdf += weighted * cdf_at[i]
            pdf += weighted * pdf_at[i] * jacobian[i]
    return cdf, pdf


@njit(cache=True)
def contrast_cdf(tables: tuple, treatment: int, control: int, ratio: bool, value: float) -> tuple[float, float]:
    """P(contrast <= value) and its density there; a ratio is taken in logs. Takes the tables of `contrast_tables`.

    The integral runs over the narrower arm, on whose panels the other's distribution function is smooth as a rule:
    P(a - c <= d) = 1 - P(c - a <= -d), and so in logs. A panel on which it is not is cut at the other arm's edges.
    """
    edges, density, integral, below, nodes = tables
    outer, inner = control, treatment
    exchanged = _narrower(edges, treatment, control, ratio)
    if exchanged:
        outer, inner, value = treatment, control, -value
    stretch = math.exp(value) if ratio else 1.0
    first, last = edges[inner, 0], edges[inner, PANELS]
    cdf = 0.0
    pdf = 0.0
    place = 0
    right = _inner_logit(_rate_at(edges[outer, 1]), ratio, value, stretch)
    # The outermost panel on either side is left out: together they hold less than 1e-12 of the mass.
    for panel in range(1, PANELS - 1):
        left = right
        right = _inner_logit(_rate_at(edges[outer, panel + 1]), ratio, value, stretch)
        if right <= first:
            continue
        if left >= last:
            for mass in nodes[outer, panel, 2]:
                cdf += mass
            continue
        while place < PANELS - 1 and left > edges[inner, place + 1]:
            place += 1
        end = place
        narrowest = edges[inner, end + 1] - edges[inner, end]
        while end < PANELS - 1 and right > edges[inner, end + 1]:
            end += 1
            narrowest = min(narrowest, edges[inner, end + 1] - edges[inner, end])
        if (
            right - left <= min(_WIDEST_IN_PANELS * narrowest, _WIDEST_LOGIT)
            and edges[outer, panel + 1] - edges[outer, panel] <= _WIDEST_OUTER
        ):
            more = _over_nodes(
                nodes[outer, panel], edges[inner], density[inner], integral[inner], below[inner], ratio, value, stretch
            )
        else:
            low, high = edges[outer, panel], edges[outer, panel + 1]
            more = _over_pieces(
                density[outer, panel],
                low,
                high,
                edges[inner],
                density[inner],
                integral[inner],
                below[inner],
                ratio,
                value,
                stretch,
            )
        cdf += more[0]
        pdf += more[1]
    return (1.0 - cdf if exchanged else cdf), pdf


@njit(cache=True)
def _cut(inner: np.ndarray, low: float, high: float, ratio: bool, value: float, cuts: np.ndarray) -> int:
    """Cut the outer panel [low, high] where the contrast carries the inner arm's edges; returns how many edges result.

    Both arms' panels count in pieces of at most `_WIDEST_LOGIT`: where the inner arm's rate nears 0 or 1 inside the outer
    panel, its distribution function has a kink there, or a root's steepness, and the cuts close in on it geometrically.
    """
    cuts[0] = low
    count = 1
    start = max(low, -_FARTHEST_LOGIT)
    pieces = int(max(min(high, _FARTHEST_LOGIT) - start, 0.0) / _WIDEST_LOGIT)
    for piece in range(pieces + 1):
        x = start + piece * _WIDEST_LOGIT
        if low < x < high:
            cuts[count] = x
            count += 1
    for panel in range(PANELS + 1):
        x = min(max(inner[panel], -_FARTHEST_LOGIT), _FARTHEST_LOGIT)
        before = x if panel == 0 else min(max(inner[panel - 1], -_FARTHEST_LOGIT), _FARTHEST_LOGIT)
        pieces = 1 + int((x - before) / _WIDEST_LOGIT)
        for piece in range(1, pieces + 1):
            rate, complement = _rate_at(before + (x - before) * piece / pieces)
            # The contrast backwards: from the inner arm's rate to the outer one's.
            rate, complement = _carried(rate, complement, ratio, -value, math.exp(-value))
            carried = _logit_of(rate, complement)
            if low < carried < high:
                cuts[count] = carried
                count += 1
    cuts[count] = high
    count += 1
    sort(cuts[:count])
    return count


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
        if z < 0.0:  # the lower tail is the nearer one
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
