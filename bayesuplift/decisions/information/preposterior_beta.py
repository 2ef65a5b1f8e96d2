"""What a further test, or knowing everything, is worth where rates have independent Beta posteriors: sums and integrals.

With T_a = value m_a - cost_a, m_a the mean of arm a's rate after the test, and b the arm that is best now,

    E[max_a T_a] - E[T_b] = int P(T_b <= t) (1 - prod_{a != b} P(T_a <= t)) dt,

whose terms are all positive: a value of information that is tiny keeps its relative accuracy. Arms' units are others, so
that the T_a are independent. After the test m_a = (alpha + y) / (alpha + beta + n) with y beta-binomial, and the integrand
is a step function; under perfect information m_a is the rate itself.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betainccinv, betaincinv, betaln, gammaln

Values = NDArray[np.float64]

_LEAST_MASS: Final = 1e-18  # of a tail, below which nothing is summed
_SDS: Final = 10.0  # of a binomial count; with as much again for counts of a few, beyond which less than that mass lies
_MOST_STEPS: Final = 2**18  # over all arms; more counts than that are summed in groups
_LEVELS: Final = np.array([1e-18, 1e-14, 1e-11, 1e-8, 1e-6, 1e-4, 1e-3, 0.01, 0.04, 0.1, 0.2, 0.35, 0.5])
_NODES: Final = 24  # of a panel between two levels of one arm; the levels of others cut panels, which then need fewer
_FEWEST_NODES: Final = 6


def after_test(alpha: Values, beta: Values, units: NDArray[np.int64], value: float, cost: Values) -> float:
    """Value of a test with these units before one arm is chosen for everybody, money per unit.

    Parameters
    ----------
    alpha, beta
        Of every arm's Beta posterior (arm,).
    units
        Of every arm in the test (arm,); 0 leaves an arm out.
    value
        Money per unit of outcome.
    cost
        Of a unit under each arm (arm,), money.

    Returns
    -------
    float
        Exact to rounding where arms have up to 2^18 counts between them that could be seen; beyond, neighbouring counts are
        taken together, with a relative error of 1e-6 or less.
    """
    best = int((value * alpha / (alpha + beta) - cost).argmax())
    steps = []
    for a, b, n, c in zip(alpha, beta, units, cost, strict=True):
        rate, mass = _steps(a, b, int(n), _MOST_STEPS // len(cost))
        order = slice(None) if value > 0 else slice(None, None, -1)
        steps.append(((value * rate - c)[order], mass[order]))
    at = np.unique(np.concatenate([points for points, _ in steps]))
    log_all = np.zeros(len(at))
    for arm, (points, mass) in enumerate(steps):
        if arm != best:
            log_all += _log_below(points, mass, at)
    others_above = -np.expm1(log_all)
    points, mass = steps[best]
    below = np.exp(_log_below(points, mass, at))
    return float((below[:-1] * others_above[:-1] * np.diff(at)).sum())


def perfect(alpha: Values, beta: Values, value: float, cost: Values) -> tuple[float, float]:
    """Value of knowing every rate before one arm is chosen, money per unit; and P(the arm that is best now is not).

    Parameters
    ----------
    alpha, beta, value, cost
        As in `after_test`.

    Returns
    -------
    tuple
        The value with a relative error of 1e-10 or less; the probability with an error of 1e-6 or less.
    """
    best = int((value * alpha / (alpha + beta) - cost).argmax())
    levels = np.concatenate([betaincinv(alpha, beta, _LEVELS[:, None]), betainccinv(alpha, beta, _LEVELS[:, None])])
    edges = np.unique(np.concatenate([(value * levels - cost).ravel(), value * np.array([[0.0], [1.0]]) - cost], None))
    nodes, weights = np.polynomial.legendre.leggauss(max(2 * _NODES // len(cost), _FEWEST_NODES))
    half = np.diff(edges)[:, None] / 2.0
    at = edges[:-1, None] + half * (1.0 + nodes)
    log_all, below = np.zeros(at.shape), np.zeros(at.shape)
    for arm in range(len(cost)):
        rate = np.clip((at + cost[arm]) / value, 0.0, 1.0)
        low, high = betainc(alpha[arm], beta[arm], rate), betaincc(alpha[arm], beta[arm], rate)
        low, high = (low, high) if value > 0 else (high, low)
        if arm == best:
            below, chosen = low, rate
        else:
            log_all += _log(low, high)
    others_above = -np.expm1(log_all)
    possible = (chosen > 0.0) & (chosen < 1.0)
    inside = np.where(possible, chosen, 0.5)
    log_density = (alpha[best] - 1.0) * np.log(inside) + (beta[best] - 1.0) * np.log1p(-inside)
    density = np.where(possible, np.exp(log_density - betaln(alpha[best], beta[best])), 0.0) / abs(value)
    every = half * weights * others_above
    return float((every * below).sum()), float((every * density).sum())


def _steps(alpha: float, beta: float, units: int, most: int) -> tuple[Values, Values]:
    """Means of a rate that the test may lead to, ascending, and their probabilities."""
    low, high = betaincinv(alpha, beta, _LEAST_MASS), betainccinv(alpha, beta, _LEAST_MASS)
    room = _SDS * np.sqrt(units * np.array([low * (1.0 - low), high * (1.0 - high)])) + _SDS**2 / 2.0
    first, last = max(np.floor(units * low - room[0]), 0.0), min(np.ceil(units * high + room[1]), float(units))
    group = max(int(np.ceil((last - first + 1.0) / most)), 1)
    count = np.arange(first, last + 1.0, group) + (group - 1) / 2.0
    count = np.minimum(count, float(units))  # the last group may be a part of one
    log_mass = (
        betaln(alpha + count, beta + units - count) - gammaln(count + 1.0) - gammaln(units - count + 1.0)
    )  # up to a constant
    mass = np.exp(log_mass - log_mass.max())
    return (alpha + count) / (alpha + beta + units), mass / mass.sum()


def _log_below(points: Values, mass: Values, at: Values) -> Values:
    """Log P(T <= t) at every t, of a step function."""
    reached = np.searchsorted(points, at, side="right")
    below = np.concatenate([[0.0], np.cumsum(mass)])
    above = np.concatenate([np.cumsum(mass[::-1])[::-1], [0.0]])
    return _log(below, above)[reached]


def _log(below: Values, above: Values) -> Values:
    """Log of a probability from itself and its complement, from whichever is the smaller."""
    with np.errstate(divide="ignore"):
        return np.where(below < above, np.log(below), np.log1p(-np.minimum(above, 0.5)))
