"""Log likelihoods y theta - n A(theta) of an arm's mean, and the Newton steps that find their modes under a law.

Families: 0 normal, A = theta^2 / 2 (n is the precision, y the precision times the mean); 1 counts, A = e^theta;
2 binary, A = log(1 + e^theta). Joined are theta_0 of the control, flat, and effects e_a ~ Normal(m, 1/tau).
"""

import math
from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

NORMAL: Final = 0
COUNTS: Final = 1
BINARY: Final = 2

_LONGEST_STEP: Final = 1.0  # on a log scale: from far below the mode, Newton's own step of e^theta overshoots
_STEPS: Final = 200
_NEAR: Final = 1e-10  # squared step in standard deviations


@njit(cache=True, nogil=True, error_model="numpy")
def partition(family: int, theta: float) -> tuple[float, float, float, float, float]:
    """A(theta) and its first four derivatives."""
    if family == NORMAL:
        return 0.5 * theta * theta, theta, 1.0, 0.0, 0.0
    if family == COUNTS:
        e = math.exp(theta)
        return e, e, e, e, e
    e = math.exp(-abs(theta))
    small = e / (1.0 + e)
    p = 1.0 - small if theta > 0.0 else small
    v = small * (1.0 - small)
    return max(theta, 0.0) + math.log1p(e), p, v, v * (1.0 - 2.0 * p), v * (1.0 - 6.0 * v)


@njit(cache=True, nogil=True, error_model="numpy")
def joint_mode(  # noqa: C901, PLR0917 -- numba takes positional arguments; one loop over the arms twice
    family: int, y: NDArray[Any], n: NDArray[Any], control: int, m: float, tau: float, start: float, mode: NDArray[Any]
) -> tuple[float, float]:
    """Mode of theta_0, and its precision with the effects integrated out; fills mode[a] with the effects'.

    Newton on the arrow: the Hessian couples each effect with theta_0 only, so that a step costs as much as K divisions.
    """
    theta = start
    for a in range(y.size):
        mode[a] = m if tau > 0.0 else 0.0
    slope, steep = y.copy(), y.copy()
    precision = 0.0
    for _ in range(_STEPS):
        _, first, second, _, _ = partition(family, theta)
        gradient = y[control] - n[control] * first
        precision = n[control] * second
        for a in range(y.size):
            if a != control:
                _, first, second, _, _ = partition(family, theta + mode[a])
                own = y[a] - n[a] * first
                slope[a] = own - tau * (mode[a] - m)
                steep[a] = n[a] * second
                whole = steep[a] + tau
                if whole > 0.0:
                    gradient += own - steep[a] * slope[a] / whole
                    precision += steep[a] * tau / whole
        step = gradient / precision if precision > 0.0 else 0.0
        if family != NORMAL:
            step = min(max(step, -_LONGEST_STEP), _LONGEST_STEP)
        theta += step
        far = step * step * precision
        for a in range(y.size):
            whole = steep[a] + tau
            if a != control and whole > 0.0:
                own_step = (slope[a] - steep[a] * step) / whole
                if family != NORMAL:
                    own_step = min(max(own_step, -_LONGEST_STEP), _LONGEST_STEP)
                mode[a] += own_step
                far = max(far, own_step * own_step * whole)
        if far < _NEAR or family == NORMAL:
            break
    return theta, precision
