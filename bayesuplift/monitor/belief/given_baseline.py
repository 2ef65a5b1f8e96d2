"""One value of the control's mean: given it the effects are independent, each with a law in one dimension.

An effect has its mode, its curvature h = tau + n A'', and the next two terms of its log density as a series,

    P(e_a < x) = Phi(z(x)),   z = d sqrt(h (1 + u d + q d^2)) + shift,   d = x - mode,
    u = h3 / (3 h),   q = h4 / (12 h),   shift = h3 / (3 h^(3/2)),

the tail formula of Lugannani and Rice (1980) as Barndorff-Nielsen writes it, r + log(q/r)/r, with the second term at its
value at the mode; for a normal likelihood u = q = shift = 0 and it is exact. With F_a(t) = P(g_a < t), S_a = 1 - F_a and
the control's step at 0,

    P(best_a) = int_0^inf f_a prod F_b,   loss_0 = int_0^inf (1 - prod F_b),
    loss_a    = int_-inf^0 F_a + int_0^inf F_a (1 - prod F_b),

with 1 - prod F_b summed from the S_b, so that a small loss keeps its digits (`decisions.beta_integrals`).
"""

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

from bayesuplift.monitor.belief.family import NORMAL, partition
from bayesuplift.monitor.belief.scale import effect_of, relative, relative_slope
from bayesuplift.monitor.belief.tails import below, both_tails, density, points_of_a_panel

_POINTS, _WEIGHTS = points_of_a_panel()
_WIDTH: Final = 2.4
_REACH: Final = 5.8
_WIDEST: Final = 0.5  # of a panel on a log scale, where no law is met and d r / d effect still bends
_PANELS: Final = 2000
_NEWTON: Final = 50
_CLOSE: Final = 1e-13
_ROOT_THREE: Final = math.sqrt(3.0)
CURVE: Final = 6
"""Of an arm given theta_0: mode, sqrt(h), u, q, shift, turned so that more is better, and the breakeven."""


@njit(cache=True, nogil=True, error_model="numpy")
def effect_given(  # noqa: PLR0917 -- numba takes positional arguments
    family: int, y: float, n: float, m: float, tau: float, theta: float, start: float
) -> tuple[float, float, float, float, float, float]:
    """Mode, sqrt(h), u, q, shift and log evidence of one effect given theta_0."""
    e = start
    value, first, second, third, fourth = partition(family, theta + e)
    for _ in range(_NEWTON):
        gradient = y - n * first - tau * (e - m)
        h = tau + n * second
        step = gradient / h
        if family != NORMAL:
            step = min(max(step, -1.0), 1.0)
        e += step
        value, first, second, third, fourth = partition(family, theta + e)
        if family == NORMAL or step * step * h < _CLOSE:
            break
    h = tau + n * second
    h3, h4 = n * third, n * fourth
    log_evidence = y * (theta + e) - n * value - 0.5 * tau * (e - m) * (e - m) - 0.5 * math.log(h)
    log_evidence += (5.0 * h3 * h3 / (3.0 * h) - h4) / (8.0 * h * h)
    root = math.sqrt(h)
    return e, root, h3 / (3.0 * h), h4 / (12.0 * h), h3 / (3.0 * h * root), log_evidence


@njit(cache=True, nogil=True, error_model="numpy")
def score(d: float, root: float, u: float, q: float, shift: float) -> float:
    """Return z of the module's docstring; the series of a binary arm may leave its range far out, where it is cut off."""
    if u == 0.0 and q == 0.0:
        return d * root
    return d * root * math.sqrt(max(1.0 + d * (u + q * d), 0.1)) + shift


