"""A Beta distribution tabulated on the logit scale: its density and both of its tails, cheap at any point.

On x = logit(rate) a Beta(alpha, beta) has the log-concave density

    g(x) = exp(alpha x - (alpha + beta) log(1 + e^x)) / B(alpha, beta),

whose mode is x* = log(alpha / beta). With m = alpha + beta, and on either side of the mode t = |x - x*|, p the mean of the
tail's own event (alpha/m to the left, beta/m to the right) and q = 1 - p, the log density lies m phi(t) below its mode:

    phi(t) = p t + log(q + p e^-t) = log1p(q (e^(p t) - 1 - p t) + p (e^(-q t) - 1 + q t)).

The second form has no cancellation: both terms are positive and of the order of the result, so the density keeps its
relative accuracy at alpha + beta = 1e9 as at 1. Nothing here calls the gamma or the incomplete beta function: the
normalising constant is the sum over the panels.

A table holds, in panels whose edges lie where the log density has dropped by r^2/2, Chebyshev series of the density and
of its integral from the panel's left edge.
"""

import math

import numpy as np
from numba import njit

# Panel edges in r = sqrt(2 * drop of the log density): for a normal posterior, standard deviations from the mode. Beyond
# r = 9 lies less than 1e-18 of the mass.
REACH = np.array([1.8, 3.6, 5.4, 7.2, 9.0])
PANELS = 2 * REACH.size
DEGREE = 16  # nodes a panel; the interpolation error of a normal density in a panel of width 1.8 is below 1e-12
_EXPONENTIAL_SWAMPS = 30.0  # e^z beside 1 + z: nothing is left to cancel
_EDGE_WITHIN = 0.02  # in r: where an edge lies exactly does not matter
_UNDERFLOWS = 700.0
_SERIES_BELOW = 0.25  # where e^z - 1 - z is summed as a series, to keep its leading digits
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12 = (1.0 / math.factorial(k) for k in range(2, 13))


