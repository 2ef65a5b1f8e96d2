"""Sums of outcomes, and of their squares, of many units at once, where no closed form gives both: counts and amounts."""

import math
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri

Values = NDArray[np.float64]

_NOTHING_LEFT: Final = 1e-12  # P(a count is higher) from which all units left have the present count
_BELOW_IN_SDS: Final = 8.0  # a count this far below its mean has a probability under 1e-14 (Chernoff), and is left out
_FEWEST_APART: Final = 64.0  # buyers of a cell whose amounts are drawn one by one in any case
_RUNGS: Final = 16  # shares 4^-1 ... 4^-16: enough for 64 * 4^16 = 3e11 buyers a cell


@njit(cache=True, nogil=True)
def count_sums(  # noqa: PLR0917 -- numba takes positional arguments only
    generator: np.random.Generator,
    n: NDArray[np.int64],
    mean: Values,
    size: float,
    total: Values,
    squares: Values,
) -> None:
    """Fill total[i] and squares[i]: sums over n[i] counts of mean mean[i], exactly distributed.

    Parameters
    ----------
    generator
        NumPy's generator.
    n
        (cell,) units.
    mean
        (cell,) expected counts, above 0.
    size
        Size of the negative binomial: the variance is mean + mean^2 / size; infinite: Poisson.
    total, squares
        (cell,), filled.

    Notes
    -----
    The number of units with the count 0, 1, 2, ... is multinomial: each in turn is binomial among the units left.
    """
    for i in range(n.size):
        mu = mean[i]
        k = max(0.0, math.floor(mu - _BELOW_IN_SDS * math.sqrt(mu + mu * mu / size)))
        log_prob = k * math.log(mu) - mu - math.lgamma(k + 1.0)
        step = mu
        if size < np.inf:
            step = mu / (size + mu)
            log_prob = math.lgamma(k + size) - math.lgamma(size) - math.lgamma(k + 1.0)
            log_prob += size * math.log(size / (size + mu)) + k * math.log(step)
        prob, above = math.exp(log_prob), 1.0
        rest, sum_, sum_of_squares = n[i], 0.0, 0.0
        while rest > 0:
            here = rest
            if above > _NOTHING_LEFT and prob < above:
                here = generator.binomial(rest, prob / above)
            sum_ += k * here
            sum_of_squares += k * k * here
            rest -= here
            above -= prob
            prob *= step * (k + size) / (k + 1.0) if size < np.inf else step / (k + 1.0)
            k += 1.0
        total[i] = sum_
        squares[i] = sum_of_squares


@njit(cache=True, nogil=True)
def amount_sums(  # noqa: PLR0917 -- numba takes positional arguments only
    generator: np.random.Generator,
    buyers: NDArray[np.int64],
    spread: float,
    ladder: Values,
    total: Values,
    squares: Values,
) -> None:
    """Fill total[i] and squares[i]: sums over buyers[i] log-normal amounts of mean 1.

    Parameters
    ----------
    generator
        NumPy's generator.
    buyers
        (cell,) units with an amount.
    spread
        Standard deviation of an amount's logarithm.
    ladder
        Rows of `ladder_of`.
    total, squares
        (cell,), filled.

    Notes
    -----
    Up to 256 amounts of a cell are drawn one by one: exact. Of more, the highest are: a share of 4^-1, 4^-2, ..., the
    smallest that is still expected to hold 64; the sums of those below it, which are bounded, are drawn from the normal
    distribution of the same means, variances and covariance.
    """
    half = 0.5 * spread * spread
    for i in range(buyers.size):
        apart, sum_, sum_of_squares = buyers[i], 0.0, 0.0
        rung = -1
        while rung + 1 < ladder.shape[0] and buyers[i] * ladder[rung + 1, 0] > _FEWEST_APART:
            rung += 1
        if rung >= 0:
            share, cut, mean, mean_square, root, across, rest = ladder[rung]
            apart = generator.binomial(buyers[i], share)
            below = buyers[i] - apart
            first, second = generator.standard_normal(), generator.standard_normal()
            sum_ = below * mean + math.sqrt(below) * root * first
            sum_of_squares = below * mean_square + math.sqrt(below) * (across * first + rest * second)
        for _ in range(apart):
            z = generator.standard_normal() if rung < 0 else _above(generator, cut)
            amount = math.exp(spread * z - half)
            sum_ += amount
            sum_of_squares += amount * amount
        total[i] = sum_
        squares[i] = sum_of_squares


@njit(cache=True, nogil=True)
def _above(generator: np.random.Generator, cut: float) -> float:
    """A standard normal value above a cut above 0. Robert (1995), Statistics and Computing 5, 121-125, proposition 2.3."""
    rate = 0.5 * (cut + math.sqrt(cut * cut + 4.0))
    while True:
        z = cut + generator.standard_exponential() / rate
        if generator.random() <= math.exp(-0.5 * (z - rate) ** 2):
            return z


def ladder_of(spread: float) -> Values:
    """Shares of the highest amounts, and moments of the others: what `amount_sums` takes.

    Returns
    -------
    NDArray
        (rung, 7): the share, the standard normal value that it lies above, and of an amount x of mean 1 below it the
        mean, the mean of x^2, and the lower triangle of the root of the covariance of (x, x^2).

    Notes
    -----
    For x = exp(s z - s^2 / 2): E[x^k | z < c] = exp(k (k - 1) s^2 / 2) Phi(c - k s) / Phi(c).
    """
    shares = 0.25 ** np.arange(1, _RUNGS + 1)
    cuts = -ndtri(shares)
    k = np.arange(1, 5)
    log_moments = 0.5 * k * (k - 1) * spread**2 + log_ndtr(cuts[:, None] - k * spread) - log_ndtr(cuts)[:, None]
    first, second, third, fourth = np.exp(log_moments).T
    root = np.sqrt(first**2 * np.expm1(log_moments[:, 1] - 2.0 * log_moments[:, 0]))
    across = (third - first * second) / root
    # Of amounts that hardly vary, x^2 follows from x, and rounding may leave less than nothing.
    rest = np.sqrt(np.maximum(fourth - second**2 - across**2, 0.0))
    return np.stack([shares, cuts, first, second, root, across, rest], axis=1)
