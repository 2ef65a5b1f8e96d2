"""The exact part of a posterior: independent Beta rates under the stated prior and under its alternatives."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesuplift.dims import ARM, CHAIN, CLOSED_FORM, DRAW, MEAN_OUTCOME, PRIOR, TOTAL, N
from bayesuplift.posterior.schema import STATED


def beta_posterior(observed: xr.Dataset, priors: Mapping[str, tuple[float, float]]) -> xr.Dataset:
    """Beta(alpha + y, beta + n - y) for every cell and prior: Gelman et al. (2013), BDA3, equation 2.9.

    Parameters
    ----------
    observed
        `n` and `total`, ([segment], arm) counts.
    priors
        Alpha and beta of the prior, by its name; one is called "stated".

    Returns
    -------
    xarray.Dataset
        `alpha`, `beta` (prior, [segment], arm) and `description` (prior).
    """
    alpha, beta = (xr.DataArray([pair[side] for pair in priors.values()], dims=PRIOR) for side in (0, 1))
    return xr.Dataset(
        {
            "alpha": alpha + observed[TOTAL],
            "beta": beta + (observed[N] - observed[TOTAL]),
            "description": (PRIOR, [f"Beta({a:g}, {b:g})" for a, b in priors.values()]),
        },
        coords={PRIOR: list(priors)},
        attrs={"family": "beta"},
    )


def draw_rates(closed_form: xr.Dataset, *, prior: str = STATED, chains: int, draws: int, seed: int) -> xr.DataArray:
    """Independent draws of every rate under one prior, dims (chain, draw, [segment], arm)."""
    chosen = closed_form.sel({PRIOR: prior}, drop=True)
    generator = np.random.Generator(np.random.PCG64(seed))
    rates = generator.beta(chosen["alpha"].values, chosen["beta"].values, size=(chains, draws, *chosen["alpha"].shape))
    return xr.DataArray(
        rates,
        dims=(CHAIN, DRAW, *chosen["alpha"].dims),
        coords={CHAIN: np.arange(chains), DRAW: np.arange(draws), **chosen["alpha"].coords},
        name=MEAN_OUTCOME,
    )


def parameters(tree: xr.DataTree, prior: str = STATED) -> tuple[np.ndarray, np.ndarray]:
    """Alpha and beta under one prior, ([segment], arm)."""
    chosen = tree[CLOSED_FORM].to_dataset().sel({PRIOR: prior}).transpose(..., ARM)
    return chosen["alpha"].values, chosen["beta"].values
