"""Posteriors in closed form."""

from collections.abc import Mapping

import xarray as xr

from bayesuplift.data.cells import Cells
from bayesuplift.dims import CLOSED_FORM, POSTERIOR
from bayesuplift.posterior.closed_form import beta_posterior, draw_rates
from bayesuplift.priors import RatePrior

CLOSED_FORMS = frozenset({"beta_binomial"})
"""Models whose rates have independent Beta posteriors."""


def solve(
    cells: Cells, priors: Mapping[str, RatePrior], *, seed: int, chains: int, draws: int
) -> dict[str, xr.Dataset]:
    """Return the exact posterior under every prior, and independent draws of it under the stated one.

    Returns
    -------
    dict
        The groups `closed_form` and `posterior`.
    """
    exact = beta_posterior(cells.statistics, {name: (prior.alpha, prior.beta) for name, prior in priors.items()})
    rates = draw_rates(exact, chains=chains, draws=draws, seed=seed)
    return {POSTERIOR: rates.to_dataset().assign(rate=rates), CLOSED_FORM: exact}