def _chebyshev_matrices(nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes on [-1, 1]; what a value at each adds to the series of the function, and of its integral from -1."""
    angle = np.pi * (np.arange(nodes) + 0.5) / nodes
    series = 2.0 / nodes * np.cos(np.outer(np.arange(nodes), angle))
    series[0] /= 2.0
    integral = np.zeros((nodes + 1, nodes))
    padded = np.vstack([series, np.zeros((2, nodes))])
    integral[1] = padded[0] - padded[2] / 2.0
    for k in range(2, nodes + 1):
        integral[k] = (padded[k - 1] - padded[k + 1]) / (2.0 * k)
    integral[0] = -(integral[1:] * ((-1.0) ** np.arange(1, nodes + 1))[:, None]).sum(axis=0)
    return np.cos(angle), np.ascontiguousarray(series.T), np.ascontiguousarray(integral.T)


NODES, FROM_VALUE_TO_SERIES, FROM_VALUE_TO_INTEGRAL = _chebyshev_matrices(DEGREE)


@njit(cache=True)
def _expm1_minus(z: float) -> float:
    """e^z - 1 - z, to full relative accuracy."""
    if abs(z) > _SERIES_BELOW:
        return math.expm1(z) - z
    # Even and odd powers apart and written out: two short chains of operations in place of a long one.
    zz = z * z
    even = C2 + zz * (C4 + zz * (C6 + zz * (C8 + zz * (C10 + zz * C12))))
    odd = C3 + zz * (C5 + zz * (C7 + zz * (C9 + zz * C11)))
    return zz * (even + z * odd)


@njit(cache=True)
def fall(p: float, q: float, t: float) -> float:
    """phi(t) of the module's docstring: how far the log density, divided by m, lies below its mode at distance t."""
    if p * t > _EXPONENTIAL_SWAMPS:
        return p * t + math.log(q + p * math.exp(-t))
    return math.log1p(q * _expm1_minus(p * t) + p * _expm1_minus(-q * t))


@njit(cache=True)
def slope(p: float, q: float, t: float) -> float:
    """Derivative of `fall` in t."""
    e = math.expm1(-t)
    return -p * q * e / (1.0 + p * e)


@njit(cache=True)
def _distances(m: float, p: float, q: float, out: np.ndarray) -> None:
    """Fill out[i] with the distance from the mode at which the log density has dropped by REACH[i]^2 / 2.

    Newton's method on r(t) = sqrt(2 m phi(t)), which is concave and nearly linear. Edges may be off by some percent
    without harm, so it stops early.
    """
    t = REACH[0] / math.sqrt(m * p * q)
    for i in range(REACH.size):
        target = REACH[i]
        for _ in range(60):
            r = math.sqrt(2.0 * m * fall(p, q, t))
            steep = m * slope(p, q, t) / r
            step = (target - r) / steep
            t += max(step, -0.5 * t)  # bounded for a start far out in a curved tail
            if abs(target - r) < _EDGE_WITHIN:
                break
        out[i] = t
        if i + 1 < REACH.size:
            r = math.sqrt(2.0 * m * fall(p, q, t))
            t += (REACH[i + 1] - r) * r / (m * slope(p, q, t))


@njit(cache=True, fastmath={"contract"})
def tabulate(
    alpha: float,
    beta: float,
    edges: np.ndarray,
    density: np.ndarray,
    integral: np.ndarray,
    below: np.ndarray,
    above: np.ndarray,
) -> float:
    """Fill one arm's table; return the log of its normalising constant.

    Parameters
    ----------
    alpha, beta
        Parameters of the posterior, both positive.
    edges
        (PANELS + 1,) edges on the logit scale, ascending.
    density
        (PANELS, DEGREE) Chebyshev coefficients of the density.
    integral
        (PANELS, DEGREE + 1) Chebyshev coefficients of its integral from the panel's left edge.
    below, above
        (PANELS,) mass to the left and to the right of each panel's left edge; each is a sum of positive terms from its own
        end, so both tails keep their relative accuracy.
    """
    m = alpha + beta
    mode = math.log(alpha) - math.log(beta)
    left = np.empty(REACH.size)
    right = np.empty(REACH.size)
    _distances(m, alpha / m, beta / m, left)
    _distances(m, beta / m, alpha / m, right)
    half_panels = REACH.size
    edges[half_panels] = mode
    for i in range(half_panels):
        edges[half_panels - 1 - i] = mode - left[i]
        edges[half_panels + 1 + i] = mode + right[i]
    total = 0.0
    for panel in range(PANELS):
        # Distances from the mode, not differences of rounded positions: with 1e8 units a panel is 1e-4 wide.
        if panel < half_panels:
            near = left[half_panels - 2 - panel] if panel < half_panels - 1 else 0.0
            far = left[half_panels - 1 - panel]
            middle, half, sign, p, q = 0.5 * (near + far), 0.5 * (far - near), -1.0, alpha / m, beta / m
        else:
            near = right[panel - half_panels - 1] if panel > half_panels else 0.0
            far = right[panel - half_panels]
            middle, half, sign, p, q = 0.5 * (near + far), 0.5 * (far - near), 1.0, beta / m, alpha / m
        density[panel, :] = 0.0
        integral[panel, :] = 0.0
        for j in range(DEGREE):
            value = math.exp(-m * fall(p, q, middle + sign * half * NODES[j]))
            for k in range(DEGREE):  # the inner loops run over the coefficients: they vectorise without reordering sums
                density[panel, k] += FROM_VALUE_TO_SERIES[j, k] * value
            for k in range(DEGREE + 1):
                integral[panel, k] += FROM_VALUE_TO_INTEGRAL[j, k] * value
        mass = 0.0
        for k in range(DEGREE + 1):
            integral[panel, k] *= half
            mass += integral[panel, k]
        below[panel] = mass  # the panel's own mass, for now
        total += mass
    running = 0.0
    for panel in range(PANELS - 1, -1, -1):
        running += below[panel]
        above[panel] = running / total
    running = 0.0
    for panel in range(PANELS):
        mass = below[panel]
        below[panel] = running / total
        running += mass
        for k in range(DEGREE):
            density[panel, k] /= total
        for k in range(DEGREE + 1):
            integral[panel, k] /= total
    return math.log(total)


@njit(cache=True, fastmath={"contract"})
def clenshaw_many(coefficients: np.ndarray, shift: float, scale: float, points: np.ndarray, out: np.ndarray) -> None:
    """Fill out[i] with the sum of coefficients[k] T_k(shift + scale points[i]).

    Four points at a time: each recurrence waits for its own last step, so that they fill the processor together.
    """
    last = coefficients.size - 1
    count = points.size
    for start in range(0, count, 4):
        i1 = min(start + 1, count - 1)
        i2 = min(start + 2, count - 1)
        i3 = min(start + 3, count - 1)
        s0 = 2.0 * (shift + scale * points[start])
        s1 = 2.0 * (shift + scale * points[i1])
        s2 = 2.0 * (shift + scale * points[i2])
        s3 = 2.0 * (shift + scale * points[i3])
        a0 = a1 = a2 = a3 = 0.0
        b0 = b1 = b2 = b3 = 0.0
        for k in range(last, 0, -1):
            c = coefficients[k]
            a0, b0 = s0 * a0 + (c - b0), a0
            a1, b1 = s1 * a1 + (c - b1), a1
            a2, b2 = s2 * a2 + (c - b2), a2
            a3, b3 = s3 * a3 + (c - b3), a3
        c = coefficients[0]
        out[i3] = c + 0.5 * s3 * a3 - b3
        out[i2] = c + 0.5 * s2 * a2 - b2
        out[i1] = c + 0.5 * s1 * a1 - b1
        out[start] = c + 0.5 * s0 * a0 - b0


@njit(cache=True)
def tail(alpha: float, beta: float, log_total: float, x: float) -> tuple[float, float]:
    """Density at x, and mass between x and the near end, outside the table's edges.

    The first two terms of the asymptotic series of a log-concave tail, good to a percent beyond r = 9: it serves so that
    a probability of 1e-40 reads as that and not as zero.
    """
    m = alpha + beta
    t = x - (math.log(alpha) - math.log(beta))
    p, q = (beta / m, alpha / m) if t > 0.0 else (alpha / m, beta / m)
    t = abs(t)
    drop = m * fall(p, q, t)
    if drop > _UNDERFLOWS:
        return 0.0, 0.0
    at = math.exp(-drop - log_total)
    shrinking = p * math.exp(-t) / (q + p * math.exp(-t))
    steep = m * slope(p, q, t)
    curved = m * shrinking * (1.0 - shrinking)
    return at, at / steep / (1.0 + curved / (steep * steep))


@njit(cache=True)
def sort(values: np.ndarray) -> None:
    """Sort in place, by insertion: the lists are short and nearly in order, and numpy's sort takes seconds to compile."""
    for i in range(1, values.size):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value


@njit(cache=True)
def panel_of(edges: np.ndarray, x: float) -> int:
    """The panel that holds x, or the nearest one."""
    panel = 0
    while panel < PANELS - 1 and x > edges[panel + 1]:
        panel += 1
    return panel
