"""Counts, such as orders or sessions: one rate and one overdispersion an arm."""

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro import handlers

from bayesuplift.priors import CountPrior
from bayesuplift.spec import Given, cell_plates, register


@register(outcome="count", data="cells", supplies={"ate"}, per_exposure=True, flat_in="log_mean_outcome")
def negative_binomial(cells: Given, *, prior: CountPrior = CountPrior()) -> None:  # noqa: B008 -- frozen
    """Which arm has the highest rate of events per unit of exposure, when units differ more than Poisson's law lets them.

    Gelman et al. (2013), Bayesian Data Analysis, third edition, section 17.2: mean = rate x exposure, variance = mean +
    overdispersion^2 mean^2. Conditioned on the table of distinct (cell, value, exposure), each row as often as it occurs.
    """
    with cell_plates(cells):
        rate = numpyro.sample("rate", dist.LogNormal(prior.log_rate, prior.log_rate_sd))
        overdispersion = numpyro.sample("overdispersion", dist.HalfNormal(prior.overdispersion))
        numpyro.deterministic("mean_outcome", rate)
    cell = cells.frequency_cell
    mean = jnp.ravel(rate)[cell] * cells.frequency_exposure
    with numpyro.plate("frequency", cell.shape[0]), handlers.scale(scale=cells.frequency_n):
        numpyro.sample("value", dist.NegativeBinomial2(mean, jnp.ravel(overdispersion)[cell] ** -2))
