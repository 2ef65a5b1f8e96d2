"""Independent draws of rates from a population: its mean and spread with the rates integrated out, then the rates."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.cells import Cells
from bayesuplift.inference import two_dimensional
from bayesuplift.inference.rising import log_rising
from bayesuplift.priors import ExchangeableRatesPrior

Array = NDArray[np.float64]

_LEAST_SPREAD: Final = 1e-7  # of the largest; rates that differ by a millionth of a percent are one rate
_FARTHEST_LOGIT: Final = 40.0
_BLOCK: Final = 4_000_000  # numbers held at once


def exchangeable_rates(
    cells: Cells, prior: ExchangeableRatesPrior, generator: np.random.Generator, size: int
) -> dict[str, Array]:
    """Draw `mean` and `spread` of each population, and `rate` of every cell.

    Gelman et al. (2013), BDA3, section 5.3: p(m, s | y) from equation 5.8 on a grid, then equation 5.7. The groups of a
    population are the cells along the first dimension: segments of an arm, or arms.

    Returns
    -------
    dict
        `mean`, `spread` (size, [arm]); `rate`, `mean_outcome` (size, [segment], arm).
    """
    n, total = cells.n, cells.total
    populations = n.reshape(n.shape[0], -1).shape[1]
    means, spreads = np.empty((2, size, populations))
    for k in range(populations):
        n_k, y_k = n.reshape(-1, populations)[:, k], total.reshape(-1, populations)[:, k]
        means[:, k], spreads[:, k] = _population(n_k, y_k, prior, generator, size)
    weight = spreads[:, None, :] ** -2
    alpha = means[:, None, :] * weight + total.reshape(-1, populations)
    beta = (1.0 - means[:, None, :]) * weight + (n - total).reshape(-1, populations)
    # a rate below the smallest float is not 0, nor one within rounding of 1 equal to it
    ends = np.finfo(np.float64).tiny, 1.0 - np.finfo(np.float64).epsneg
    rate = np.clip(generator.beta(alpha, beta), *ends).reshape(size, *n.shape)
    rest = n.shape[1:]
    return {
        "mean": means.reshape(size, *rest),
        "spread": spreads.reshape(size, *rest),
        "rate": rate,
        "mean_outcome": rate,
    }


def _population(
    n: NDArray[np.int64], total: Array, prior: ExchangeableRatesPrior, generator: np.random.Generator, size: int
) -> tuple[Array, Array]:
    """Mean and spread (size,) of one population of rates."""
    # groups of the same counts enter as one, as often as they come
    pairs, times = np.unique(np.stack([n, total]), axis=1, return_counts=True)
    of_block = max(_BLOCK // (pairs.shape[1] * 65), 1)

    def log_density(spread: Array, logit: Array) -> Array:
        parts = [slice(k, k + of_block) for k in range(0, len(logit), of_block)]
        return np.concatenate([block(spread[part], logit[part]) for part in parts])

    def block(spread: Array, logit: Array) -> Array:
        weight = spread[..., None] ** -2
        mean, rest = (1.0 / (1.0 + np.exp(side * logit)) for side in (-1.0, 1.0))
        units, converted = pairs
        likelihood = (
            log_rising(mean[..., None] * weight, converted)
            + log_rising(rest[..., None] * weight, units - converted)
            - log_rising(weight, units)
        )
        return likelihood @ times + prior.alpha * np.log(mean) + prior.beta * np.log(rest)

    outer = (_LEAST_SPREAD * prior.largest_spread, prior.largest_spread)
    spread, logit = two_dimensional.draw(log_density, outer, (-_FARTHEST_LOGIT, _FARTHEST_LOGIT), generator, size)
    return 1.0 / (1.0 + np.exp(-logit)), spread
