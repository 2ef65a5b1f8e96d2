"""Tails of the normal distribution that keep their digits, and quantiles of mixtures that are nearly normal."""

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import erfcx

ROOT_TWO_PI: Final = math.sqrt(2.0 * math.pi)
_ROOT_HALF: Final = math.sqrt(0.5)
_HALF_LOG_TWO_PI: Final = 0.5 * math.log(2.0 * math.pi)
_SERIES_BELOW: Final = -30.0  # where five terms of the series are right to 1e-12, and erfc has not yet underflowed
_STRAIGHT_BELOW: Final = 1e-4  # an sd on the log scale below which e^x - 1 - x - x^2/2 is nothing
_ENOUGH: Final = 1e-13
_EATEN: Final = 1e-9  # of the second moment: a smaller variance has no third moment left
_BEND: Final = 3.0  # where the series of `both_tails` is finest
_DEGREE: Final = 18


@njit(cache=True, nogil=True, error_model="numpy")
def below(z: float) -> float:
    """Phi(z)."""
    return 0.5 * math.erfc(-_ROOT_HALF * z)


@njit(cache=True, nogil=True, error_model="numpy")
def density(z: float) -> float:
    """phi(z)."""
    return math.exp(-0.5 * z * z) / ROOT_TWO_PI


def _mills_series() -> NDArray[np.float64]:
    """Coefficients of (z + bend) (1 - Phi(z)) / phi(z) as a polynomial in (z - bend) / (z + bend), for z >= 0."""
    angle = np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1)
    s = np.cos(angle)
    z = _BEND * (1.0 + s) / (1.0 - s)
    values = (z + _BEND) * math.sqrt(0.5 * math.pi) * erfcx(math.sqrt(0.5) * z)
    series = np.polynomial.chebyshev.chebfit(s, values, _DEGREE)
    return np.asarray(np.polynomial.chebyshev.cheb2poly(series), dtype=np.float64)


_MILLS: Final = _mills_series()


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def both_tails(z: float) -> tuple[float, float, float]:
    """phi(z), Phi(z) and 1 - Phi(z), the smaller tail right to 1e-11 of itself: one exponential, half the time of erfc."""
    at = abs(z)
    f = math.exp(-0.5 * z * z) / ROOT_TWO_PI
    near = 1.0 / (at + _BEND)
    s = (at - _BEND) * near
    mills = _MILLS[_DEGREE]
    for i in range(_DEGREE - 1, -1, -1):
        mills = mills * s + _MILLS[i]
    tail = f * mills * near
    if z > 0.0:
        return f, 1.0 - tail, tail
    return f, tail, 1.0 - tail


@njit(cache=True, nogil=True, error_model="numpy")
def log_below(z: float) -> float:
    """Logarithm of Phi(z), however far z lies in the tail."""
    if z > _SERIES_BELOW:
        return math.log(0.5 * math.erfc(-_ROOT_HALF * z))
    t = 1.0 / (z * z)
    return (
        -0.5 * z * z
        - math.log(-z)
        - _HALF_LOG_TWO_PI
        + math.log1p(-t * (1.0 - 3.0 * t * (1.0 - 5.0 * t * (1.0 - 7.0 * t))))
    )


@njit(cache=True, nogil=True, error_model="numpy")
def log_sum(a: float, b: float) -> float:
    """Logarithm of e^a + e^b, also where one or both are -inf."""
    high, low = max(a, b), min(a, b)
    if low == -math.inf:
        return high
    return high + math.log1p(math.exp(low - high))


@njit(cache=True, nogil=True, error_model="numpy")
def excess(z: float) -> float:
    """E[max(X, 0)] of X ~ Normal(z, 1): phi(z) + z Phi(z)."""
    return density(z) + z * below(z)


@njit(cache=True, nogil=True, error_model="numpy")
def log_excess(z: float, s: float, upper: bool) -> float:
    """E[max(e^X - 1, 0)] of X ~ Normal(s z, s^2), or of its other side E[max(1 - e^X, 0)].

    e^(s z + s^2/2) Phi(z + s) - Phi(z), and Phi(-z) - e^(s z + s^2/2) Phi(-z - s). For a narrow X both terms are nearly
    equal, and E[max(X, 0)] + E[X^2; X > 0] / 2 is right to s^3.
    """
    if s < _STRAIGHT_BELOW:
        side = z if upper else -z
        half_square = 0.5 * s * s * ((1.0 + z * z) * below(side) + side * density(z))
        return s * excess(side) + (half_square if upper else -half_square)
    if upper:
        return max(math.exp(s * z + 0.5 * s * s + log_below(z + s)) - below(z), 0.0)
    return max(below(-z) - math.exp(s * z + 0.5 * s * s + log_below(-z - s)), 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _score(x: float, mean: float, sd: float, skewness: float) -> float:
    """Find z at which mean + sd (z + skewness (z^2 - 1) / 6) is x; at the end of that curve, its end."""
    y = (x - mean) / sd
    if abs(skewness) < 1e-9:  # noqa: PLR2004 -- a straight line
        return y
    third = skewness / 3.0
    return (math.sqrt(max(1.0 + 2.0 * third * (y + 0.5 * third), 0.0)) - 1.0) / third


@njit(cache=True, nogil=True, error_model="numpy")
def mixture_quantile(  # noqa: PLR0917 -- numba takes positional arguments
    weights: NDArray[Any], means: NDArray[Any], sds: NDArray[Any], skewness: NDArray[Any], prob: float, z: float
) -> float:
    """Quantile of a mixture of nearly normal laws, each with its skewness; z is the normal's own quantile."""
    low, high = math.inf, -math.inf
    for c in range(weights.size):
        if weights[c] > 0.0:
            own = means[c] + sds[c] * (z + skewness[c] * (z * z - 1.0) / 6.0)
            low, high = min(low, own), max(high, own)
    # The quantile of a mixture lies between its components' quantiles.
    x, width = 0.5 * (low + high), high - low
    for _ in range(200):
        if high - low <= _ENOUGH * (abs(low) + abs(high)) or width <= 0.0:
            break
        reached, steep = -prob, 0.0
        for c in range(weights.size):
            if weights[c] > 0.0:
                y = _score(x, means[c], sds[c], skewness[c])
                reached += weights[c] * below(y)
                steep += weights[c] * density(y) / (sds[c] * (1.0 + skewness[c] * y / 3.0))
        if reached < 0.0:
            low = x
        else:
            high = x
        step = x - reached / steep if steep > 0.0 else low - 1.0
        x_next = step if low < step < high else 0.5 * (low + high)
        if abs(x_next - x) <= _ENOUGH * width:
            x = x_next
            break
        x = x_next
    return x


@njit(cache=True, nogil=True, error_model="numpy")
def of_moments(first: float, second: float, third: float) -> tuple[float, float, float]:
    """Mean, sd and skewness of three moments about 0; where rounding has eaten the variance, a narrow normal."""
    variance = second - first * first
    if variance <= _EATEN * second:
        return first, math.sqrt(_EATEN * second), 0.0
    return first, math.sqrt(variance), (third - 3.0 * first * variance - first * first * first) / variance**1.5


def points_of_a_panel() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights on [0, 1] of the rule that every panel of an integral uses."""
    points, weights = np.polynomial.legendre.leggauss(6)
    return 0.5 * (points + 1.0), 0.5 * weights