@njit(cache=True, nogil=True, error_model="numpy")
def _score_slope(d: float, root: float, u: float, q: float) -> float:
    """Derivative of `_score` in d, up to its cut."""
    if u == 0.0 and q == 0.0:
        return root
    inside = max(1.0 + d * (u + q * d), 0.1)
    return max(root * (1.0 + d * (1.5 * u + 2.0 * q * d)) / math.sqrt(inside), 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def lower_loss(curve: NDArray[Any], sign: float, p: float, size: float) -> float:
    """int_-inf^0 F(t) dt of one arm given theta_0: its expected shortfall against the control."""
    mode, root, u, q, shift, breakeven = curve
    at = sign * effect_of(sign * breakeven, p, size)
    total = 0.0
    if score(at - mode, root, u, q, shift) > _REACH:  # F is 1 from some place on: that part is a difference
        at = mode
        while score(at - mode, root, u, q, shift) < _REACH:
            at += 1.0 / root
        total = breakeven - sign * relative(sign * at, p, size)
    first = max(-score(at - mode, root, u, q, shift), 0.0)
    width = _WIDTH / root / (1.0 + 0.5 * first)
    for _ in range(_PANELS):
        for i in range(_POINTS.size):
            d = at - width * _POINTS[i]
            z = score(d - mode, root, u, q, shift)
            total += width * _WEIGHTS[i] * relative_slope(sign * d, p, size) * both_tails(z)[1]
        at -= width
        if z < 0.0 and z * z - first * first > _REACH * _REACH:
            break
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def add_upper(  # noqa: C901, PLR0912, PLR0915, PLR0917 -- the inner loop over arms takes the time there is
    curves: NDArray[Any],
    control: int,
    sign: float,
    p: float,
    size: float,
    weight: float,
    best: NDArray[Any],
    loss: NDArray[Any],
    F: NDArray[Any],
    S: NDArray[Any],
    f: NDArray[Any],
) -> None:
    """Add weight times the integrals over net gains above 0, given theta_0, to best and loss (arm,)."""
    arms = curves.shape[0]
    begin, first = math.inf, math.inf
    all_worse = 1.0
    for a in range(arms):
        if a != control:
            mode, root, u, q, shift, breakeven = curves[a]
            own = sign * effect_of(sign * breakeven, p, size)
            z = score(own - mode, root, u, q, shift)
            all_worse *= below(z)
            first = min(first, z)
            low = mode - _REACH / root
            while low > own and score(low - mode, root, u, q, shift) > -_REACH:
                low -= 1.0 / root
            begin = min(begin, low - own)
    best[control] += weight * all_worse
    at = max(begin, 0.0)
    loss[control] += weight * sign * relative(sign * at, p, size)  # every treatment is better than that
    first = max(first, 0.0)
    for _ in range(_PANELS):
        # As wide as the narrowest law that this panel meets, and no farther than where the next one begins.
        width = math.inf if p < 0.0 else _WIDEST
        for a in range(arms):
            if a != control:
                mode, root, u, q, shift, breakeven = curves[a]
                own = sign * effect_of(sign * breakeven, p, size)
                z = score(at + own - mode, root, u, q, shift)
                ahead_by = mode - _REACH / root - own - at
                if z < -_REACH and ahead_by > 0.0:
                    width = min(width, ahead_by + 1e-3 / root)
                elif z < _REACH or z * z - first * first < _REACH * _REACH:
                    width = min(width, _WIDTH / root / (1.0 + 0.5 * first))
        if width == math.inf:
            break
        nearest = math.inf
        for i in range(_POINTS.size):
            x = at + width * _POINTS[i]
            part = weight * width * _WEIGHTS[i]
            slope = relative_slope(sign * x, p, size)
            rate = part * slope
            missing, whole = 0.0, 1.0
            nearest = math.inf
            for a in range(arms):
                if a != control:
                    mode, root, u, q, shift, breakeven = curves[a]
                    if breakeven == 0.0:
                        d = x - mode
                        steep = 1.0
                    else:
                        t = sign * relative(sign * x, p, size)
                        place = sign * effect_of(sign * (t + breakeven), p, size)
                        steep = slope / relative_slope(sign * place, p, size)
                        d = place - mode
                    z = score(d, root, u, q, shift)
                    nearest = min(nearest, z)
                    phi, F[a], S[a] = both_tails(z)
                    f[a] = phi * _score_slope(d, root, u, q) * steep
                    missing = missing + whole * S[a]
                    whole *= F[a]
            loss[control] += rate * missing
            ahead_missing, ahead = 0.0, 1.0
            for a in range(arms):
                if a != control:
                    after_missing, after = 0.0, 1.0
                    for b in range(a + 1, arms):
                        if b != control:
                            after_missing += after * S[b]
                            after *= F[b]
                    best[a] += part * f[a] * ahead * after
                    loss[a] += rate * F[a] * (ahead_missing + ahead * after_missing)
                    ahead_missing += ahead * S[a]
                    ahead *= F[a]
        at += width
        if nearest > 0.0 and nearest * nearest - first * first > _REACH * _REACH:
            break


@njit(cache=True, nogil=True, error_model="numpy")
def within_rope(  # noqa: C901, PLR0917 -- as above
    curves: NDArray[Any],
    control: int,
    sign: float,
    p: float,
    size: float,
    rope: float,
    F: NDArray[Any],
    f: NDArray[Any],
) -> float:
    """P(max g - min g <= rope) given theta_0, the control's gain of 0 among them.

    The highest is the control, prod (F_a(0) - F_a(-rope)), or arm k at t from 0 to rope,
    int f_k prod (F_a(t) - F_a(t - rope)).
    """
    arms = curves.shape[0]
    total = 1.0
    steepest = 0.0
    for a in range(arms):
        if a != control:
            mode, root, u, q, shift, breakeven = curves[a]
            high = score(sign * effect_of(sign * breakeven, p, size) - mode, root, u, q, shift)
            low = score(sign * effect_of(sign * (breakeven - rope), p, size) - mode, root, u, q, shift)
            total *= below(high) - below(low)
            steepest = max(steepest, root * abs(effect_of(rope, p, size)))
    panels = 1 + int(min(steepest, 1000.0) / _WIDTH)
    for panel in range(panels):
        for i in range(_POINTS.size):
            t = rope * (panel + _POINTS[i]) / panels
            part = rope / panels * _WEIGHTS[i]
            for a in range(arms):
                if a != control:
                    mode, root, u, q, shift, breakeven = curves[a]
                    high = sign * effect_of(sign * (t + breakeven), p, size)
                    low = sign * effect_of(sign * (t + breakeven - rope), p, size)
                    z = score(high - mode, root, u, q, shift)
                    F[a] = below(z) - below(score(low - mode, root, u, q, shift))
                    f[a] = density(z) * _score_slope(high - mode, root, u, q) / relative_slope(sign * high, p, size)
            for k in range(arms):
                if k != control:
                    product = part * f[k]
                    for a in range(arms):
                        if a not in (control, k):
                            product *= F[a]
                    total += product
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def add_moments(  # noqa: PLR0917 -- as above
    curve: NDArray[Any], sign: float, p: float, weight: float, lift: NDArray[Any], moments: NDArray[Any]
) -> None:
    """Add weight times E[r] and the first three moments of log(1 + r) of an effect given theta_0.

    At the three points of Gauss and Hermite's rule, the law taken as mean + sd (z + skewness (z^2 - 1) / 6).
    """
    mode, root, u, _, _, _ = curve
    sd = 1.0 / root
    skewness = -3.0 * sign * u * sd
    mean = sign * mode + 0.5 * sd * skewness
    for i in range(3):
        z = (i - 1) * _ROOT_THREE
        share = weight * (2.0 / 3.0 if i == 1 else 1.0 / 6.0)
        r = relative(mean + sd * (z + skewness * (z * z - 1.0) / 6.0), p, 1.0)
        log_ratio = math.log1p(r)
        lift[0] += share * r
        moments[0] += share * log_ratio
        moments[1] += share * log_ratio * log_ratio
        moments[2] += share * log_ratio * log_ratio * log_ratio
