"""Sufficient statistics as likelihoods y theta - n A(theta) of every arm's mean, whatever the outcome.

Under a law of effects

- binary outcomes are binomial. Half a conversion and half a unit without one are added in all, dealt to the arms in
  proportion to their units: the Jeffreys prior of a common rate, without which a baseline without conversions would have
  no posterior;
- counts and amounts are taken as phi times Poisson, phi the ratio of variance to mean: y = total / phi, n = units / phi.
  With many sales this is Normal(log mean, s^2 / (n mean^2)), the delta method; unlike it, it is right with few, and says
  what an arm without a sale tells: it sold nothing to n units. An arm's phi is its own, joined with ten outcomes of the
  arms' common phi; half an outcome is added in all, as above;
- continuous outcomes are Normal(mean, s^2 / n), s^2 with n - 1.

Under a flat prior counts and amounts are Normal(log mean, s^2 / (n mean^2)); an arm whose total is still 0 among others
that have sold is expanded about the mean of all arms instead: Normal(log(all) - 1, phi / (n all)).

An arm of fewer than two units or of no spread (continuous), or of no unit, has no information: precision 0.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.monitor.belief.family import BINARY, COUNTS, NORMAL

Array = NDArray[np.float64]

_PSEUDO: Final = 0.5
_WORTH: Final = 10.0  # outcomes that the common phi counts for in an arm's own
_ROUNDING: Final = 1e-13  # sum of squared deviations, relative to that of squares, that float64 cannot tell from 0


def likelihood(kind: str, n: Array, total: Array, squares: Array, *, flat: bool) -> tuple[int, Array, Array]:
    """Family, y and n of rows (row, arm) of sufficient statistics."""
    units = n.sum(axis=1, keepdims=True)
    share = np.divide(n, units, out=np.zeros_like(n), where=units > 0.0)
    share[units[:, 0] == 0.0, 0] = 1.0
    if kind == "binary":
        return BINARY, total + _PSEUDO * share, n + share
    deviations = squares - np.divide(total * total, n, out=np.zeros_like(n), where=n > 0.0)
    deviations[deviations < _ROUNDING * squares] = 0.0
    if kind == "continuous":
        precision = _over(n * (n - 1.0), deviations)
        centre = _over(total.sum(axis=1, keepdims=True), units)
        return NORMAL, precision * (_over(total, n) - centre), precision
    phi = _dispersion(total, squares, deviations)
    if flat:
        return NORMAL, *_log_means(n, total, deviations, phi)
    own = (deviations + _WORTH * phi * phi) / (total + _WORTH * phi)
    without_units = (units == 0.0) & (share > 0.0)  # so that the baseline has a posterior: one unit, half an outcome
    return COUNTS, total / own + _PSEUDO * share, np.where(without_units, 1.0, n / own)


def _over(numerator: Array, denominator: Array) -> Array:
    """The quotient; 0 where the denominator is 0, which is what no information has for precision."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.zeros(shape), where=denominator > 0.0)


def _dispersion(total: Array, squares: Array, deviations: Array) -> Array:
    """Dispersion phi (row, 1) of all arms together; about 0 where the outcomes do not differ, and 1 where there is none."""
    whole = total.sum(axis=1, keepdims=True)
    spread = deviations.sum(axis=1, keepdims=True)
    spread = np.where(spread > 0.0, spread, squares.sum(axis=1, keepdims=True))
    return np.where(whole > 0.0, _over(spread, whole), 1.0)


def _log_means(n: Array, total: Array, deviations: Array, phi: Array) -> tuple[Array, Array]:
    """Log means, less that of all arms, as precision times mean and precision; all 0 where nothing was sold."""
    common = _over(total.sum(axis=1, keepdims=True), n.sum(axis=1, keepdims=True))
    sold = total > 0.0
    mean = _over(total, n)
    precision = np.where(sold, _over(mean * mean * n * (n - 1.0), deviations), n * common / phi)
    log_ratio = np.log(np.where(sold, mean, 1.0)) - np.log(np.where(sold, common, np.e))
    return precision * log_ratio, precision
