"""Importance weights of draws, with their largest smoothed: draws of one distribution stand for another."""

from typing import Final

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from bayesuplift.dims import CHAIN, DRAW

# Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, section 3.2.4: above this the
# reweighted average cannot be trusted at any number of draws.
LARGEST_PARETO_K: Final = 0.7
_ZERO_WEIGHT: Final = 750.0  # exp(-750) is 0 in float64


def smoothed(log_weight: xr.DataArray, *, efficiency: float = 1.0) -> tuple[xr.DataArray, float]:
    """Pareto smoothed importance weights that sum to one, and Pareto k.

    Parameters
    ----------
    log_weight
        Log of the ratio of densities at each draw, up to a constant, (chain, draw).
    efficiency
        Effective draws a draw: how far into the tail dependent draws are smoothed.

    Returns
    -------
    tuple
        Weights (chain, draw), and Pareto k: minus infinity where all weights are alike, infinity where none can be
        had (what comes in their place is no weight).
    """
    ordered = log_weight.transpose(CHAIN, DRAW)
    if not np.isfinite(ordered.values.max()):
        return ordered, np.inf
    if float(np.ptp(ordered.values)) == 0.0:  # nothing to reweight
        return xr.full_like(ordered, 1.0 / ordered.size), -np.inf
    # arviz takes log likelihoods, as for leave-one-out, and turns their sign: weights go in with theirs turned. Its fit of
    # the tail overflows where the alternative lies far away, and Pareto k then says so.
    # A draw that the alternative rules out gets a weight that is 0 in float64: the fit cannot take an infinite logarithm.
    finite = np.maximum(ordered.values, float(ordered.max()) - _ZERO_WEIGHT)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        try:
            found, pareto_k = array_stats.psislw(-finite.ravel(), r_eff=efficiency)
        except ValueError:  # the largest weights are all the same: chains that never moved have no tail to fit
            return ordered, np.inf
    if not np.isfinite(found).all() or np.isnan(pareto_k):
        return ordered, np.inf
    weights = np.exp(found - found.max())
    return ordered.copy(data=(weights / weights.sum()).reshape(ordered.shape)), float(pareto_k)
