"""Evidence from counts and amounts: a randomisation e-process that is exact for any outcome, heavy tails and all."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erfcx, log1p, log_ndtr, xlogy

from bayesuplift.errors import ArgumentError, is_finite_number
from bayesuplift.monitor.evidence.checks import (
    check_above_zero,
    check_control,
    check_sign,
    refuse_where,
    share_of_treatment,
    shares_of,
    statistics_of,
)

Array = NDArray[np.float64]

_MOST_ROUNDING = 1e-9  # of the squares, by which sums of floats may miss what no outcomes could give


def log_e_amounts(
    n: ArrayLike,
    total: ArrayLike,
    squares: ArrayLike,
    *,
    control: int,
    split: ArrayLike,
    centre: float,
    scale: float,
    sign: float = 1.0,
) -> Array:
    """Log e-values (..., arm) of benefit of every treatment against the control; 0 for the control.

    Where the treatment changes nothing, an outcome says nothing of its unit's arm: among units of the control and of arm
    a, X = w_0 for the treatment and -w_a for the control has mean 0 and variance w_0 w_a whatever the outcome, w_a =
    split_a / (split_a + split_0). With c a constant and s = t (y - c), exp(x - x^2 / 6) <= 1 + x + x^2 / 3 gives

        E exp(s X - s^2 X^2 / 6) <= 1 + s^2 w_0 w_a / 3 <= exp(s^2 w_0 w_a / 3),

    so that for every t a supermartingale is

        exp(t T - t^2 V / 2),    T = w_0 sum_a (y - c) - w_a sum_0 (y - c),
        V = (w_0^2 + 2 w_0 w_a) / 3 sum_a (y - c)^2 + (w_a^2 + 2 w_0 w_a) / 3 sum_0 (y - c)^2,

    and the evidence is its mean over a half-normal of t > 0 of scale rho:

        2 (1 + rho^2 V)^(-1/2) exp(z^2 / 2) Phi(z),    z = rho T / (1 + rho^2 V)^(1/2).

    P(ever >= 1 / alpha) <= alpha (Ville) for any number of looks, any law of outcomes and any change of it with time,
    without a burn-in. The mean of V is the variance of T, so that at a good centre nothing is paid for it.

    Notes
    -----
    The inequality: log(1 + x + x^2 / 3) - x + x^2 / 6 is 0 at 0, and has the derivative (x^3 / 9) / (1 + x + x^2 / 3).

    The null is a treatment that changes no unit's outcome. It may be worse, too: stochastically smaller outcomes (larger,
    for sign = -1) keep the mean of a factor at most 1. For, with g_j(s) the factor of a unit of arm j and s_a <= s_0: g_a
    rises to a maximum above 0 and falls, g_0 rises to one below 0 and falls. If s_a >= 0, g_0 falls from s_a to s_0; if
    s_a < 0, g_a rises from s_a to its maximum, or to s_0 if that is first, and g_0 falls from the maximum to s_0. Either
    way w_a g_a(s_a) + w_0 g_0(s_0) is at most what it is at one common s, and there at most 1.

    It is not a test of means: a treatment that keeps the mean and changes skewness, or at unequal shares the variance,
    does change outcomes, and may be found to.

    Parameters
    ----------
    n, total, squares
        Units, sum of y and sum of y^2 (..., arm), cumulative.
    control
        Position of the control.
    split
        Intended shares (arm,), by which units are dealt at random.
    centre
        c, declared beforehand: the mean expected. Being wrong costs power, never validity.
    scale
        rho: spread of the effects expected, in outcome units, divided by the outcome's variance; 1 / outcome unit. The
        growth is fastest at t = effect / variance.
    sign
        1 where higher is better, -1 where lower is. For evidence of harm, turn it.

    Raises
    ------
    ArgumentError
        Statistics that no outcomes have, or an argument out of its range.

    References
    ----------
    Delyon, B. (2009). Exponential inequalities for sums of weakly dependent variables. Electronic Journal of Probability
    14, 752-779: the inequality, for martingales.
    Howard, S. R., Ramdas, A., McAuliffe, J. and Sekhon, J. (2021). Time-uniform, nonparametric, nonasymptotic confidence
    sequences. Annals of Statistics 49, 1055-1080: the one-sided normal mixture.

    Examples
    --------
    >>> n, total, squares = [4000, 4000], [12000.0, 12800.0], [52000.0, 56960.0]
    >>> log_e = log_e_amounts(n, total, squares, control=0, split=[0.5, 0.5], centre=3.0, scale=0.05)
    >>> log_e.round(1).tolist()
    [0.0, 8.6]
    """
    n, total, squares = statistics_of(n=n, total=total, squares=squares)
    arms = n.shape[-1]
    check_control(control, arms)
    check_sign(sign)
    check_above_zero("scale", scale)
    if not is_finite_number(centre):
        raise ArgumentError(f"centre = {centre!r}; give a finite number in outcome units")
    refuse_where((n < 0) | (n != np.floor(n)), n, "n is not a whole number from 0")
    impossible = total * total > n * squares * (1.0 + _MOST_ROUNDING)
    refuse_where(impossible | (squares < 0), squares, "squares is below total^2 / n, which no outcomes give,")
    share = share_of_treatment(shares_of(split, arms), control)
    result = np.zeros(n.shape)
    deviation = sign * (total - centre * n)
    # rounding can leave a sum of squares that is 0 just below it
    spread = np.maximum(squares - 2.0 * centre * total + centre * centre * n, 0.0)
    for arm in range(arms):
        if arm != control:
            contrast = (1.0 - share[arm]) * deviation[..., arm] - share[arm] * deviation[..., control]
            of_treatment, of_control = variance_factors(share[arm])
            variance = of_treatment * spread[..., arm] + of_control * spread[..., control]
            grown = scale * scale * variance
            result[..., arm] = _log_doubled_gauss(scale * contrast / np.sqrt(1.0 + grown)) - 0.5 * log1p(grown)
    return result


def variance_factors(share: float) -> tuple[float, float]:
    """What (y - c)^2 of a unit of the treatment and of the control adds to V, for the treatment's share.

    >>> variance_factors(0.5)
    (0.25, 0.25)
    """
    other = 1.0 - share
    return other * (other + 2.0 * share) / 3.0, share * (share + 2.0 * other) / 3.0


def _log_doubled_gauss(z: Array) -> Array:
    """log(2 Phi(z)) + z^2 / 2, without cancellation where z is far below 0 or overflow where it is far above.

    From scipy's functions throughout: they go element by element, so that a number has the same bits in any array.
    """
    below = np.minimum(z, 0.0)
    above = np.maximum(z, 0.0)
    left = xlogy(1.0, erfcx(-below / np.sqrt(2.0)))
    right = log_ndtr(above) - log_ndtr(0.0) + 0.5 * above * above
    return np.where(z <= 0.0, left, right)
