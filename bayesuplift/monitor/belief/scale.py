"""Relative effects and effects on the link scale: one formula for all kinds of outcome.

With p the control's rate where outcomes are binary and 0 where they are counts or amounts, and x = e^effect - 1,

    r = (1 - p) x / (1 + p x),        effect = log(1 + r / (1 - p (1 + r))).

Of continuous outcomes r = effect / abs(baseline); p = -1 says so to the kernels.
"""

import math
from typing import Final

from numba import njit

LINEAR: Final = -1.0
FARTHEST: Final = 50.0
"""An effect beyond every effect on a log scale: where no effect has the relative effect asked for."""


@njit(cache=True, nogil=True, error_model="numpy")
def relative(effect: float, p: float, size: float) -> float:
    """Relative effect of an effect on the link scale."""
    if p < 0.0:
        return effect / size
    x = math.expm1(effect)
    rest = 1.0 + p * x
    return (1.0 - p) * x / rest if rest > 0.0 else -1.0  # 0 where p rounds to 1 and the effect is far below


@njit(cache=True, nogil=True, error_model="numpy")
def relative_slope(effect: float, p: float, size: float) -> float:
    """Derivative of `relative` in the effect."""
    if p < 0.0:
        return 1.0 / size
    e = math.exp(effect)
    rest = 1.0 + p * (e - 1.0)
    return (1.0 - p) * e / (rest * rest) if rest > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def effect_of(r: float, p: float, size: float) -> float:
    """Effect on the link scale of a relative effect; `FARTHEST` where a mean would leave its range."""
    if p < 0.0:
        return r * size
    if r == 0.0:  # also where p rounds to 1
        return 0.0
    if r <= -1.0:
        return -FARTHEST
    rest = 1.0 - p * (1.0 + r)
    if rest <= 0.0:
        return FARTHEST
    return min(max(math.log1p(r / rest), -FARTHEST), FARTHEST)
