"""Densities of mean outcomes, for a figure: exact, or estimated from the draws."""

from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy.special import betaln, xlog1py, xlogy

from bayesuplift.decisions.choice import Choice, compared
from bayesuplift.dims import ARM, CHAIN, DRAW
from bayesuplift.estimands.population import population_mean
from bayesuplift.posterior.closed_form import parameters

_GRID = 161
_REACH = 4.5  # of the widest arm's standard deviations shown on either side


def density(posterior: xr.DataTree, choice: Choice) -> dict[str, Any]:
    """Posterior density of each arm's mean outcome on one grid: exact, or a kernel estimate from the draws."""
    labels = [str(label) for label in choice.overall[ARM].values]
    if choice.exact:
        alpha, beta = parameters(posterior)
        mean = alpha / (alpha + beta)
        sd = np.sqrt(mean * (1 - mean) / (alpha + beta + 1))
        low = max(float((mean - _REACH * sd).min()), 0.0)
        high = min(float((mean + _REACH * sd).max()), 1.0)
        grid = low + (high - low) * (np.arange(_GRID) + 0.5) / _GRID
        log_density = xlogy(alpha - 1, grid[:, None]) + xlog1py(beta - 1, -grid[:, None]) - betaln(alpha, beta)
        curves = np.exp(log_density)
        return {
            "x": grid.tolist(),
            "arms": {arm: curves[:, i].tolist() for i, arm in enumerate(labels)},
            "estimate": False,
        }
    draws = population_mean(posterior, compared(posterior)).transpose(CHAIN, DRAW, ARM)
    kept = _every(draws) if choice.weights is None else _as_often_as_they_weigh(choice.weights)
    curves_by_arm = {}
    for arm in labels:
        values = draws.sel({ARM: arm}).values.ravel()[kept]
        if np.ptp(values) == 0.0:  # a mean that is known has no density
            continue
        x, y, _ = array_stats.kde(values, grid_len=_GRID)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):  # a range too small, or too large, for the estimate
            continue
        curves_by_arm[arm] = {"x": np.asarray(x).tolist(), "y": np.asarray(y).tolist()}
    if not curves_by_arm:
        return {"x": [], "arms": {}, "estimate": True}
    low = min(curve["x"][0] for curve in curves_by_arm.values())
    high = max(curve["x"][-1] for curve in curves_by_arm.values())
    grid = np.linspace(low, high, _GRID)
    arms = {
        arm: np.interp(grid, curve["x"], curve["y"], left=0.0, right=0.0).tolist()
        for arm, curve in curves_by_arm.items()
    }
    return {"x": grid.tolist(), "arms": arms, "estimate": True}


def _every(draws: xr.DataArray) -> np.ndarray:
    return np.arange(draws.sizes[CHAIN] * draws.sizes[DRAW])


def _as_often_as_they_weigh(weights: xr.DataArray) -> np.ndarray:
    """Positions of draws, each as often as its weight says: systematic resampling from the middle of every step."""
    share = weights.transpose(CHAIN, DRAW).values.ravel().cumsum()
    return np.searchsorted(share / share[-1], (np.arange(share.size) + 0.5) / share.size)
