"""Independent draws of rates and overdispersions of counts, from their frequency table."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bayesuplift.data.cells import Cells
from bayesuplift.dims import ARM, SEGMENT
from bayesuplift.inference import two_dimensional
from bayesuplift.inference.rising import log_rising
from bayesuplift.priors import CountPrior

Array = NDArray[np.float64]

_LEAST_OVERDISPERSION: Final = 1e-7  # of the prior's scale: Poisson's law to float precision
_WIDEST: Final = 9.0  # standard deviations of a prior
_REACH: Final = 20.0  # of the logarithm of a rate, from what was observed
_BLOCK: Final = 4_000_000  # numbers held at once


def negative_binomial(cells: Cells, prior: CountPrior, generator: np.random.Generator, size: int) -> dict[str, Array]:
    """Draw `rate` and `overdispersion` of every cell, (size, [segment], arm)."""
    table = cells.frequencies
    assert table is not None, "cells of counts hold their frequency table"
    shape = cells.n.shape
    place = table[SEGMENT].to_numpy() * shape[-1] + table[ARM].to_numpy()
    value, exposure, times = (table[name].to_numpy(dtype=np.float64) for name in ("value", "exposure", "n"))
    rate, overdispersion = np.empty((2, size, cells.n.size))
    for cell in range(cells.n.size):
        rows = place == cell
        of_cell = (value[rows], exposure[rows], times[rows])
        rate[:, cell], overdispersion[:, cell] = _cell(of_cell, prior, generator, size)
    found = {"rate": rate, "overdispersion": overdispersion, "mean_outcome": rate}
    return {name: values.reshape(size, *shape) for name, values in found.items()}


def _cell(
    table: tuple[Array, ...], prior: CountPrior, generator: np.random.Generator, size: int
) -> tuple[Array, Array]:
    """Rate and overdispersion (size,) of one cell, from its values, their exposures, and how often each came."""
    value, exposure, times = table
    assert prior.log_rate is not None, "a prior is resolved before it is used"
    location, width = prior.log_rate, prior.log_rate_sd
    # of the value alone: what depends on the overdispersion and not on the rate is worked out once a row of the grid
    values, where = np.unique(value, return_inverse=True)
    often = np.bincount(where, weights=times, minlength=len(values))
    total = float(times @ value)
    exposures, which = np.unique(exposure, return_inverse=True)
    units = np.bincount(which, weights=times, minlength=len(exposures))
    events = np.bincount(which, weights=times * value, minlength=len(exposures))
    of_block = max(_BLOCK // (max(len(exposures), 1) * 65), 1)

    def log_density(overdispersion: Array, log_rate: Array) -> Array:
        parts = [slice(k, k + of_block) for k in range(0, len(log_rate), of_block)]
        likelihood = np.concatenate([block(overdispersion[part], log_rate[part]) for part in parts])
        prior_density = -0.5 * ((log_rate - location) / width) ** 2 - 0.5 * (overdispersion / prior.overdispersion) ** 2
        return likelihood + prior_density

    def block(overdispersion: Array, log_rate: Array) -> Array:
        size_ = overdispersion**-2
        of_values = log_rising(size_, values) @ often
        mean = np.exp(log_rate)[..., None] * exposures
        apart = np.log1p(mean / size_[..., None])
        # sum of y log(mean / (size + mean)) - size log(1 + mean / size); log exposure is a constant
        with_rate = log_rate * total - apart @ events - np.log(size_) * total
        return of_values[:, None] + with_rate - size_ * (apart @ units)

    # a prior that the data contradict leaves the posterior between the two: the grid starts from both
    most = max(_WIDEST * prior.overdispersion, _REACH + 3.0 * float(times.sum()) ** 0.5)
    outer = (_LEAST_OVERDISPERSION * prior.overdispersion, most)
    observed = np.log((total + 0.5) / max(float(units @ exposures), 1e-300)) if len(units) else location
    inner = (
        min(location - _WIDEST * width, observed - _REACH),
        max(location + _WIDEST * width, observed + _REACH),
    )
    overdispersion, log_rate = two_dimensional.draw(log_density, outer, inner, generator, size)
    return np.exp(log_rate), overdispersion
