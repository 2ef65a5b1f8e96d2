"""Sums of log-normal amounts for the number of buyers that were seen: as a posterior predicts them, or given the logs."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

_TOPS: Final = 200
_ROOM: Final = 6.0  # standard deviations of their number
_NUMBERS: Final = 10_000_000  # dealt at most for all sums together
_FEWEST: Final = 2000
_MOST: Final = 10_000
_ONE_BY_ONE: Final = 500  # amounts, given their logarithms
_NODES: Final = 200
_LOWEST: Final = 9.0  # standard deviations below the mean
_ROUNDING: Final = 1e-9  # of an observed sum


@dataclass(frozen=True)
class Sums:
    """Replicated sums: what was dealt, plus a normal rest.

    Parameters
    ----------
    dealt
        Sums of the largest amounts (replication, arm), or of all where there are few.
    rest_mean, rest_sd
        Mean and standard deviation of the sum of the others (replication, arm).
    """

    dealt: Array
    rest_mean: Array
    rest_sd: Array

    def tails(self, weights: Array, observed: float) -> tuple[float, float]:
        """P(weighted sum over arms < observed) and P(> observed), averaged over replications."""
        gap = observed - (self.dealt + self.rest_mean) @ weights
        # one amount, or two, are what their logarithms say, up to rounding
        gap = np.where(np.abs(gap) <= _ROUNDING * np.abs(self.dealt + self.rest_mean) @ np.abs(weights), 0.0, gap)
        sd = np.sqrt(self.rest_sd**2 @ weights**2)
        place = np.where(sd > 0, gap / np.where(sd > 0, sd, 1.0), np.where(gap == 0, 0.0, np.copysign(np.inf, gap)))
        return float(ndtr(place).mean()), float(ndtr(-place).mean())


def replicated_sums(k: NDArray[np.int64], log_mean: Array, log_sd: Array, generator: np.random.Generator) -> Sums:
    """Replicate the sum of each arm's amounts.

    Up to 200 amounts are dealt one by one. Of more, those beyond the quantile that 200 are expected to pass are dealt; the
    others are bounded, and their sum is normal with their exact truncated mean and variance. So a sum of millions costs
    what one of 200 does, and its long tail is kept.

    Parameters
    ----------
    k
        Number of amounts (segment, arm).
    log_mean, log_sd
        Draws (sample, segment, arm).
    generator
        Where the amounts come from.
    """
    replications = _replications(k, _TOPS)
    draw = np.arange(replications) % len(log_mean)
    dealt, rest_mean, rest_variance = np.zeros((3, replications, k.shape[1]))
    for segment, arm in np.argwhere(k > 0):
        count = int(k[segment, arm])
        mu, sd = (part[draw, segment, arm] for part in (log_mean, log_sd))
        if count <= _TOPS:
            dealt[:, arm] += _summed(generator.standard_normal((replications, count)), mu, sd)
            continue
        share = _TOPS / count
        passing = generator.binomial(count, share, replications)
        most = int(passing.max())
        z = -ndtri(share * (1.0 - generator.random((replications, most))))
        dealt[:, arm] += _summed(np.where(np.arange(most) < passing[:, None], z, -np.inf), mu, sd)
        cut, others = -ndtri(share), count - passing
        mean = np.exp(mu + sd**2 / 2.0) * ndtr(cut - sd) / (1.0 - share)
        square = np.exp(2.0 * mu + 2.0 * sd**2) * ndtr(cut - 2.0 * sd) / (1.0 - share)
        rest_mean[:, arm] += others * mean
        rest_variance[:, arm] += others * np.maximum(square - mean**2, 0.0)
    return Sums(dealt, rest_mean, np.sqrt(rest_variance))


def conditional_sums(k: NDArray[np.int64], total_log: Array, squares: Array, generator: np.random.Generator) -> Sums:
    """Replicate the sum of each arm's amounts among log-normal samples whose logarithms have the observed mean and spread.

    Mean and spread of the logarithms are sufficient, so that no parameter is left: the standardized logarithms of a sample
    are those of any normal sample.

    Parameters
    ----------
    k
        Number of amounts (segment, arm).
    total_log, squares
        Sum of their logarithms, and squared deviations from their mean (segment, arm).
    generator
        Where the samples come from.

    Notes
    -----
    Up to 500 amounts are dealt one by one and standardized. Of more, a sum departs from k exp(mean + s^2 / 2) by what
    exp(s z) keeps when its regression on z and z^2 is taken away, up to terms of the order of 1 / sqrt(k) of that; of
    the remainders the largest are dealt, and the rest are normal, as in `replicated_sums`.
    """
    replications = _replications(k, _ONE_BY_ONE)
    dealt, rest_mean, rest_variance = np.zeros((3, replications, k.shape[1]))
    for segment, arm in np.argwhere(k > 0):
        count = int(k[segment, arm])
        median, s = np.exp(total_log[segment, arm] / count), float(np.sqrt(squares[segment, arm] / count))
        if count <= _ONE_BY_ONE:
            dealt[:, arm] += median * np.exp(s * _standardized(generator, replications, count)).sum(axis=1)
            continue
        share = _TOPS / count
        passing = generator.binomial(count, share, replications)
        most = int(passing.max())
        z = -ndtri(share * (1.0 - generator.random((replications, most))))
        kept = np.where(np.arange(most) < passing[:, None], _remainder(z, s), 0.0)
        dealt[:, arm] += median * (kept.sum(axis=1) + count * np.exp(s**2 / 2.0))
        nodes, weights = _below(-ndtri(share))
        values, others = _remainder(nodes, s), count - passing
        mean = float(weights @ values)
        rest_mean[:, arm] += others * median * mean
        rest_variance[:, arm] += others * median**2 * float(weights @ (values - mean) ** 2)
    return Sums(dealt, rest_mean, np.sqrt(rest_variance))


def _replications(k: NDArray[np.int64], one_by_one: int) -> int:
    """As many as may be dealt, more for few amounts."""
    each = int(np.minimum(k, max(one_by_one, _TOPS + _ROOM * np.sqrt(_TOPS))).sum())
    return int(np.clip(_NUMBERS // max(each, 1), _FEWEST, _MOST))


def _standardized(generator: np.random.Generator, replications: int, count: int) -> Array:
    """Normal samples (replication, count), each with mean 0 and mean square 1; one value is 0."""
    z = generator.standard_normal((replications, count))
    z -= z.mean(axis=1, keepdims=True)
    size = np.sqrt((z**2).mean(axis=1, keepdims=True))
    found: Array = z / np.where(size > 0, size, 1.0)
    return found


def _remainder(z: Array, s: float) -> Array:
    """exp(s z) less its regression on 1, z and z^2: the first three terms of its Hermite expansion."""
    found: Array = np.exp(s * z) - np.exp(s**2 / 2.0) * (1.0 + s * z + s**2 / 2.0 * (z**2 - 1.0))
    return found


def _below(cut: float) -> tuple[Array, Array]:
    """Nodes and weights for the mean over a standard normal below a cut."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = (cut + _LOWEST) / 2.0
    z = half * (nodes + 1.0) - _LOWEST
    density = weights * np.exp(-(z**2) / 2.0)
    return z, density / density.sum()


def _summed(z: Array, mu: Array, sd: Array) -> Array:
    total: Array = np.exp(mu[:, None] + sd[:, None] * z).sum(axis=1)
    return total
