"""How much of the differences between effects a summary tells: its R², of every draw."""

from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bayesuplift.dims import CHAIN, DRAW
from bayesuplift.estimands.summary import equal_tails
from bayesuplift.estimands.unit_effects import UnitEffects
from bayesuplift.posterior.diagnostics import monte_carlo_error

UNDEFINED: Final = "undefined_draws"
"""Attribute of an R²: in how many draws all effects are equal, so that there is nothing to explain."""


def r_squared(
    effects: UnitEffects,
    explained: NDArray[np.float64],
    dim: str | None = None,
    coords: dict[str, Any] | None = None,
) -> xr.DataArray:
    """R² of a summary gamma of the effects tau, of every draw, (chain, draw).

        1 - sum_i (tau_i - gamma_i)^2 / sum_i (tau_i - mean tau)^2
            = sum_i (gamma_i - mean tau)^2 / sum_i (tau_i - mean tau)^2

    The two are the same because a summary here is a least-squares projection onto a class that holds the constants; the
    right-hand side keeps its digits where the summary is nearly exact. Woody, Carvalho and Murray (2021), Model
    interpretation through lower-dimensional posterior summarization, Journal of Computational and Graphical Statistics
    30(1), 144-161: the summary R².

    Parameters
    ----------
    effects
        The effects tau.
    explained
        Sum over the units of (gamma_i - mean tau)^2 (chain, draw); or its parts (chain, draw, part).
    dim, coords
        Of the parts.

    Returns
    -------
    xarray.DataArray
        (chain, draw) or (chain, draw, part). NaN in draws in which all effects are equal: there 0 is explained of 0. The
        attribute `undefined_draws` counts them.
    """
    moments = effects.moments
    alike, total = (one if dim is None else one[..., None] for one in (moments.alike, moments.total))
    values = np.where(alike, np.nan, explained / np.where(alike, 1.0, total))
    told = {"scale": "r_squared", "units": "share of the squared differences between effects"}
    return effects.labelled(values, dim, coords, **told, **{UNDEFINED: int(moments.alike.sum())})


def summarize_r_squared(draws: xr.DataArray, *, prob: float) -> dict[str, xr.DataArray]:
    """Mean and equal-tailed interval of an R², over the draws in which it is defined, with Monte Carlo errors.

    With d = 1 in these draws and 0 in the others, the mean is E[R² d] / E[d], whose error by the delta method is that of
    (R² - mean) d / E[d]; a quantile's error is that of its probability, carried to the scale of R² by the quantiles on
    both sides.

    Returns
    -------
    dict
        `r_squared`, `r_squared_mcse`, `r_squared_lower`, `r_squared_lower_mcse`, `r_squared_upper`, `r_squared_upper_mcse`.
    """
    defined = draws.notnull()
    share = defined.mean((CHAIN, DRAW))
    mean = draws.mean((CHAIN, DRAW))
    found = {"r_squared": mean, "r_squared_mcse": monte_carlo_error((draws - mean).where(defined, 0.0) / share)}
    for name, q in zip(("lower", "upper"), equal_tails(prob), strict=True):
        at = draws.quantile(q, (CHAIN, DRAW), skipna=True).drop_vars("quantile")
        below = (draws <= at).astype(np.float64)
        error = monte_carlo_error((below - q).where(defined, 0.0) / share)
        found[f"r_squared_{name}"] = at
        found[f"r_squared_{name}_mcse"] = xr.apply_ufunc(
            _half_width,
            draws,
            error,
            input_core_dims=[[CHAIN, DRAW], []],
            kwargs={"q": q},
            vectorize=True,
        )
    return {name: values.drop_attrs() for name, values in found.items()}


def summary_attributes(draws: xr.DataArray, told: xr.DataArray, prob: float) -> dict[str, Any]:
    """Attributes of a summary's table: those of its draws, the mass of its intervals, and of how many draws R² is told."""
    number = told.sizes[CHAIN] * told.sizes[DRAW]
    return {**draws.attrs, "prob": prob, UNDEFINED: told.attrs[UNDEFINED], "draws": number}


def _half_width(values: NDArray[np.float64], error: float, *, q: float) -> float:
    """Half the distance between the quantiles one error of the probability below and above q."""
    low, high = np.nanquantile(values, [max(q - error, 0.0), min(q + error, 1.0)])
    return float(high - low) / 2.0
